"""Gains that are read as 1 + w scale and flip as other gains do, in every part of the library."""

from dataclasses import replace

import pytest
import torch
from tests.discovery.function import Function
from torch import nn
from torch.nn import functional as F

import toroids as td


def _root_mean_square(m, x):
    x = m.a(x)
    return m.b(x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * (1.0 + m.gain.float()))


def _layer_norm(m, x):
    return m.b(F.layer_norm(m.a(x), (6,), m.gain + 1, m.shift))


def _twice(m, x):
    return m.b(torch.tanh(m.a(x)) * (m.gain - 0.5)) + m.b(m.a(x) * (m.gain.view(1, 6) - 0.5))


def _gain(forward, **more):
    torch.manual_seed(0)
    parts = {"a": nn.Linear(3, 6), "b": nn.Linear(6, 4), "gain": nn.Parameter(torch.randn(6))}
    return Function(forward, **parts, **more)


CASES = {
    "rms": (lambda: _gain(_root_mean_square), 1.0, 6 + 15),
    "layer norm": (lambda: _gain(_layer_norm, shift=nn.Parameter(torch.randn(6))), 1.0, 12 + 10),
    "twice": (lambda: _gain(_twice), -0.5, 6),
}


@pytest.mark.parametrize("name", CASES)
def test_the_sum_is_what_scales_and_flips(name):
    make, offset, dimension = CASES[name]
    model, x = make(), torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    group = td.discover(model, x)
    legs = [leg for space in group.spaces for leg in space.legs if leg.offset]
    assert {(leg.tensor, leg.offset) for leg in legs} == {("gain", offset)}
    assert td.SymmetryGroup.from_json(group.to_json()) == group
    found = td.audit(model, x, group=group)
    assert found.symmetry_dimension == group.dimension == dimension

    params = {key: value.double() for key, value in model.state_dict().items()}
    moved = group.apply(group.random(torch.Generator().manual_seed(2)), params)
    for gauge in ("sphere", "balanced"):
        one, other = (td.canonicalize(group, p, gauge) for p in (params, moved))
        again = td.canonicalize(group, one, gauge)
        assert max(float((again[n] - one[n]).abs().max()) for n in one) < 1e-12
        toroid = td.Toroid(group)
        if gauge == "sphere":
            assert torch.allclose(one["gain"] + offset, torch.ones(6).double(), atol=1e-12)
            toroid.check(other)
    for method in ("descent", "frank-wolfe"):
        found = td.align(group, moved, to=params, method=method)
        assert toroid.distance(found.reference, found.params) < 1e-10
        assert found.gap < 1e-10
    together = td.align_many(group, [params, moved, params])
    assert toroid.distance(together.params[0], together.params[1]) < 1e-10


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
@pytest.mark.parametrize(
    ("act", "action"), [(nn.Identity(), "mix"), (nn.ReLU(), "rescale")], ids=["mix", "rescale"]
)
def test_matrices_and_shifts_act_on_the_sum(act, action):
    model = _gain(lambda m, x: m.b(act(m.a(x) + (m.gain + 1))))
    group = td.discover(model, torch.randn(5, 3))
    assert {action, "shift"} <= group.spaces[0].actions
    params = {key: value.double() for key, value in model.state_dict().items()}
    moved = group.apply(group.random(torch.Generator().manual_seed(2)), params)
    found, toroid = td.align(group, moved, to=params), td.Toroid(group)
    assert toroid.distance(found.reference, found.params) < 1e-10


def _adaptive(m, x, c):
    """An adaptive layer norm, as in diffusion transformers."""
    h = m.enter(x)
    shift, scale, gate = m.given(F.silu(c)).unsqueeze(1).chunk(3, -1)
    return m.b(h + gate * torch.tanh(m.a(F.layer_norm(h, (6,)) * (1 + scale) + shift)))


def _two_numbers(m, x, c):
    one, two = m.given(c)[:, None, :6].split([2, 4], -1)
    return m.b(torch.sin(m.a(m.enter(x) * torch.cat([one + 1, two - 2], -1))))


def _seen(m, x, c):
    shift, scale, gate = m.given(c).unsqueeze(1).chunk(3, -1)
    return m.b(torch.sin(m.a(m.enter(x) * (1 + scale) + shift * scale)) * gate)


