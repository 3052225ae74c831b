"""Operators in their less common forms: in place, with masks as indices, at lengths that are open."""

import math

import pytest
import torch
import torch.nn.functional as F
from discovery.beyond import beyond
from discovery.function import Function
from torch import nn

import toroids as td

L = nn.Linear


def spaces(model, *inputs, others=()):
    group = td.discover(model, inputs)
    assert not any("failed the proof" in note for note in group.notes)
    assert beyond(group, model, inputs, others) == []
    return [(space.size, sorted(space.actions)) for space in group.spaces]


def between(function):
    return Function(lambda m, x: m.b(function(m.a(x))), a=L(3, 5), b=L(5, 2))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda h: h.cumsum(1), (5, ["mix", "permute"])),
        (lambda h: h.clone().cumsum_(1), (5, ["mix", "permute"])),
        (lambda h: h.relu().sort(1)[0], (5, ["permute", "rescale"])),
        (lambda h: torch.triu(h.mT).mT.relu(), (5, ["rescale"])),  # they keep their places
    ],
    ids=["cumsum", "cumsum_", "sort", "triu"],
)
def test_along_time(function, expected):
    found = spaces(between(function), torch.randn(2, 4, 3), others=[(torch.randn(3, 6, 3),)])
    assert found == [expected]


RESCALED, MIXED, FLIPPED = {"permute", "rescale"}, {"mix", "permute"}, {"flip", "permute"}


@pytest.mark.parametrize(
    ("function", "actions"),
    [
        (lambda h: F.threshold(h, 0, 0), RESCALED),
        (lambda h: F.hardtanh(h, 0, math.inf), RESCALED),
        (lambda h: h.clamp(0, math.inf), RESCALED),
        (lambda h: F.elu(h, 0.0), RESCALED),
        (lambda h: F.leaky_relu(h, -1.0), RESCALED | FLIPPED),
        (lambda h: F.leaky_relu(h, 1.0), MIXED),
        (lambda h: h.clamp(-math.inf, math.inf), MIXED),
        (lambda h: F.softshrink(F.hardshrink(h, 0.0), 0.0), MIXED),
        (lambda h: (2.0 * h).abs().sigmoid(), FLIPPED),
        (lambda h: F.gelu(h**2), FLIPPED),
    ],
)
def test_numbers_that_make_another_function(function, actions):
    (space,) = td.discover(between(function), torch.randn(4, 3)).spaces
    assert space.actions == actions


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda h: h.relu().clamp(min=-1), "`aten::clamp` has another bound than zero"),
        (lambda h: h.abs().log().exp(), "`aten::log` makes terms of factors"),
    ],
)
def test_what_stops_scales_is_said(function, why):
    notes = td.discover(between(function), torch.randn(4, 3)).notes
    assert f"no rescaling of `a`: operator {why}" in notes


def test_a_mask_over_two_axes_that_is_written_through():
    """The columns of the mask, which a state dict holds, move with the units that it hides."""

    def masked(m, x):
        h = m.a(x).clone()
        h[m.mask] = 0.0
        return m.b(h)

    mask = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 1, 0, 1]]).bool()
    model = Function(masked, a=L(3, 5), b=L(5, 2), mask=mask)
    moved = [(5, ["flip", "permute", "rescale"])]
    assert spaces(model, torch.randn(2, 3)) == moved
    model.mask.zero_()
    assert spaces(model, torch.randn(2, 3)) == moved  # whatever it holds


def test_what_a_rule_does_not_read_stays():
    def forward(m, x):
        return torch.linalg.pinv(m.a(x).unflatten(1, (3, 3)), atol=m.tolerance) @ m.read

    held = {"tolerance": nn.Parameter(torch.tensor(0.5)), "read": nn.Parameter(torch.randn(3, 2))}
    model = Function(forward, a=L(4, 9), **held).double()
    group = td.discover(model, torch.randn(5, 4).double())
    assert not any(leg.tensor == "tolerance" for space in group.spaces for leg in space.legs)
    assert not any("failed the proof" in note for note in group.notes)
