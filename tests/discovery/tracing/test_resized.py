"""A third trace read off two others."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import toroids as td
from toroids.discovery.tracing import looks
from toroids.discovery.tracing.example import example_of
from toroids.discovery.tracing.explore import explore
from toroids.discovery.tracing.program import twin_of
from toroids.discovery.tracing.resized import resized
from toroids.discovery.tracing.trace import trace


class Heads(nn.Module):
    """Attention without projections: numbers are lengths, products of them, one more and less."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        batch, length, _ = x.shape
        h = self.before(x).view(batch * length, 6).view(batch, length, 2, 3)
        h = h.transpose(1, 2).reshape(batch * 2, length, 3)
        seen = torch.arange(length - 1).new_ones(length - 1).cumsum(0)
        h = h[:, 1:] * seen.view(1, length - 1, 1)
        return self.after(h.reshape(batch, 2, length - 1, 3).transpose(1, 2).flatten(2))


def paired(model, *sizes):
    """A trace at the first sizes, with that at the second ones as its twin."""
    one, other = (trace(model, example_of(model, torch.randn(size))) for size in sizes)
    return replace(one, twin=twin_of(one, other))


@pytest.mark.parametrize("size", [(5, 9, 4), (1, 2, 4), (7, 3, 4)])
def test_numbers_are_those_of_the_third_size(size):
    model = Heads().eval()
    program = paired(model, (2, 8, 4), (3, 5, 4))
    example = example_of(model, torch.randn(size))
    found = resized(program, example)
    outputs = found.run(model.state_dict(), wide=False, inputs=example.tensors)
    with torch.no_grad():
        torch.testing.assert_close(outputs[0], model(*example.tensors).double())
    assert found.example is example and found.twin is None


class Repeats(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.layer, self.count = nn.Linear(4, 4), count

    def forward(self, x):
        return self.layer(x.repeat(1, self.count(*x.shape[:2]), 1))


@pytest.mark.parametrize(
    "count",
    [
        lambda batch, length: length * length,  # no length, and no product of two
        lambda batch, length: 3 * length + 1,
    ],
)
def test_what_is_no_simple_number_of_lengths_is_not_read(count):
    model = Repeats(count).eval()
    program = paired(model, (2, 6, 4), (3, 5, 4))
    assert resized(program, example_of(model, torch.randn(4, 8, 4))) is None


def test_several_readings_are_none():
    model = Repeats(lambda batch, length: length).eval()
    program = paired(model, (6, 6, 4), (5, 5, 4))  # the length, or the batch
    assert resized(program, example_of(model, torch.randn(4, 8, 4))) is None
    assert resized(program, example_of(model, torch.randn(4, 4, 4))) is not None


class Deep(nn.Module):
    """Many operators, so that lengths are numbers in its traces."""

    def __init__(self, most=None):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(60))
        self.most = most

    def forward(self, x):
        batch, length, _ = x.shape
        for layer in self.layers:
            x = x + layer(x.reshape(batch * length, 4)).tanh().view(batch, length, 4)
        return x[:, : length // 2] if self.most and length > self.most else x


def test_large_graphs_are_traced_twice_and_where_they_do_something_else(monkeypatch):
    made = []

    def counted(*args, **kwargs):
        made.append(args[1].sizes)
        return trace(*args, **kwargs)

    monkeypatch.setattr(looks, "trace", counted)
    model = Deep(most=11).eval()
    explored = explore(model, torch.randn(2, 6, 4))
    assert len(explored.main.graph.graph.nodes) > looks.SMALL
    assert len(made) == 3  # the example, a twin at other sizes, and more than eleven positions
    assert len(explored.points) > 3
    assert td.verify(td.discover(model, torch.randn(2, 6, 4)), model, torch.randn(3, 14, 4)) < 1e-8


def test_what_is_read_at_a_third_size_holds_at_any():
    group = td.discover(Deep().eval(), torch.randn(2, 6, 4))
    assert any("sizes `x` (any, any, 4)" in note for note in group.notes)
    bounded = td.discover(Deep(most=500).eval(), torch.randn(2, 6, 4))
    assert td.verify(bounded, Deep(most=500).eval(), torch.randn(2, 501, 4)) < 1e-8


class Windows(nn.Module):
    """Text in windows of four words, the last one padded."""

    def __init__(self):
        super().__init__()
        self.words, self.after = nn.Embedding(9, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = self.words(x)
        h = nn.functional.pad(h, (0, 0, 0, -x.shape[1] % 4))
        h = h.unflatten(1, (-1, 4)).softmax(2).flatten(1, 2)
        return self.after(h[:, : x.shape[1]])


@pytest.mark.parametrize(("small", "is_open"), [(0, False), (250, True)])
def test_larger_graphs_of_padded_text_are_traced_at_two_sizes(monkeypatch, small, is_open):
    monkeypatch.setattr(looks, "SMALL", small)
    model = Windows()
    (main, *_) = explore(model, torch.randint(9, (2, 6))).programs
    assert bool(main.lengths) == is_open
    group = td.discover(model, torch.randint(9, (2, 6)))
    assert group.share_moved > 0.9