@pytest.mark.filterwarnings("error::toroids.errors.ProofWarning")
@pytest.mark.parametrize(
    ("forward", "added"),
    [(_adaptive, {1.0: 6}), (_two_numbers, {1.0: 2, -2.0: 4}), (_seen, {})],
    ids=["one number", "two numbers", "also as it is"],
)
def test_gains_that_a_linear_map_computes(forward, added):
    torch.manual_seed(0)
    layers = {"enter": (5, 6), "given": (3, 18), "a": (6, 6), "b": (6, 4)}
    model = Function(forward, **{name: nn.Linear(*size) for name, size in layers.items()}).double()
    x, c = torch.randn(2, 3, 5).double(), torch.randn(2, 3).double()
    group = td.discover(model, (x, c))
    legs = {leg for space in group.spaces for leg in space.legs if leg.offset}
    assert {leg.tensor for leg in legs} <= {"given.bias"}
    assert {leg.offset: len(leg.positions) for leg in legs} == added
    assert td.SymmetryGroup.from_json(group.to_json()) == group

    params = model.state_dict()
    moved = group.apply(group.random(torch.Generator().manual_seed(2)), params)
    for gauge in ("sphere", "balanced"):
        one, other = (td.canonicalize(group, p, gauge) for p in (params, moved))
        for p in (one, other):
            after = torch.func.functional_call(model, dict(p), (x, c))
            torch.testing.assert_close(after, model(x, c))
        again = td.canonicalize(group, one, gauge)
        assert max(float((again[n] - one[n]).abs().max()) for n in one) < 1e-11
    found = td.align(group, moved, to=params)
    assert td.Toroid(group).distance(found.reference, found.params) < 1e-9


def test_gains_that_a_convolution_computes():
    torch.manual_seed(0)
    model = Function(
        lambda m, x: m.c(torch.relu(m.a(x)) * (m.b(x) + 1)),
        a=nn.Conv2d(3, 5, 3), b=nn.Conv2d(3, 5, 3), c=nn.Conv2d(5, 2, 1),
    ).double()  # fmt: skip
    x = torch.randn(2, 3, 5, 5).double()
    group = td.discover(model, x)
    (space,) = group.spaces
    assert [(leg.tensor, leg.offset) for leg in space.legs if leg.offset] == [("b.bias", 1.0)]
    assert group.dimension == 10
    moved = group.apply(group.random(torch.Generator().manual_seed(2)), model.state_dict())
    torch.testing.assert_close(torch.func.functional_call(model, moved, (x,)), model(x))


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.b(m.a(x) * (1 + m.gain)) + m.b(m.a(x) * (2 + m.gain)),
        lambda m, x: m.b(m.a(x) * (1 + m.gain)) + m.b(m.a(x) * m.gain),
        lambda m, x: m.b(m.a(x) * (1 - m.gain)),
        lambda m, x: m.b(m.a(x) * (m.gain + x.shape[0])),
    ],
    ids=["two numbers", "also as it is", "negated", "a length"],
)
def test_other_sums_stay_in_place(forward):
    group = td.discover(_gain(forward), torch.randn(5, 3))
    spaces = [s for s in group.spaces for leg in s.legs if leg.tensor == "gain"]
    for space in spaces:
        at = [i for i, leg in enumerate(space.legs) if leg.tensor == "gain"]
        assert not any(leg.offset for leg in space.legs)
        assert not any(g.exponents[i] for g in space.generators for i in at)


def test_noise_acts_on_the_sum():
    model = _gain(_twice)
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
    group = td.discover(model, x)
    params = td.canonicalize(group, model.state_dict())
    data = (x, model(x).argmax(dim=1))
    choices = dict(group.identity().choices)
    for name, choice in choices.items():
        choices[name] = replace(choice, signs=-choice.signs)
    moved = group.apply(td.symmetry.Element(choices), params)
    assert torch.allclose(moved["gain"] - 0.5, 0.5 - params["gain"])
    curves = [
        td.local_energy(td.Landscape(model, data, on=td.Toroid(group)), p, (0.5,), 8).increase
        for p in (params, moved)
    ]
    assert curves[0] > 0
    assert torch.equal(curves[0], curves[1])
