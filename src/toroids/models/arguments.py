"""Checks of the arguments that networks are made from."""

from collections.abc import Iterable, Sequence
from numbers import Integral

from toroids.arguments.bounds import LARGEST
from toroids.arguments.shown import shown
from toroids.errors import ToroidsError

MOST_UNITS = LARGEST["width"]


def check_counts(**counts: int | Sequence[int]) -> None:
    """Refuses numbers of units, layers or pixels that are below one, alone or in a sequence."""
    for name, value in counts.items():
        numbers = value if isinstance(value, Sequence) else (value,)
        if not all(isinstance(n, Integral) and n >= 1 for n in numbers):
            wanted = "whole numbers" if isinstance(value, Sequence) else "a whole number"
            raise ToroidsError(f"`{name}` is {value!r}; pass {wanted}, 1 or more.")


def check_widths(widths: Sequence[int]) -> None:
    """Refuses what is not the numbers of inputs, of units in every hidden layer, and of classes."""
    whole = isinstance(widths, Sequence) and all(isinstance(n, Integral) for n in widths)
    if not whole or len(widths) < 2 or min(widths) < 1:
        shown = list(widths) if isinstance(widths, tuple) else widths
        raise ToroidsError(
            f"the widths are {shown!r}; pass at least inputs and classes, as a list of whole "
            "numbers, 1 or more."
        )


def check_seed(seed: int) -> None:
    """Refuses what torch cannot be seeded with."""
    if not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ToroidsError(f"the seed is {seed!r}; pass an int, 0 or more, below 2^63.")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Refuses what is not one of the choices, and lists them."""
    choices = list(choices)
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ToroidsError(f"`{name}` is {value!r}; pass one of {listed}.")


def widened(units: int, width: float) -> int:
    """Returns `width` times as many units, rounded, at least one."""
    if not 0 < width * units < MOST_UNITS:
        raise ToroidsError(
            f"`width` is {shown(width)}; pass a positive factor, 1 for the published width, with "
            f"which no layer has more than {MOST_UNITS:,} units."
        )
    return max(1, round(width * units))
