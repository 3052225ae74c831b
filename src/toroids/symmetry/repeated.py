"""How many scales are granted twice: combinations of them that move nothing.

Scales of all rows of a matrix and of all its columns meet in one scale of the whole matrix. Where
a gain stands on either side, and both gains have a scale of their own, one of these is no new one.
By symmetry the scales that all units of a space take together tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from toroids.symmetry.space import Leg, Space

ZERO = 1e-9

# What one combination of scales makes of the weights: powers, of one entry for all that move alike.
Row = dict[tuple[str, tuple[int, ...]], float]


def repeated(spaces: Sequence[Space], shapes: Mapping[str, Sequence[int]]) -> int:
    """Counts the scales that others make.

    Args:
        spaces: of a group.
        shapes: of all tensors.

    Returns:
        How many scales of whole spaces are combinations of others.
    """
    rows: list[Row] = []
    moved: dict[str, list[tuple[Leg, int, float]]] = {}
    for space in spaces:
        for generator in (*space.of("rescale"), *space.of("mix")):
            for leg, power in zip(space.legs, generator.exponents, strict=True):
                if power:
                    moved.setdefault(leg.tensor, []).append((leg, len(rows), power))
            rows.append({})
    for name, moves in moved.items():
        for entry, meeting in _entries([leg for leg, _, _ in moves], shapes[name]):
            for number in meeting:
                _, row, power = moves[number]
                rows[row][name, entry] = rows[row].get((name, entry), 0.0) + power
    return len(rows) - _rank(rows)


def _entries(
    legs: Sequence[Leg], shape: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], list[int]]]:
    """One entry for all that the same legs move, with the numbers of these legs."""
    shape = shape or (1,)  # a single number
    axes: list[list[NDArray[np.bool_]]] = []  # for every axis which positions every leg holds
    for start, stop in _blocks(legs, len(shape)):
        held = np.ones((len(legs), int(np.prod(shape[start:stop], dtype=np.int64))), bool)
        for number, leg in enumerate(legs):
            if start <= leg.axis < stop and leg.positions is not None:
                own = np.zeros(shape[leg.axis : leg.axis + leg.span], bool)
                own.reshape(-1)[list(leg.positions)] = True
                after = (1,) * (stop - leg.axis - leg.span)
                held[number] = np.broadcast_to(
                    own.reshape(*own.shape, *after), shape[start:stop]
                ).ravel()
        axes.append([*np.unique(held, axis=1).T])
    for numbers in product(*(range(len(own)) for own in axes)):
        both = np.all([own[n] for own, n in zip(axes, numbers, strict=True)], axis=0)
        yield numbers, np.flatnonzero(both).tolist()


def _blocks(legs: Sequence[Leg], rank: int) -> list[tuple[int, int]]:
    """The axes of a tensor, cut where no leg with positions spans several."""
    joined = {
        axis + 1
        for leg in legs
        if leg.positions is not None
        for axis in range(leg.axis, leg.axis + leg.span - 1)
    }
    cuts = [axis for axis in range(rank) if axis not in joined]
    return list(zip(cuts, [*cuts[1:], rank], strict=True))


def _rank(rows: Sequence[Row]) -> int:
    """How many rows are no combination of those before."""
    solved: dict[tuple[str, tuple[int, ...]], Row] = {}
    for row in rows:
        rest = dict(row)
        for name, other in solved.items():
            factor = rest.get(name, 0.0)
            if abs(factor) > ZERO:
                for key, value in other.items():
                    rest[key] = rest.get(key, 0.0) - factor * value
        first = max(rest, key=lambda key: abs(rest[key]), default=None)
        if first is not None and abs(rest[first]) > ZERO:
            solved[first] = {k: v / rest[first] for k, v in rest.items() if abs(v) > ZERO}
    return len(solved)
