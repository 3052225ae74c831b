"""What people bring: what is found, and that a network in disguise is found again."""

import functools

import pytest
import torch
from discovery.beyond import Effort, beyond
from discovery.needed import NEEDED
from discovery.written import facts

import toroids as td

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")


# One worker discovers a module once, for both tests.
names = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in NEEDED]
)


@functools.cache
def discovered(name):
    """A module with its inputs and its group; looked at, not changed."""
    torch.manual_seed(0)
    make, inputs, _ = NEEDED[name]
    model = make().eval()
    return model, inputs, td.discover(model, inputs)


@names
def test_spaces_are_those_written_down_and_hold_beyond_the_example(name):
    model, inputs, group = discovered(name)
    assert facts(group) == sorted(NEEDED[name][2]), str(group)
    others = [] if name in ("sparse product", "deformable") else [_more(inputs)]
    assert beyond(group, model, inputs, others, effort=Effort(trials=2, alone=2)) == []


def _more(inputs):
    """Twice as many examples, nodes or steps' sequences; edges stay as they are."""
    return tuple(torch.cat([x, x.flip(0)]) if x.shape[0] != 2 or x.ndim > 2 else x for x in inputs)


@names
def test_a_disguise_is_taken_off(name):
    model, _, group = discovered(name)
    params = {
        key: x.double() + 0.1 * torch.randn(x.shape, dtype=torch.float64)
        if x.is_floating_point() else x
        for key, x in model.state_dict().items()
    }  # fmt: skip
    moved = group.apply(group.random(torch.Generator().manual_seed(1)), params)
    found = td.align(group, moved, to=params, method="best")
    size = sum(float(x.square().sum()) for x in found.reference.values()) ** 0.5
    again = td.canonicalize(group, found.reference)
    assert all(torch.allclose(again[key], found.reference[key], atol=1e-7) for key in again)
    assert td.Toroid(group).distance(found.reference, found.params) < 1e-6 * size
