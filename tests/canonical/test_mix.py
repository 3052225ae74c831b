"""Matrices on a space that one tensor carries twice: a bilinear form between two codes of a layer."""

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td


def form(m, x, y):
    return m.a(x) @ m.w @ m.a(y).T


def form_and_reader(m, x, y):
    return m.c(m.a(x)), form(m, x, y)


@pytest.fixture(params=[(5, form), (2, form), (2, form_and_reader)], ids=["full", "thin", "read"])
def network(request):
    """A group and parameters; what writes the space lacks rank where it is thin."""
    torch.manual_seed(0)
    size, function = request.param
    layers = {} if function is form else {"c": nn.Linear(4, 3)}
    model = Function(
        function, a=nn.Linear(size, 4), w=nn.Parameter(torch.randn(4, 4)), **layers
    ).double()
    inputs = tuple(torch.randn(n, size).double() for n in (3, 6))
    group = td.discover(model, inputs)
    assert "mix" in group.spaces[0].actions
    return group, dict(model.state_dict()), model, inputs


def test_a_copy_is_at_distance_zero(network):
    group, params, model, inputs = network
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), params)
    once = td.canonicalize(group, moved)
    outputs = (torch.func.functional_call(model, dict(x), inputs) for x in (params, once))
    torch.testing.assert_close(*outputs)
    again = td.canonicalize(group, once)
    for name, tensor in once.items():
        torch.testing.assert_close(again[name], tensor)
    assert not once.notes
    alignment = td.align(group, moved, to=params)
    assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-6
