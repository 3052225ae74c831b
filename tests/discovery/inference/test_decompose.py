"""Operators without a rule are followed through what they are made of."""

import logging

import pytest
import torch
from torch import nn

import toroids as td
from toroids.discovery.inference import decompose
from toroids.discovery.inference.decompose import decomposition, has_rule
from toroids.discovery.rules import RULES
from toroids.discovery.tracing.example import example_of
from toroids.discovery.tracing.operators import operator_name
from toroids.discovery.tracing.trace import LOUD, trace


class Between(nn.Module):
    """A function between two layers."""

    def __init__(self, function, width=6):
        super().__init__()
        self.a, self.b, self.function = nn.Linear(3, 6), nn.Linear(width, 2), function

    def forward(self, x):
        return self.b(self.function(self.a(x)))


def nodes(function):
    program = trace(Between(function), example_of(nn.Identity(), torch.randn(4, 3)))
    return [n for n in program.graph.graph.nodes if n.op == "call_function"]


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        (lambda h: torch.nanmean(h).expand(4, 6), {"sum", "isnan", "div"}),
        (lambda h: torch.diff(h, dim=0, prepend=h[:1]), {"slice", "sub"}),
        (lambda h: nn.functional.poisson_nll_loss(h, h * h).expand(4, 6), {"exp", "mean"}),
    ],
)
def test_it_computes_the_same(function, parts):
    (node,) = [n for n in nodes(function) if not has_rule(operator_name(n))]
    graph = decomposition(node)
    names = {operator_name(n) for n in graph.graph.nodes if n.op == "call_function"}
    assert {f"aten::{part}" for part in parts} <= {name.removesuffix("_") for name in names}
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(n.meta["val"].shape, generator=generator) for n in node.all_input_nodes]
    replaced = iter(inputs)
    values = {n: next(replaced) for n in node.all_input_nodes}
    args = torch.fx.map_arg(node.args, values.__getitem__)
    expected = node.target(*args, **dict(node.kwargs))
    assert torch.allclose(graph(*inputs)[0], expected, equal_nan=True)


def test_what_has_a_rule_or_is_basic_is_not_decomposed():
    assert all(has_rule(operator_name(n)) for n in nodes(torch.tanh))
    (node,) = [n for n in nodes(torch.tanh) if operator_name(n) == "aten::tanh"]
    graph = decomposition(node)
    assert graph is None or "aten::tanh" not in {
        operator_name(n) for n in graph.graph.nodes if n.op == "call_function"
    }


def test_symmetries_pass_through(monkeypatch):
    monkeypatch.delitem(RULES, "aten::leaky_relu")
    (space,) = td.discover(Between(nn.functional.leaky_relu), torch.randn(4, 3)).spaces
    assert space.actions == {"permute", "rescale"}


def test_lengths_stay_open_inside():
    group = td.discover(Between(lambda h: torch.diff(h, dim=0, prepend=h[:1])), torch.randn(4, 3))
    assert "`x` (any, 3)" in group.notes[0]
    assert [space.size for space in group.spaces] == [6]


def test_what_pytorch_says_of_a_decomposition_that_fails_is_not_shown(monkeypatch):
    log, heard = logging.getLogger(LOUD[0]), []

    def failing(*_, **__):
        log.error("failed while attempting to run meta")
        raise RuntimeError

    monkeypatch.setattr(log, "handle", heard.append)
    monkeypatch.setattr(decompose, "make_fx", failing)
    (node,) = [
        n
        for n in nodes(lambda h: torch.diff(h, dim=0, prepend=h[:1]))
        if not has_rule(operator_name(n))
    ]
    assert decompose.decomposition(node) is None and not heard
