"""Weights of which only the signs are read become -1 and +1."""

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.canonical.signs import signs_of
from toroids.errors import ParamsError
from toroids.symmetry.space import Generator, Leg, Space

NORMS = ("none", "real", "batch_norm")


def case(norm, output="values"):
    model = td.models.binary_fully_connected([6, 5, 4, 3], norm, seed=1).eval()
    inputs = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    return model, inputs, td.discover(model, inputs[:2], output)


def outputs(model, params, inputs):
    with torch.no_grad():
        return torch.func.functional_call(model, dict(params), (inputs,))


def test_signs_of():
    latent = torch.tensor([[-0.3, 2.0], [1e-30, -5.0]], requires_grad=True)
    found = signs_of("w", latent)
    assert found.tolist() == [[-1, 1], [1, -1]]
    assert not found.requires_grad
    with pytest.raises(ParamsError, match="`w` has 1 weights that are exactly zero"):
        signs_of("w", torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("gauge", ["sphere", "balanced"])
def test_canonical_networks_are_binary_compute_the_same_and_stay(norm, gauge):
    model, inputs, group = case(norm)
    params = model.state_dict()
    canonical = td.canonicalize(group, params, gauge)
    layers = {f"{layer}.weight" for layer in ("hidden1", "hidden2", "output")}
    assert layers <= group.binary
    assert all(bool((canonical[name].abs() == 1).all()) for name in group.binary)
    assert torch.equal(outputs(model, canonical, inputs), outputs(model, params, inputs))
    again = td.canonicalize(group, canonical, gauge)
    assert all(torch.allclose(again[name], canonical[name], atol=1e-6) for name in params)


@pytest.mark.parametrize("norm", NORMS)
def test_sizes_of_latents_do_not_count(norm):
    model, _, group = case(norm)
    params = dict(model.state_dict())
    generator = torch.Generator().manual_seed(3)
    other = {
        name: tensor * (torch.rand(tensor.shape, generator=generator) + 0.1)
        if name in group.binary
        else tensor
        for name, tensor in params.items()
    }
    a, b = (td.canonicalize(group, x) for x in (params, other))
    assert all(torch.equal(a[name], b[name]) for name in params)


@pytest.mark.parametrize("output", ["classifier", "logits"])
@pytest.mark.parametrize("norm", NORMS)
def test_nothing_is_removed_from_binary_outputs(norm, output):
    _, _, group = case(norm, output)
    assert group.output.mode == "values"
    why = "only the signs of the weights that write the outputs are read"
    assert f"output: nothing is removed for {output!r}, because {why}" in group.notes


def test_real_outputs_of_a_binary_network_still_lose_their_scale():
    model = nn.Sequential(
        td.binary.Sign(), td.binary.BinaryLinear(5, 4), td.binary.Sign(), nn.Linear(4, 3)
    )
    group = td.discover(model, torch.randn(2, 5), "classifier")
    assert group.output.mode == "classifier"
    assert group.binary == {"1.weight"}


@pytest.mark.parametrize("norm", NORMS)
def test_the_audit_explains_every_direction(norm):
    model, inputs, group = case(norm)
    found = td.audit(model, inputs)
    binary = sum(model.state_dict()[name].numel() for name in group.binary)
    assert found.rank == 0  # piecewise constant
    assert found.symmetry_dimension >= binary
    assert found.unexplained == 0
    assert found.symmetry_dimension + found.dead == found.parameters


def test_the_estimated_audit_of_a_larger_network():
    model = td.models.binary_fully_connected([5, 65, 65, 2])
    found = td.audit(model, torch.randn(4, 5))
    assert (found.rank, found.unexplained) == (0, 0)
    assert found.symmetry_dimension == found.parameters


def test_no_unit_is_added_to_weights_of_signs():
    narrow, wide = (td.models.binary_fully_connected([5, n, 2]) for n in (3, 5))
    with pytest.raises(td.ToroidsError, match="only the signs of `hidden1.weight` are read"):
        td.widen(narrow, narrow.state_dict(), wide, torch.randn(2, 5))


def test_signs_of_heads_do_not_hang_on_those_inside_them():
    """Scores that are mixed flip with the queries; the directions of both heads flip, too."""

    def forward(m, x):
        q, k = (f(x).unflatten(-1, (2, 2)).transpose(1, 2) for f in (m.q, m.k))
        scores = torch.einsum("gh,bhts->bgts", m.w, q @ k.mT).softmax(-1)
        return (scores @ x[:, None]).mean(1)

    torch.manual_seed(0)
    model = Function(
        forward, q=nn.Linear(3, 4), k=nn.Linear(3, 4), w=nn.Parameter(torch.randn(2, 2))
    )
    model = model.double()
    group = td.discover(model, torch.randn(2, 5, 3, dtype=torch.float64))
    assert "flip" in group.spaces[0].actions
    for seed in range(4):
        moved = group.apply(group.random(torch.Generator().manual_seed(seed)), model.state_dict())
        once = td.canonicalize(group, moved)
        again = td.canonicalize(group, once)
        assert all(torch.allclose(once[name], again[name], atol=1e-10) for name in once)


def test_signs_are_those_of_what_the_network_reads():
    """The writer of a stream is 1 + c: the sign of c alone, which shifts change, says nothing."""
    torch.manual_seed(0)

    def forward(m, x):
        return m.out(m.a(x) + (m.c + 1))

    parts = {"a": nn.Linear(4, 6), "c": nn.Parameter(torch.randn(6)), "out": nn.Linear(6, 2)}
    model = Function(forward, **parts).double()
    group = td.discover(model, torch.randn(3, 4, dtype=torch.float64))
    assert group.spaces[0].of("mix")
    canonical = td.canonicalize(group, model.state_dict())
    again = td.canonicalize(group, canonical)
    for name, tensor in canonical.items():
        torch.testing.assert_close(again[name], tensor, atol=1e-12, rtol=1e-9)


def test_a_sign_of_weights_that_scales_make_one_and_minus_one_is_told():
    legs = (Leg("gain", 0, "write", "gain"), Leg("out", 0, "read", "out"))
    units = Space("units", 4, 1, frozenset({"rescale"}), legs, (Generator("rescale", (1.0, -1.0)),))
    whole = Space(
        "whole", 1, 1, frozenset({"flip"}), legs[:1], (Generator("flip", (1.0,)),)
    )  # read as its square
    group = td.SymmetryGroup(spaces=(units, whole), shapes={"gain": (4,), "out": (4, 2)})
    gain = torch.tensor([-0.7, 1.3, 0.9, -1.1], dtype=torch.float64)
    params = {"gain": gain, "out": torch.randn(4, 2, dtype=torch.float64)}
    forms = [td.canonicalize(group, params)]
    forms.append(td.canonicalize(group, forms[0]))
    forms.append(td.canonicalize(group, group.apply(group.random(), {**params, "gain": -gain})))
    for form in forms:
        expected = torch.tensor([1.0, -1, -1, 1], dtype=torch.float64)
        torch.testing.assert_close(form["gain"], expected)
