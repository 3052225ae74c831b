"""Matrices on a space that one tensor carries twice: a bilinear form between two codes of a layer."""

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td


@pytest.fixture(params=[5, 2], ids=["full", "thin"])
def network(request):
    """A group and parameters; `thin` where what writes the space lacks rank."""
    torch.manual_seed(0)
    model = Function(
        lambda m, x, y: m.a(x) @ m.w @ m.a(y).T,
        a=nn.Linear(request.param, 4), w=nn.Parameter(torch.randn(4, 4)),
    ).double()  # fmt: skip
    inputs = tuple(torch.randn(n, request.param).double() for n in (3, 6))
    group = td.discover(model, inputs)
    assert "mix" in group.spaces[0].actions
    return request.param == 5, group, dict(model.state_dict())


def test_a_copy_is_at_distance_zero_or_it_is_said_that_it_cannot_be_told(network):
    full, group, params = network
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), params)
    form = td.canonicalize(group, moved)
    again = td.canonicalize(group, form)
    for name, tensor in form.items():
        torch.testing.assert_close(again[name], tensor)
    assert any("matrices are left as they are" in note for note in form.notes) is not full
    if full:
        alignment = td.align(group, moved, to=params)
        assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-6
