"""Exponents are exact numbers."""

from fractions import Fraction

import pytest

import toroids.discovery.inference.exponents as exponents


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
