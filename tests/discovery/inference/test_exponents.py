"""Exponents are exact numbers."""

from fractions import Fraction

import pytest
import torch
from torch import nn

import toroids.discovery.inference.exponents as exponents
from toroids.discovery.inference.infer import infer
from toroids.discovery.inference.shuffles import solved
from toroids.discovery.tracing.explore import explore


@pytest.mark.parametrize(
    ("factor", "meant"),
    [
        (0.5, Fraction(1, 2)),
        (1 / 3, Fraction(1, 3)),
        (0.1 + 0.2, Fraction(3, 10)),
        (1.0000001, Fraction(1.0000001)),
        (1e-9, Fraction(1e-9)),
        (-2 - 2**-40, Fraction(-2 - 2**-40)),
    ],
)
def test_a_float_is_itself_or_the_fraction_that_it_rounds(factor, meant):
    assert exponents.fraction(factor) == meant


def test_entries_of_a_table_that_stay_in_place_cost_no_equations_each():
    kept = []
    for entries in (5, 500):
        module = nn.Sequential(nn.Embedding(entries, 4), nn.LayerNorm(4), nn.Linear(4, entries))
        inference = infer(explore(module, (torch.tensor([[1, 2, 3]]),)).programs)
        rows = exponents.Exponents(inference.constraints, solved(inference)).rows
        kept.append(sum(map(len, rows.values())))
    assert kept[0] == kept[1]
