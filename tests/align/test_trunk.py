"""Networks that share a trunk: aligned on it, whatever their heads are."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

import toroids as td
from toroids.errors import ParamsError, ToroidsError

TRUNK = ["0", "1", "3", "7"]
X = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def network(classes, seed):
    torch.manual_seed(seed)
    return (
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 12), nn.ReLU(),
            nn.Linear(12, classes),
        )
        .double()
        .eval()
    )  # fmt: skip


@pytest.fixture
def pair():
    """Two networks with the same trunk, one of them in disguise, and heads of 20 and 80 classes."""
    small, large = network(20, 0), network(80, 1)
    params = {
        name: tensor if name.startswith("9") else small.state_dict()[name]
        for name, tensor in large.state_dict().items()
    }
    own = td.discover(large, X)
    return small, large, own.apply(own.random(torch.Generator().manual_seed(3)), params)


@pytest.mark.parametrize("batch_norm", ["keep", "fold"])
def test_a_shared_trunk_is_found_again_and_both_heads_keep_their_functions(pair, batch_norm):
    small, large, disguised = pair
    group = td.discover(small, X)
    found = td.align(group, disguised, to=small.state_dict(), only=TRUNK, batch_norm=batch_norm)
    for name in found.compared.shapes:
        assert torch.allclose(found.params[name], found.reference[name]), name
    assert found.gap < 1e-9
    assert found.params["9.weight"].shape == (80, 12)
    for model, params, before in (
        (large, found.params, disguised),
        (small, found.reference, small.state_dict()),
    ):
        assert torch.allclose(
            functional_call(model, dict(params), (X,)), functional_call(model, dict(before), (X,))
        )


@pytest.mark.parametrize("only", [["0"], ["3.weight"], ["0", "7"]])
def test_any_part_may_be_compared_alone(pair, only):
    small, large, disguised = pair
    found = td.align(td.discover(small, X), disguised, to=small.state_dict(), only=only)
    assert found.similarity_before <= found.similarity <= found.bound + 1e-9
    moved = functional_call(large, dict(found.params), (X,))
    assert torch.allclose(moved, functional_call(large, disguised, (X,)))
    again = found.group.apply(found.element, found.start)
    assert all(torch.allclose(again[name], found.params[name]) for name in again)


def test_everything_is_compared_without_it(pair):
    small, _, _ = pair
    params = small.state_dict()
    group = td.discover(small, X)
    whole = td.align(group, params, to=params)
    assert whole.compared is whole.group
    every = td.align(group, params, to=params, only=[name.split(".")[0] for name in params])
    assert every.similarity == pytest.approx(whole.similarity)


def test_what_cannot_be_compared(pair):
    small, _, disguised = pair
    group, params = td.discover(small, X), small.state_dict()
    with pytest.raises(ParamsError, match="only='nope' names no parameter of the group; name"):
        td.align(group, disguised, to=params, only=["nope"])
    with pytest.raises(ParamsError, match="`9.weight` has shape"):
        td.align(group, disguised, to=params, only=["9"])
    with pytest.raises(ParamsError, match="`9.weight` has the shape .* a symmetry moves axis 1"):
        wider = {**disguised, "9.weight": torch.ones(80, 13, dtype=torch.float64)}
        td.align(group, wider, to=params, only=TRUNK)
    with pytest.raises(ParamsError, match="`9.bias` is missing"):
        td.align(group, {k: x for k, x in disguised.items() if k != "9.bias"}, params, only=TRUNK)
    with pytest.raises(ToroidsError, match="looks at whole networks, and only= at parts"):
        td.align(group, disguised, to=params, method="activations", only=TRUNK)
