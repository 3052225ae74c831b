"""What a forward keeps for later calls, wherever that is, is refused by name, and left as it was."""

import functools
import itertools
import random
import threading
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import toroids as td
from toroids.errors import ToroidsError


class Keeps(nn.Module):
    """Keeps what the test says."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.c = nn.Linear(3, 6), nn.Linear(6, 2)
        self.n, self.seen, self.merged, self.run = 0, [], None, forward

    def forward(self, x):
        return self.run(self, x)


def counts(m, x):
    m.n += 1
    return m.c(m.a(x).relu() if m.n < 50 else m.a(x).tanh())


def lists(m, x):
    m.seen.append(1)
    return m.c(m.a(x).relu() if len(m.seen) < 8 else m.a(x).tanh())


def merges(m, x):
    if m.merged is None:
        m.merged = m.a.weight.detach().clone()
    return m.c(F.linear(x, m.merged, m.a.bias).relu())


@pytest.mark.parametrize(("forward", "kept"), [(counts, "n"), (lists, "seen"), (merges, "merged")])
def test_what_is_kept_and_read_much_later_is_refused(forward, kept):
    model = Keeps(forward)
    with pytest.raises(ToroidsError, match=rf"keeps something between calls \(as `{kept}`\)"):
        td.discover(model, torch.randn(2, 5, 3))
    assert (model.n, model.seen, model.merged) == (0, [], None)


class Slotted:
    __slots__ = ("__weakref__", "n")

    def __init__(self, n=0):
        self.n = n

    def step(self, by=1):
        self.n += by
        return self.n


SLOTTED = Slotted()


def grown(live, more):
    """How many there are, once more are added."""
    getattr(live, "append" if hasattr(live, "append") else "add")(more(len(live)))
    return len(live)


def added(live):
    live += 1
    return int(live[0])


# What counts calls: made anew for every test, and how it does.
COUNTING = {
    "an object without a mapping": (Slotted, lambda m: m.seen.step()),
    "a global one": (lambda: None, lambda m: SLOTTED.step()),
    "a method": (lambda: Slotted().step, lambda m: m.seen()),
    "a call in part": (lambda: functools.partial(Slotted.step, Slotted()), lambda m: m.seen()),
    "a reference": (lambda: weakref.ref(SLOTTED), lambda m: m.seen().step()),
    "a set": (set, lambda m: grown(m.seen, int)),
    "bytes": (bytearray, lambda m: grown(m.seen, lambda n: 0)),
    "an array": (lambda: np.zeros(1), lambda m: added(m.seen)),
    "what every thread has": (threading.local, lambda m: Slotted.step(m.seen)),
}


@pytest.mark.parametrize("name", COUNTING)
def test_counts_in_objects_of_any_kind_are_refused_and_left_as_they_were(name):
    make, step = COUNTING[name]

    def counting(m, x):
        return m.c(m.a(x).relu() if step(m) < 50 else m.a(x).tanh())

    model = Keeps(counting)
    model.seen = make()
    if isinstance(model.seen, threading.local):
        model.seen.n = 0
    with pytest.raises(ToroidsError, match="keeps something between calls .as `"):
        td.discover(model, torch.randn(2, 5, 3))
    assert step(model) == 1
    SLOTTED.n = 0


ITERATORS = {
    "numbers": itertools.count,
    "a list": lambda: iter([0] * 99),
    "others": lambda: zip(itertools.count(), iter(range(10**6)), strict=False),
    "code": lambda: (n for n in range(10**6)),
}


@pytest.mark.parametrize("name", ITERATORS)
def test_iterators_that_calls_take_from_are_refused(name):
    def takes(m, x):
        next(m.seen)
        return m.c(m.a(x).relu())

    model = Keeps(takes)
    model.seen = ITERATORS[name]()
    with pytest.raises(ToroidsError, match="takes from the iterator `seen` in every call"):
        td.discover(model, torch.randn(2, 5, 3))
    assert name not in ("numbers", "a list") or next(model.seen) == 0


DRAWN = {
    "Python's": (lambda: None, lambda m: random.random()),
    "NumPy's": (lambda: None, lambda m: np.random.random()),  # noqa: NPY002
    "its own": (lambda: random.Random(0), lambda m: m.seen.random()),
    "its own of NumPy": (lambda: np.random.default_rng(0), lambda m: m.seen.random()),
}


@pytest.mark.parametrize("name", DRAWN)
def test_random_numbers_that_seldom_count_have_a_note(name):
    make, draw = DRAWN[name]

    def draws(m, x):
        return m.c(m.a(x).relu() if draw(m) > 1e-9 else m.a(x).tanh())

    model = Keeps(draws)
    model.seen = make()
    state = random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    notes = td.discover(model, torch.randn(2, 5, 3)).notes
    assert any("draws outside of PyTorch change nothing" in note for note in notes)
    assert state == (random.getstate(), repr(np.random.get_state()))  # noqa: NPY002


def test_a_count_that_nobody_reads_is_no_harm():
    def harmless(m, x):
        m.n += 1
        m.seen.append(np.zeros(1))
        added(m.counted)
        return m.c(m.a(x).relu())

    model = Keeps(harmless)
    model.counted, model.unused = np.zeros(1), iter([1])
    (space,) = td.discover(model, torch.randn(2, 5, 3)).spaces
    assert space.actions == {"permute", "rescale"}
    assert model.counted[0] == 0 and next(model.unused) == 1
