"""Known maps along an axis: what they do not tell apart may be exchanged, and nothing else."""

import itertools
import math

import numpy as np
import pytest
import torch
from discovery.function import Function
from torch import nn
from torch.nn import functional

import toroids as td
from toroids.discovery.axes.through import alike

ONES = torch.ones(1, 1, 2, dtype=torch.float64)
MAPS = {
    "a sum": [[1, 1, 1, 1]],
    "steps of a trapezoid": [[1, 2, 2, 1]],
    "windows that meet": [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]],
    "one after the other": np.eye(4),
    "repeated": np.repeat(np.eye(3), 2, axis=0),
    "a rotation": np.roll(np.eye(5), 1, axis=0),
    "a circle": np.eye(5) + np.roll(np.eye(5), 1, axis=0),
    "frequencies of 3": 1 + np.outer(range(3), range(3)) % 3,
    "frequencies of 5": 1 + np.outer(range(5), range(5)) % 5,
    "pairs": [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]],
    "partial sums": np.tril(np.ones((4, 4))),
}


@pytest.mark.parametrize("table", MAPS.values(), ids=list(MAPS))
def test_exchanges_of_positions_are_those_that_only_permute_the_rows(table):
    """Brute force over all exchanges of two columns, and over what is granted together."""
    table = np.asarray(table)
    found = alike(table)
    rows = sorted(map(tuple, table))
    for a, b in itertools.combinations(range(table.shape[1]), 2):
        order = np.arange(table.shape[1])
        order[[a, b]] = b, a
        if found.classes[a] == found.classes[b]:
            assert sorted(map(tuple, table[:, order])) == rows
    for first, second in itertools.combinations(range(len(table)), 2):
        if not found.followed and found.orbits[first] == found.orbits[second]:
            assert tuple(table[first]) == tuple(table[second])


@pytest.mark.parametrize(
    ("name", "classes", "orbits"),
    [
        ("a sum", 1, 1), ("steps of a trapezoid", 2, 1), ("windows that meet", 3, 2),
        ("one after the other", 1, 1), ("repeated", 1, 1), ("a rotation", 1, 1),
        ("a circle", 5, 5), ("frequencies of 3", 2, 2), ("frequencies of 5", 5, 5),
        ("pairs", 4, 6), ("partial sums", 4, 4),
    ],
)  # fmt: skip
def test_what_a_map_does_not_tell_apart(name, classes, orbits):
    found = alike(MAPS[name])
    assert (len(set(found.classes)), len(set(found.orbits))) == (classes, orbits)


@pytest.mark.parametrize(
    ("shape", "results", "function", "orders"),
    [
        ((1, 1, 5), 2, lambda y: functional.avg_pool1d(y, 3, 2), 2**2),
        ((1, 1, 4), 2, lambda y: functional.max_pool1d(y, 2), 2 * 2**2),
        ((1, 1, 3), 6, lambda y: functional.interpolate(y, 6), 6 * 2**3),
        ((1, 1, 4), 3, lambda y: functional.interpolate(y, 3, mode="linear"), 1),
        ((3,), 6, lambda y: torch.view_as_real(torch.fft.fft(y)), 2),
        ((2, 2), 4, lambda y: y.as_strided((2, 2), (1, 2)), 24),
        ((3,), 6, lambda y: y.as_strided((3, 2), (1, 0)), 6 * 2**3),
        ((4,), 4, lambda y: y * torch.tensor([1.0, 2, 1, 1], dtype=y.dtype), 6),
        ((3, 3), 9, lambda y: torch.tril(y, 1), 2 * 2),
        ((1, 1, 4), 2, lambda y: functional.conv1d(y, ONES, stride=2), 2 * 2**2),
        ((1, 1, 4), 3, lambda y: functional.conv1d(y, ONES), 1),
        ((1, 1, 3), 6, lambda y: functional.conv_transpose1d(y, ONES, stride=2), 6 * 2**3),
    ],
)  # fmt: skip
def test_orders_of_entries_that_an_operator_does_not_tell_apart(shape, results, function, orders):
    """Every entry of an argument is written by a row, every entry of the result read by a column."""
    model = Function(
        lambda m, x: m.read(function(m.write(x).reshape(shape)).reshape(1, -1)),
        write=nn.Linear(3, int(np.prod(shape))), read=nn.Linear(results, 2),
    ).double()  # fmt: skip
    group = td.discover(model, torch.randn(1, 3, dtype=torch.float64))
    found = [math.factorial(s.size) ** s.copies for s in group.spaces if "permute" in s.actions]
    assert math.prod(found) == orders
