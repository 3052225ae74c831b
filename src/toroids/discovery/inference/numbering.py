"""In which order the units of a space are numbered, wherever they lie."""

import numpy as np

from toroids.discovery.axes.constraints import Ids
from toroids.discovery.inference.orbits import Orbits


def numbered(found: Orbits, cell: int, unit: Ids, role: Ids) -> tuple[Ids, Ids, Ids]:
    """Numbers places that a space acts on.

    Args:
        found: solved facts.
        cell: the space.
        unit: (places,) units that have a digit of the space.
        role: (places,) the rank of every place within its unit.

    Returns:
        The copy of every place; its index in the copy; and, row by row, what tells it apart from
        the other places of that copy and index: digits of other spaces, its role, and its cell.
    """
    outer = found.chain[cell][:-1]
    copy, index = np.zeros(len(unit), np.int64), np.zeros(len(unit), np.int64)
    rest = np.zeros((len(unit), 2 + max(len(chain) for chain in found.chain.values())), np.int64)
    rest[:, -2] = role
    for kind in np.unique(found.cell[unit]):
        rows = np.flatnonzero(found.cell[unit] == kind)
        number = np.searchsorted(found.members[int(kind)], unit[rows])
        values = found.digits[int(kind)][number]
        rest[rows, -1] = found.members[int(kind)][0]
        others = 0
        for position, x in enumerate(found.chain[int(kind)]):
            if x in outer:
                later = [found.size[y] for y in outer[outer.index(x) + 1 :]]
                copy[rows] += values[:, position] * int(np.prod(later, dtype=np.int64))
            elif x == cell:
                index[rows] = values[:, position]
            else:
                rest[rows, others] = values[:, position]
                others += 1
    return copy, index, rest


def in_order(copy: Ids, index: Ids, rest: Ids, at: Ids) -> Ids:
    """Sorts places copy after copy and unit after unit, the places of every unit alike.

    Args:
        copy: as `numbered` gives it.
        index: as `numbered` gives it.
        rest: as `numbered` gives it.
        at: (places,) where the places lie, which decides at last.

    Returns:
        The order, as numbers of rows.
    """
    return np.asarray(np.lexsort((at, *rest.T[::-1], index, copy)))
