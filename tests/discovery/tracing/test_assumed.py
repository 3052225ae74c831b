"""What a trace takes for granted of lengths, at numbers."""

import pytest
import sympy
from torch.utils._sympy.functions import FloorDiv, Mod

from toroids.discovery.tracing import assumed

S, T = sympy.symbols("s t", positive=True, integer=True)
CONDITIONS = [
    sympy.Eq(FloorDiv(S + Mod(256 - Mod(S, 256), 256), 256), 1),
    sympy.Or(sympy.Ne(S * T, 12), sympy.Max(S, T) > 7),
    sympy.Le(FloorDiv(T, S - 3), 2),  # divided by nothing where s is 3
    sympy.Eq(sympy.Function("unknown")(S), 4),
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_python_and_sympy_agree_where_a_condition_fails(condition, monkeypatch):
    points = [{S: s, T: t} for s in (1, 3, 4, 257) for t in (1, 3, 8)] + [{T: 5}]
    found = [assumed.fails(condition, point) for point in points]
    monkeypatch.setattr(assumed, "_in_python", lambda condition: ((), None))
    assert found == [assumed.fails(condition, point) for point in points]


def test_conditions_of_lengths_are_not_put_in_by_sympy(monkeypatch):
    monkeypatch.setattr(assumed, "evaluated", None)  # of which a trace may need a hundred thousand
    assert assumed.fails(CONDITIONS[0], {S: 257}) and not assumed.fails(CONDITIONS[0], {S: 256})
