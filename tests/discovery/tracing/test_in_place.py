"""In-place operators on views: traced as they are where nobody else sees what they change."""

import pytest
import torch
from discovery.function import Function
from torch import nn

import toroids as td
from toroids.discovery.tracing.example import example_of
from toroids.discovery.tracing.trace import trace


class Between(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.before, self.after = nn.Linear(4, 6), nn.Linear(6, 2)
        self.change = change

    def forward(self, x):
        return self.after(self.change(self.before(x)))


def own_view(h):
    return h.flatten(1).mul_(2)


def dropped(h):
    return nn.functional.dropout(h.flatten(1), 0.5, training=False, inplace=True)


def own_piece(h):
    values, _ = h.topk(6)
    return values.div_(2)


def copy_of_another_type(h):
    return torch.zeros(h.shape).to(h).add_(h)


def view_of_what_is_read(h):
    h.view(-1, 6).relu_()
    return h


def part_of_what_is_read(h):
    h[:, :3].mul_(3)
    return h


def piece_beside_the_same_piece(h):
    one, other = h.chunk(2, -1)[0], h.chunk(2, -1)[0]
    one.mul_(2)
    return torch.cat([one, other], -1)


def view_that_another_view_shows(h):
    h.view(-1).mul_(2)
    return h.view(-1, 2, 3).flatten(1)


def view_read_before_it_is_changed(h):
    part = h.view(-1, 2, 3)[:, 0]
    before = part * 1
    return torch.cat([before, part.mul_(2)], -1)


OWN = [own_view, dropped, own_piece, copy_of_another_type]
SHARED = [
    view_of_what_is_read, part_of_what_is_read, piece_beside_the_same_piece,
    view_that_another_view_shows, view_read_before_it_is_changed,
]  # fmt: skip


@pytest.mark.parametrize("change", [*OWN, *SHARED], ids=lambda change: change.__name__)
def test_a_trace_gives_what_the_module_gives(change):
    model, x = Between(change).double().eval(), torch.randn(3, 4, dtype=torch.float64)
    program = trace(model, example_of(model, x))
    with torch.no_grad():
        torch.testing.assert_close(program.run(model.state_dict(), wide=True)[0], model(x))
    kept = any(str(node.target).split(".")[-2][-1:] == "_" for node in operators(program))
    assert kept == (change in [*OWN, view_read_before_it_is_changed])


def operators(program):
    return [
        n for n in program.graph.graph.nodes if n.op == "call_function" and "." in str(n.target)
    ]


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_a_weight_may_be_overwritten_by_numbers_of_another_type(precision):
    def forward(m, x):
        with torch.no_grad():
            m.out.bias.copy_(torch.tensor([1, 2], dtype=torch.float64))
            m.enter.bias.copy_(m.out.weight.float()[0])
        return m.out(torch.relu(m.enter(x)))

    model = Function(forward, enter=nn.Linear(4, 6), out=nn.Linear(6, 2)).to(precision)
    group = td.discover(model, torch.randn(3, 4, dtype=precision))
    assert {leg.tensor for leg in group.spaces[0].legs} == {
        "enter.weight", "enter.bias", "out.weight",
    }  # fmt: skip


def test_a_graph_that_cannot_be_simplified_is_refused_as_what_cannot_be_traced(monkeypatch):
    def fail(graph):
        raise KeyError("an operator")

    monkeypatch.setattr("toroids.discovery.tracing.trace.contract_products", fail)
    model, x = Between(own_view), torch.randn(3, 4)
    with pytest.raises(td.ToroidsError, match="`Between` cannot be traced: 'an operator'"):
        trace(model, example_of(model, x))
