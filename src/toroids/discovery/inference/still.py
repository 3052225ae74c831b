"""Units that stay in place, and yet may be scaled or flipped one by one.

The gain of a norm over the features of an input is one: nothing permutes features, but each of its
entries may move into the columns of the weight behind it. Most units that stay can do nothing of
the kind, as rows of an embedding or the pixels of an image, and there are many. So the equations
are not solved for each of them: what is zero is passed on from equation to equation, all at once.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from toroids.discovery.axes.constraints import Constraints, Ids
from toroids.discovery.axes.values import SHIFT, SIGN

Mask = NDArray[np.bool_]
# Each is solved for alone, a few milliseconds: more, as pixels with gains of their own, are left.
MOST = 2**13


def still_units(c: Constraints, unit: Ids, fixed: Mask) -> Ids:
    """Finds units that never move and whose scales and signs nothing says to be zero.

    Args:
        c: the facts.
        unit: (places,) the unit of every place.
        fixed: (units,) whether a unit never moves.

    Returns:
        The numbers of the units; more may turn out to have none when the equations are solved.
    """
    place, channel = np.concatenate(c.place_of), np.concatenate(c.channel_of)
    units = np.append(np.where(fixed, np.arange(len(fixed)), -1), -1)  # no place is the last
    of = units[np.append(unit, len(fixed))[np.where(place < 0, len(unit), place)]]
    of[channel == SHIFT] = -1
    zero = of < 0
    pairs = [np.zeros((0, 2), np.int64)]
    several: list[tuple[Ids, Mask]] = []
    for ids, held in _within_units(c, of):
        count = held.sum(axis=0)
        zero[ids.T[(held & (count == 1)).T]] = True
        pairs.append(ids.T[(held & (count == 2)).T].reshape(-1, 2))
        if (count > 2).any():
            several.append((ids[:, count > 2], held[:, count > 2]))
    found = np.unique(of[~_spread(zero, np.concatenate(pairs), several)])
    return found[: len(found) if len(found) <= MOST else 0]


def _within_units(c: Constraints, of: Ids) -> Iterator[tuple[Ids, Mask]]:
    """The equations unit by unit: (terms, equations) exponents, and which of them are its own."""
    for channel, factors, ids in c.equations:
        kept = [k for k, f in enumerate(factors) if f and not (channel == SIGN and f % 2 == 0)]
        ids = ids[kept].astype(np.int64)
        own = of[ids]
        while (some := (own >= 0).any(axis=0)).any():
            ids, own = ids[:, some], own[:, some]
            held = own == own.max(axis=0)  # one unit after another
            yield ids, held
            own = np.where(held, -1, own)


def _spread(zero: Mask, links: Ids, several: Sequence[tuple[Ids, Mask]]) -> Mask:
    """What follows from exponents that are zero."""
    count = len(zero)
    ones = np.ones(len(links), np.int8)
    graph = coo_matrix((ones, (links[:, 0], links[:, 1])), shape=(count, count))
    group = connected_components(graph, directed=False)[1]
    while True:
        known = np.zeros(count, bool)
        known[group[zero]] = True
        zero = known[group]
        new = [np.zeros(0, np.int64)]
        for ids, held in several:
            left = held & ~zero[ids]
            new.append(ids[left & (left.sum(axis=0) == 1)])
        found = np.concatenate(new)
        if not len(found):
            return zero
        zero[found] = True
