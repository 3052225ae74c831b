"""Forwards that ask in Python how long their inputs are, what they kept, or what they were given."""

import copy
import sys

import pytest
import sympy
import torch
import torch.nn.functional as F
from discovery.far import deviation
from discovery.function import Function
from torch import nn
from torch.utils._sympy.functions import FloorDiv, PythonMod

import toroids as td
from toroids.discovery.tracing import looks
from toroids.discovery.tracing.asked import Asked
from toroids.discovery.tracing.assumed import equal_lengths, excluded
from toroids.discovery.tracing.example import example_of
from toroids.discovery.tracing.explore import explore
from toroids.discovery.tracing.lengths import length_of, with_formula
from toroids.discovery.tracing.listening import Asking
from toroids.errors import ToroidsError


class Either(nn.Module):
    """A ReLU, or, where asked, a tanh: scales hold for the first, flips for the second."""

    def __init__(self, asked, image=False):
        super().__init__()
        self.a = nn.Conv2d(3, 6, 1) if image else nn.Linear(3, 6)
        self.c = nn.Conv2d(6, 2, 1) if image else nn.Linear(6, 2)
        self.asked = asked

    def forward(self, x):
        return self.c(self.a(x).tanh() if self.asked(x) else self.a(x).relu())


ASKED = {
    "equal": lambda x: x.shape[1] == 7,
    "far": lambda x: x.shape[1] == 100,
    "among": lambda x: x.shape[1] in (7, 11, 13),
    "unequal": lambda x: x.shape[1] != 5,
    "batch": lambda x: x.shape[0] == 7,
    "a power of two": lambda x: x.shape[1] & (x.shape[1] - 1) == 0 and x.shape[1] > 16,
    "remainder": lambda x: x.shape[1] % 7 == 0,
    "quotient": lambda x: x.shape[1] // 8 == 2,
    "entries": lambda x: x.numel() > 100,
    "product": lambda x: x.shape[0] * x.shape[1] > 100,
    "longer than many": lambda x: x.shape[0] > x.shape[1],
    "all at once": lambda x: tuple(x.shape) == (7, 9, 3),
    "some at once": lambda x: x.shape[1:] == (11, 3),
    "length": lambda x: len(x) == 9,
    "root": lambda x: int(x.shape[1] ** 0.5) == 4,
    "bits": lambda x: x.shape[1].bit_length() > 4,
    "key": lambda x: {13: True}.get(x.shape[1], False),
    "text": lambda x: str(x.shape[1]) == "13",
    "handled": lambda x: fits(x),
    "memory": lambda x: not x.is_contiguous(),
    "strides": lambda x: x.stride()[0] < x.stride()[1],
    "type": lambda x: x.dtype == torch.float64,
    "axes": lambda x: x.ndim == 4,
    "bytes": lambda x: x.nbytes > 1000,
    "rest": lambda x: x[:, 10:].numel() > 0,
    "pieces": lambda x: len(x.split(4, 1)) > 3,
}


def fits(x):
    try:
        return x.view(40, 3) is not None
    except RuntimeError:
        return False


@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_of_lengths_is_asked_again(name):
    (space,) = td.discover(Either(ASKED[name]), torch.randn(2, 5, 3)).spaces
    assert space.actions == {"permute"}


@pytest.mark.parametrize(
    "asked", [lambda x: x.shape[2] != x.shape[3], lambda x: x.shape[2] > x.shape[3]]
)
def test_images_need_not_be_square(asked):
    (space,) = td.discover(Either(asked, image=True), torch.randn(2, 3, 8, 8)).spaces
    assert space.actions == {"permute"}


def test_graphs_of_many_operators_are_asked_too(monkeypatch):
    monkeypatch.setattr("toroids.discovery.tracing.looks.SMALL", 2)  # no trace with open lengths
    for name in ("far", "all at once", "entries"):
        (space,) = td.discover(Either(ASKED[name]), torch.randn(2, 5, 3)).spaces
        assert space.actions == {"permute"}


def test_loops_are_looked_at_at_a_long_input():
    class Loop(Either):
        def forward(self, x):
            h = 0
            for t in range(x.shape[1]):
                h = (self.a(x[:, t]) + h).relu() if t != 7 else self.a(x[:, t]).tanh()
            return self.c(h)

    (space,) = td.discover(Loop(None), torch.randn(2, 5, 3)).spaces
    assert space.actions == {"permute"}


