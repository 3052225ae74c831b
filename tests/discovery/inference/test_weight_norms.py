"""Scales before weights that a norm divides: the gain follows the norm, whoever wrote the norm."""

import pytest
import torch
from discovery.function import Function
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import toroids as td

INPUTS = torch.randn(4, 3, dtype=torch.float64)

WRITTEN = {
    "vector_norm": lambda g, v: g * v / torch.linalg.vector_norm(v, dim=1, keepdim=True),
    "norm": lambda g, v: g * (v / v.norm(2, 1, True)),
    "root of squares": lambda g, v: v * (g / (v * v).sum(1, keepdim=True).sqrt()),
}
NOT_FREE = {
    "with an eps": lambda m: m.g * m.v / (m.v.norm(dim=1, keepdim=True) + 1e-3),
    "of another power": lambda m: m.g * m.v / m.v.norm(p=1, dim=1, keepdim=True),
    "a gain that is read again": lambda m: m.g * m.v / m.v.norm(dim=1, keepdim=True) + m.g,
    "a norm that is read again": lambda m: m.g * m.v / (n := m.v.norm(dim=1, keepdim=True)) + n,
    "without a gain": lambda m: m.v / m.v.norm(dim=1, keepdim=True),
}


def by_hand(weight):
    torch.manual_seed(0)
    return Function(
        lambda m, x: m.leave(torch.relu(torch.relu(m.enter(x)) @ weight(m).T)),
        enter=nn.Linear(3, 6),
        leave=nn.Linear(5, 2),
        g=nn.Parameter(torch.randn(5, 1)),
        v=nn.Parameter(torch.randn(5, 6)),
    ).double()


def layers():
    torch.manual_seed(0)
    first = weight_norm(nn.Conv1d(3, 6, 1))
    last = weight_norm(nn.Conv1d(5, 2, 1))
    hidden = (nn.ReLU(), weight_norm(nn.Conv1d(6, 5, 3)), nn.ReLU())
    return nn.Sequential(first, *hidden, last).double()


def actions(group):
    return {s.name: sorted(s.actions) for s in group.spaces}


@pytest.mark.parametrize("way", WRITTEN)
def test_a_norm_that_is_written_out(way):
    model = by_hand(lambda m: WRITTEN[way](m.g, m.v))
    group = td.discover(model, INPUTS)
    assert actions(group)["enter"] == ["permute", "rescale"]
    assert group.spaces[0].weight_norms[0].gain == "g"
    check(model, group, INPUTS)


@pytest.mark.parametrize("way", NOT_FREE)
def test_gains_that_may_not_follow(way):
    group = td.discover(by_hand(NOT_FREE[way]), INPUTS)
    assert actions(group)["enter"] == ["permute"]


@pytest.mark.parametrize("shape", [(), (1, 1)])
def test_one_norm_of_all_entries(shape):
    torch.manual_seed(0)
    model = Function(
        lambda m, x: torch.relu(m.enter(x)) @ (m.g * m.v / m.v.norm()).T,
        enter=nn.Linear(3, 6),
        g=nn.Parameter(torch.full(shape, 2.0)),
        v=nn.Parameter(torch.randn(5, 6)),
    ).double()
    group = td.discover(model, INPUTS)
    assert actions(group)["enter"] == ["permute", "rescale"]
    check(model, group, INPUTS)


def test_layers_of_pytorch():
    """Every hidden unit has a scale; every weight hides its size."""
    model, inputs = layers(), torch.randn(2, 3, 9, dtype=torch.float64)
    group = td.discover(model, inputs)
    hidden, classes = ([s for s in group.spaces if s.is_still is still] for still in (False, True))
    assert [len(s.of("rescale")) for s in hidden] == [2, 2]
    assert [len(s.of("rescale")) for s in classes if s.size > 1] == [1]
    assert td.audit(model, torch.randn(60, 3, 9, dtype=torch.float64)).unexplained == 0
    check(model, group, inputs)


def test_behind_linear_layers_a_hidden_size_is_what_is_left():
    """A scale of all that is before a weight is one of its gain, and this one of its size."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(7, 1), nn.Linear(1, 4), weight_norm(nn.Linear(4, 4)))
    check(model.double(), td.discover(model, torch.arange(6)), torch.arange(6))


class Recurrent(nn.Module):
    """A weight of a single entry, which its norm divides by itself."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 1), weight_norm(nn.Linear(1, 1)), nn.Linear(1, 4)

    def forward(self, x):
        h = torch.zeros_like(self.a(x[0]))
        for one in x:
            h = (self.a(one) + self.b(h)).tanh()
        return self.c(h)


def test_norms_of_single_numbers_are_followed_by_nothing():
    torch.manual_seed(0)
    model, inputs = Recurrent().double(), torch.randn(3, 5, 4, dtype=torch.float64)
    group = td.discover(model, inputs)
    assert not any("failed the proof" in note for note in group.notes), group.notes
    check(model, group, inputs)


@pytest.mark.parametrize("gauge", ["sphere", "balanced"])
def test_both_gauges_keep_the_function(gauge):
    model, inputs = layers(), torch.randn(2, 3, 9, dtype=torch.float64)
    group = td.discover(model, inputs, verify=False)
    canonical = td.canonicalize(group, model.state_dict(), gauge)
    torch.testing.assert_close(
        torch.func.functional_call(model, dict(canonical), inputs), model(inputs)
    )


def check(model, group, inputs):
    """Elements keep the function, and a planted one comes back."""
    params = model.state_dict()
    moved = group.apply(group.random(torch.Generator().manual_seed(1)), params)
    torch.testing.assert_close(torch.func.functional_call(model, moved, inputs), model(inputs))
    assert td.SymmetryGroup.from_json(group.to_json()) == group
    alignment = td.align(group, moved, to=params)
    assert td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-6
