"""The balanced gauge against minimisation by other means, and what has no least norm."""

import math

import pytest
import scipy.optimize
import torch
from torch import nn

import toroids as td
from toroids.canonical import newton


@pytest.fixture
def params():
    return td.models.fully_connected([3, 5, 4, 2], seed=0).double().state_dict()


def norm(params):
    return math.sqrt(sum(float(tensor.square().sum()) for tensor in params.values()))


def test_against_a_general_minimiser(params):
    group = td.symmetry.fully_connected_group(params)

    def moved_norm(logs):
        scales = {"hidden1": logs[:5], "hidden2": logs[5:]}
        choices = {
            name: td.symmetry.SpaceElement(torch.arange(len(s)), log_scales=torch.tensor(s)[None])
            for name, s in scales.items()
        }
        return norm(group.apply(td.symmetry.Element(choices), params)) ** 2

    found = scipy.optimize.minimize(moved_norm, [0.0] * 9, method="BFGS", options={"gtol": 1e-9})
    balanced = td.canonicalize(group, params, gauge="balanced")
    assert norm(balanced) ** 2 == pytest.approx(found.fun, rel=1e-9)
    assert norm(balanced) < norm(params)


def test_every_unit_has_as_much_before_as_after_it(params):
    balanced = td.canonicalize(td.symmetry.fully_connected_group(params), params, gauge="balanced")
    before = balanced["hidden2.weight"].square().sum(dim=1) + balanced["hidden2.bias"].square()
    after = balanced["output.weight"].square().sum(dim=0)
    assert torch.allclose(before, after, rtol=1e-12)


def test_a_classifiers_outputs_keep_the_scale_of_the_sphere_gauge(params):
    model = td.models.fully_connected([3, 5, 4, 2], seed=0).double()
    group = td.symmetry.fully_connected_group(params, output="classifier")
    inputs = torch.randn(7, 3, dtype=torch.float64)
    sphere, balanced = (
        torch.func.functional_call(model, dict(td.canonicalize(group, params, gauge)), inputs)
        for gauge in ("sphere", "balanced")
    )
    assert torch.allclose(sphere, balanced, rtol=1e-12)


def test_filters_before_a_norm_keep_unit_norm_and_the_rest_is_balanced():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
    ).double().eval()  # fmt: skip
    group = td.discover(model, torch.zeros(2, 4))
    balanced = td.canonicalize(group, model.state_dict(), gauge="balanced")
    assert torch.allclose(balanced["0.weight"].norm(dim=1), torch.ones(6).double(), rtol=1e-12)
    before = balanced["1.weight"].square() + balanced["1.bias"].square()
    assert torch.allclose(before, balanced["3.weight"].square().sum(dim=0), rtol=1e-12)


def test_a_unit_without_readers_keeps_the_sphere_gauge_and_is_named(params):
    params["output.weight"][:, 1] = 0
    group = td.symmetry.fully_connected_group(params)
    balanced = td.canonicalize(group, params, gauge="balanced")
    assert [note[:42] for note in balanced.notes] == ["space `hidden2`: units [1] have no least n"]
    # its scale stays, while what it reads is balanced for the other units too
    assert torch.isfinite(balanced["hidden2.weight"]).all()
    before = balanced["hidden2.weight"].square().sum(dim=1) + balanced["hidden2.bias"].square()
    after = balanced["output.weight"].square().sum(dim=0)
    others = [0, 2, 3]
    assert torch.allclose(before[others], after[others], rtol=1e-12)


def test_a_network_of_zeros_is_left(params):
    zeros = {name: torch.zeros_like(tensor) for name, tensor in params.items()}
    balanced = td.canonicalize(td.symmetry.fully_connected_group(params), zeros, gauge="balanced")
    assert all(not tensor.any() for tensor in balanced.values())


def test_says_when_newton_did_not_converge(params, monkeypatch):
    monkeypatch.setattr(newton, "STEPS", 1)
    balanced = td.canonicalize(td.symmetry.fully_connected_group(params), params, gauge="balanced")
    assert balanced.notes == ("the least norm was not found: Newton's method did not converge",)


def test_keeps_precision(params):
    group = td.symmetry.fully_connected_group(params)
    exact = td.canonicalize(group, params, gauge="balanced")
    for kind, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.05)):
        narrow = {name: tensor.to(kind) for name, tensor in params.items()}
        balanced = td.canonicalize(group, narrow, gauge="balanced")
        assert balanced.notes == ()
        for name, tensor in balanced.items():
            assert tensor.dtype == kind
            assert torch.allclose(tensor.double(), exact[name], rtol=tolerance, atol=tolerance)


def test_the_toroid_refuses_it(params):
    group = td.symmetry.fully_connected_group(params)
    balanced = td.canonicalize(group, params, gauge="balanced")
    with pytest.raises(td.errors.ParamsError, match="expected 1"):
        td.Toroid(group).distance(balanced, balanced)


def test_one_tensor_may_have_more_legs_than_an_integer_has_bits():
    count = 70
    scale = (td.symmetry.Generator("rescale", (1.0, -1.0)),)
    spaces = tuple(
        td.symmetry.Space(
            f"unit{n}", 1, 1, frozenset({"rescale"}),
            (
                td.symmetry.Leg("into", 0, "write", "into", positions=(n,)),
                td.symmetry.Leg("out", 0, "read", "out", positions=(n,)),
            ), scale,
        )
        for n in range(count)
    )  # fmt: skip
    group = td.SymmetryGroup(spaces=spaces, shapes={"into": (count, 2), "out": (count, 3)})
    params = {n: torch.randn(shape, dtype=torch.float64) for n, shape in group.shapes.items()}
    balanced = td.canonicalize(group, params, "balanced")
    sizes = [balanced[name].norm(dim=1) for name in ("into", "out")]
    torch.testing.assert_close(*sizes)


class Teams(nn.Module):
    """Teams of members: what scales all members alike, scales all their units as well."""

    def __init__(self):
        super().__init__()
        shapes = (2, 3, 4, 6), (2, 3, 6, 5), (2, 3, 5, 2)
        self.layers = nn.ParameterList(torch.zeros(shape) for shape in shapes)

    def forward(self, x):
        first, second, last = self.layers
        h = torch.einsum("bi,gkij->gkbj", x, first).relu()
        return ((h @ second).tanh() @ last).sum(1)


def test_rounding_leads_nowhere_along_families_that_do_the_same_together():
    group = td.discover(Teams().double(), torch.randn(5, 4).double(), verify=False)
    for seed in (0, 2):
        generator = torch.Generator().manual_seed(seed)
        params = {
            name: torch.randn(shape, generator=generator, dtype=torch.float64) / shape[-1] ** 0.5
            for name, shape in group.shapes.items()
        }
        once = td.canonicalize(group, params)
        twice = td.canonicalize(group, once)
        assert all(torch.allclose(once[name], twice[name]) for name in params)