def test_loops_are_looked_at_at_even_and_odd_lengths(monkeypatch):
    monkeypatch.setattr("toroids.discovery.tracing.distant.LONG", 0)  # at no long one

    def forward(m, x):  # at one position and at three the middle lies between two entries alike
        h, table = 0, F.interpolate(m.table, size=x.shape[1], mode="linear")[0].mT
        for t in range(x.shape[1]):
            h = torch.tanh(m.a(x[:, t]) + h + table[t])
        return m.c(h)

    table = nn.Parameter(torch.randn(1, 6, 8))
    model = Function(forward, a=nn.Linear(3, 6), c=nn.Linear(6, 2), table=table)
    (space,) = td.discover(model, torch.randn(2, 1, 3)).spaces
    assert {leg.axis for leg in space.legs if leg.tensor == "table"} == {1}


def test_lists_may_have_another_length():
    class Listed(Either):
        def forward(self, xs):
            first, *rest = (self.a(x) for x in xs)
            return self.c(first.relu() + sum(h.relu() if len(rest) < 3 else h.tanh() for h in rest))

    group = td.discover(Listed(None), ([torch.randn(2, 3)] * 3,))
    assert [space.actions for space in group.spaces] == [{"permute"}]
    assert "also for inputs as (2, 3), (2, 3), (2, 3), (2, 3) of float32" in group.notes[0]


def test_a_length_that_is_kept_asks_nothing_later():
    model = Function(lambda m, x: m.c(m.a(x).relu()), a=nn.Linear(3, 6), c=nn.Linear(6, 2), seen=[])
    model.register_forward_hook(lambda m, args, y: m.seen.append(args[0].shape[1]))
    td.discover(model, torch.randn(2, 5, 3))
    listener = Asking(Asked(), example_of(model, torch.randn(2, 5, 3)), (), list)
    length = with_formula(5, length_of("x", (0, 1)), listener, sys._getframe())
    found = length + 2, 2 * length, length // 2, -length, length / 2, divmod(length, 2), length == 5
    assert found == (7, 10, 2, -5, 2.5, (2, 1), True)
    assert type(copy.copy(length)) is int
    assert type(copy.copy(length / 2)) is float


def test_two_inputs_whose_lengths_are_compared():
    class Two(Either):
        def forward(self, x, y):
            if x.shape[1] == y.shape[1]:
                return self.c(self.a(x).relu() + self.a(y).relu())
            return self.c(self.a(x).tanh())

    inputs = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    assert all(s.actions == {"permute"} for s in td.discover(Two(None), inputs).spaces)


def test_guards_say_which_lengths_are_equal_and_which_excluded():
    a, b, c = sympy.symbols("a b c", integer=True, positive=True)
    assert equal_lengths([sympy.Eq(8 * a * c, 8 * c * b), sympy.Eq(c, 3)]) == {a: b, c: 3}
    assert equal_lengths([sympy.Ne(a, b), a < b]) == {}
    pieces = FloorDiv(a, 4)  # one piece: a number wherever the trace holds
    assert equal_lengths([sympy.Eq(pieces * c, 3), sympy.Eq(pieces, 1)]) == {pieces: 1, c: 3}
    windows = FloorDiv(a - 1, 4)  # of 13 to 16 positions
    assert equal_lengths([sympy.Eq(6 * windows + 6, 24)])[windows] == 3
    assert list(excluded([sympy.Ne(a, 7)], {a: 5})) == [{a: 7}]
    assert list(excluded([a <= b], {a: 2, b: 5})) == [{a: 6}]
    assert list(excluded([sympy.Ne(c, 7)], {a: 5})) == []
    windows = PythonMod(a - 4, 2)  # which PyTorch makes no number of where it is negative
    assert list(excluded([sympy.Eq(windows, 1)], {a: 5})) == [{a: 4}]


def test_arguments_that_the_example_leaves_out_are_told():
    class Optional(Either):
        def forward(self, x, mask=None, flag=False):
            return self.c(self.a(x).tanh() if flag else self.a(x).relu())

    note = "holds where `mask`, `flag` are left out, as in the example"
    for inputs in (torch.randn(2, 5, 3), (torch.randn(2, 5, 3), None)):
        assert note in td.discover(Optional(None), inputs).notes


def test_attention_across_two_inputs():
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x, y):
            return self.m(x, y, y)[0]

    group = td.discover(Cross(), (torch.randn(2, 3, 8), torch.randn(2, 5, 8)))
    actions = sorted(("".join(sorted(a[0] for a in s.actions)), s.copies) for s in group.spaces)
    assert actions == [("mps", 2), ("mps", 2), ("p", 1)]  # values shift what the output adds


@pytest.mark.parametrize(
    ("view", "shape"),
    [
        (lambda h: h.reshape(h.shape[0], 6, h.shape[1]).sum(1), (2, 5, 3)),
        (lambda h: h.reshape(h.shape[0], 6, -1).softmax(1).sum(2), (2, 6, 3)),
    ],
)
def test_views_that_mix_units_with_a_length_keep_them_in_place(view, shape):
    model = Either(None)
    model.forward = lambda x: view(model.a(x).relu())
    assert td.discover(model, torch.randn(shape)).spaces == ()


