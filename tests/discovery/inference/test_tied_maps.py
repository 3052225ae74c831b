"""Maps that are used with their transposes, and parameters that a forward writes over."""

import torch
import torch.nn.functional as F
from discovery.function import Function
from torch import nn

import toroids as td

INPUTS = torch.randn(4, 5, dtype=torch.float64)


def facts(group):
    return [(s.size, "".join(sorted(action[0] for action in s.actions))) for s in group.spaces]


def test_hidden_units_of_a_tied_autoencoder_without_biases_have_scales():
    """Every axis is summed over somewhere; none reads zeros."""
    torch.manual_seed(0)

    def forward(m, x):
        for w in (m.v, m.w):
            x = F.relu(F.linear(x, w))
        for w in (m.w, m.v):
            x = F.relu(F.linear(x, w.T))
        return x

    parts = {"v": nn.Parameter(torch.randn(6, 5)), "w": nn.Parameter(torch.randn(7, 6))}
    group = td.discover(Function(forward, **parts).double(), INPUTS)
    assert facts(group) == [(6, "pr"), (7, "p")]
    assert not any("zeros" in note for note in group.notes)


def test_what_is_written_over_lies_on_no_space():
    def forward(m, x):
        with torch.no_grad():
            m.a.bias.fill_(1.0)
        return m.b(F.relu(m.a(x)))

    model = Function(forward, a=nn.Linear(5, 6), b=nn.Linear(6, 2)).double()
    group = td.discover(model, INPUTS)
    assert facts(group) == [(6, "p")]
    assert not any(leg.tensor == "a.bias" for leg in group.spaces[0].legs)
