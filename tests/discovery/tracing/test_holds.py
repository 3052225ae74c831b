"""What the notes say of sizes is what was traced or looked at, and nothing in between."""

from dataclasses import replace

import torch
from discovery.function import Function
from torch import nn
from torch.nn import functional as F

import toroids as td
from toroids.discovery.tracing.example import example_of
from toroids.discovery.tracing.holds import Point, Sizes
from toroids.discovery.tracing.trace import trace


class Doubling(nn.Module):
    """Looks back by powers of two, so that every trace is for lengths between two of them."""

    def __init__(self):
        super().__init__()
        self.words, self.last = nn.Embedding(20, 4), nn.Linear(4, 3)

    def forward(self, tokens):
        x, back = self.words(tokens), 1
        while back < tokens.shape[1]:
            x = x + 0.5 * F.pad(x[:, :-back], (0, 0, back, 0)).relu()
            back *= 2
        return self.last(x)


def test_ranges_with_a_gap_are_said_apart_and_the_example_is_one_of_the_sizes():
    group = td.discover(Doubling(), torch.randint(0, 20, (2, 9)))
    note = next(note for note in group.notes if note.startswith("holds for inputs of the sizes"))
    said = note[note.index("(any, ") + 6 : note.index(")")]
    ends = [[int(n) for n in part.split(" to ")] for part in said.split(" or ")]
    holding = {n for low, *high in ends for n in range(low, (high or [low])[0] + 1)}
    assert 9 in holding and holding >= {17, 20, 32}
    assert not holding & set(range(34, 65))  # of which nothing was traced or called


def test_a_long_example_may_be_cut_into_pieces():
    def pieces(m, x):
        return m.c(sum(piece.sum(1) for piece in m.a(x[..., None]).relu().split(700, 1)))

    model = Function(pieces, a=nn.Linear(1, 6), c=nn.Linear(6, 2))
    group = td.discover(model, torch.randn(2, 1500))
    # of three pieces that are no single positions, and of fewer
    assert "(any, 1 to 1400 or 1402 to 2100)" in group.notes[0]


def test_windows_of_which_a_layer_takes_a_number():
    def windows(m, x):
        return m.c(F.relu(m.b(F.relu(m.a(x[:, None])))).flatten(1))

    a, b = (nn.Conv1d(n, 6, 3, stride=2, padding=1) for n in (1, 6))
    model = Function(windows, a=a, b=b, c=nn.Linear(24, 3))
    group = td.discover(model, torch.randn(2, 16))
    assert "(any, 13 to 16)" in group.notes[0]
    assert [space.size for space in group.spaces] == [6, 6]


def test_of_many_lengths_that_were_looked_at_few_are_listed():
    model = Function(lambda m, x: m.a(x), a=nn.Linear(1, 2))
    example = example_of(model, torch.zeros(2, 1))
    program = trace(model, example)
    sizes = [2, 3, 4, *range(10, 40, 2), 60]
    examples = [example.resized({(0, 0): size}) for size in sizes]
    points = [Point(replace(program, example=other), other) for other in examples]
    group_note = next(Sizes(example, points).notes())
    assert "(2 to 4 or 10 or 12 or 14 or 16 or 11 more or 60, 1)" in group_note
