"""Other sizes of a module's inputs: where something is answered otherwise, and all around."""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

from toroids.discovery.tracing.example import Axis

# Lengths among which one is looked for, besides the next ones; of two lengths fewer each.
LENGTHS = (*range(1, 130), 144, 192, 200, 256, 384, 400, 500, 512)
NEXT = 8
PAIRS = range(1, 13)
FARTHEST = 4096  # numbers in conditions that may be lengths
# How many sizes are looked at that leave other rests when they are divided by small numbers: the
# next ones of every axis, in unlike orders, so that rests by 2, 3, 4, 5 meet as they may.
AROUND = 4
WIDE = 3  # how much wider than high images are made, and higher than wide

Name = TypeVar("Name")


def choices(
    names: Collection[Name],
    numbers: Mapping[Name, int],
    fails: Callable[[Mapping[Name, int]], bool],
    named: Collection[int] = (),
    each: int = 1,
) -> Iterator[dict[Name, int]]:
    """Lengths at which something fails, near by.

    Args:
        names: of lengths.
        numbers: what these are.
        fails: whether it does at others.
        named: numbers with which lengths are compared.
        each: how many are given for a length, the farthest first.

    Yields:
        Another number for one length; one that has the same factors; others for two.
    """
    further = {m for n in named if n <= FARTHEST for m in range(n - 1, n + 3)}
    for lengths in (_near, _multiples):
        for x in names:
            found = (n for n in lengths(numbers[x], further) if fails({**numbers, x: n}))
            yield from ({x: n} for n in reversed([*itertools.islice(found, each)]))
    for pair in itertools.combinations(names, 2):
        both = (dict(zip(pair, n, strict=True)) for n in itertools.product(PAIRS, PAIRS))
        yield from itertools.islice((n for n in both if fails({**numbers, **n})), 1)


def _near(number: int, further: Collection[int]) -> list[int]:
    """Lengths, the next ones first."""
    found = {*LENGTHS, *range(number - NEXT, number + NEXT + 1), *further}
    return sorted((n for n in found if n > 0), key=lambda n: (abs(n - number), n))


def _multiples(number: int, further: Collection[int]) -> list[int]:
    """Lengths as those of images that are cut into patches, the next ones first."""
    step = number & -number
    step = step if step < number else number // 2
    last = max(LENGTHS[-1], *further, 0)
    found = range(step, last + 1, step) if step > 1 else ()
    return sorted(found, key=lambda n: abs(n - number))


def around(sizes: Mapping[Axis, int]) -> Iterator[tuple[dict[Axis, int], ...]]:
    """Sizes near those of some axes: odd ones, and one axis much longer than the others.

    Args:
        sizes: of axes that may have others.

    Yields:
        Sizes, and others in their place where a module takes these only together.
    """
    positions = sorted({axis for _, axis in sizes})
    lengths = sorted(set(sizes.values()))
    for k in range(1, AROUND + 1):
        alone = {axis: n + _offset(k, positions.index(axis[1])) for axis, n in sizes.items()}
        yield alone, {axis: n + _offset(k, lengths.index(n)) for axis, n in sizes.items()}
    inside = [position for position in positions if position]
    for position in inside if len(inside) > 1 else ():
        longer = {axis: WIDE * n for axis, n in sizes.items() if axis[1] == position}
        yield longer, *({axis: n} for axis, n in longer.items() if len(longer) > 1)


def _offset(k: int, place: int) -> int:
    return k * (place % AROUND + 1) % (AROUND + 1)


def together(sizes: Mapping[Axis, int], before: Mapping[Axis, int]) -> dict[Axis, int]:
    """The same change for all axes that are as long as those that change.

    Args:
        sizes: of some axes.
        before: what all were.

    Returns:
        Sizes of these, and of those like them.
    """
    changed = {before[axis]: n for axis, n in sizes.items()}
    return {axis: changed[n] for axis, n in before.items() if n in changed}
