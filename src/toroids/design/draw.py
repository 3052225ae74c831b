"""Combinations drawn by their numbers, so that nothing but what is drawn is ever listed."""

import random
from collections.abc import Iterator, Sequence
from math import comb
from typing import Literal, TypeVar

Item = TypeVar("Item")


def drawn(total: int, count: int | Literal["all"], what: str) -> Sequence[int]:
    """Draws numbers below a total without replacement.

    Args:
        total: how many there are.
        count: how many are drawn; all of them where there are no more.
        what: what is drawn, which alone decides the draw.

    Returns:
        The numbers, in order.
    """
    if count == "all" or count >= total:
        return range(total)
    return sorted(random.Random(what).sample(range(total), count))


def combinations(
    items: Sequence[Item], size: int, ranks: Sequence[int]
) -> Iterator[tuple[Item, ...]]:
    """Yields those of `itertools.combinations(items, size)` that have the given numbers.

    Args:
        items: from which are chosen.
        size: how many are chosen at a time.
        ranks: places in the order of itertools.

    Yields:
        One combination per rank; none of the others is made.
    """
    for rank in ranks:
        yield tuple(items[place] for place in _places(len(items), size, rank))


def _places(total: int, size: int, rank: int) -> Iterator[int]:
    """The combination of a rank: those that begin with the first item come first."""
    place = 0
    while size:
        with_it = comb(total - place - 1, size - 1)
        if rank < with_it:
            yield place
            size -= 1
        else:
            rank -= with_it
        place += 1