def test_the_users_random_numbers_go_on_as_they_would():
    class Draws(Either):
        def forward(self, x):
            return self.c(self.a(x) + torch.rand(6))

    model, inputs = Draws(None), torch.randn(2, 3)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with pytest.raises(ToroidsError, match="draws random numbers"):
        td.discover(model, inputs)
    assert torch.equal(torch.rand(3), expected)


# What the last of many layers that share their code does on long inputs.
LATE = {
    "asked": lambda h, most: h.tanh() if h.shape[1] > most else h.relu(),
    "added": lambda h, most: (h + max(0, h.shape[1] - most)).relu(),
    "cut": lambda h, most: torch.cat([h[:, :most].relu(), h[:, most:].tanh()], 1),
    "of a shorter stream": lambda h, most: (
        h.tanh() if h[:, :: 1 + 3 * (most < 99)].shape[1] > most else h.relu()
    ),
}


@pytest.mark.parametrize("name", LATE)
def test_every_layer_of_one_code_is_heard(name, monkeypatch):
    monkeypatch.setattr(looks, "SMALL", 0)
    bounds = (9999,) * 9 + (20,)

    def forward(m, x):
        for layer, most in zip(m.layers, bounds, strict=True):
            x = x + m.o(LATE[name](layer(x), most))
        return x

    layers = nn.ModuleList(nn.Linear(3, 4) for _ in bounds)
    model = Function(forward, layers=layers, o=nn.Linear(4, 3))
    group = td.discover(model, torch.randn(2, 6, 3))
    assert deviation(model, group, [torch.randn(1, t, 3) for t in (6, 30, 90)]) < 1e-8
    assert {frozenset({"permute"})} == {space.actions for space in group.spaces}


def test_layers_are_looked_at_where_most_of_them_do_something_else(monkeypatch):
    monkeypatch.setattr(looks, "SMALL", 0)

    def forward(m, x):
        for i, layer in enumerate(m.layers):
            x = x + (layer(x).tanh() if x.shape[1] > 7 + 3 * i else layer(x).relu())
        return x

    layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(20))
    explored = explore(Function(forward, layers=layers), torch.randn(2, 6, 3))
    assert len(explored.programs) < 6  # not one for every layer


def test_a_length_that_a_forward_gave_itself_is_no_question():
    def checked(m, x):
        high, wide = int(x.shape[2]) // 2, int(x.shape[3]) // 2
        h = F.interpolate(m.a(x).relu(), size=(high, wide), mode="bilinear")
        if h.shape[2] != high or h.shape[3] != wide:
            raise ValueError(h.shape)
        return m.c(h)

    model = Function(checked, a=nn.Conv2d(3, 6, 1), c=nn.Conv2d(6, 2, 1))
    assert len(explore(model, torch.randn(2, 3, 8, 8)).programs) < 20  # not a hundred, one a size


def test_a_length_that_a_forward_gave_itself_may_be_another_one_at_odd_sizes():
    def halved(m, x):
        h = m.a(x)
        return m.c(h.relu() if h.shape[2] == int(x.shape[2]) // 2 else h.tanh())

    model = Function(halved, a=nn.Conv2d(3, 6, 3, stride=2, padding=1), c=nn.Conv2d(6, 2, 1))
    (space,) = td.discover(model, torch.randn(2, 3, 8, 8)).spaces
    assert space.actions == {"permute"}


def test_a_loop_that_cuts_position_by_position_asks_for_nothing_behind():
    def recurrent(m, x):
        h, state, states = m.a(x), x.new_zeros(len(x), 1, 4), []
        for t in range(x.shape[1]):
            state = (state + h[:, t : t + 1]).tanh()
            states.append(state)
        return m.c(torch.cat(states, 1))

    model = Function(recurrent, a=nn.Linear(3, 4), c=nn.Linear(4, 2))
    programs = explore(model, torch.randn(2, 4, 3)).programs
    assert max(p.example.tensors[0].shape[1] for p in programs) < 34  # not two more every time


def test_far_lengths_are_looked_at_for_few_examples():
    """Attention compares all pairs of positions: of 65 examples with 2048 each a minute long."""
    model = Either(ASKED["far"])
    example = example_of(model, torch.randn(2, 7, 3))
    seen = looks.Looks(model, example, None)
    seen.first()
    seen.programs = [seen.traced(example)]
    batch, length, _ = example.axes
    assert not seen.is_too_large(example.resized({batch: 1, length: 2048}))
    assert seen.is_too_large(example.resized({batch: 65, length: 2048}))
    assert not seen.is_too_large(example.resized({batch: 40_000}))
