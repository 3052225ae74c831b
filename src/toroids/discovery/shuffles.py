"""Entries that are sorted by what they name stay free only where nobody minds their order.

Tokens sorted by expert come in another order for other numbers of the experts, and which one that
is depends on the input. The names may move where any other order of the sorted entries leaves
everything else as it is.
"""

import numpy as np

from toroids.discovery.constraints import Constraints, Ids, Loss, Shuffle
from toroids.discovery.orbits import Orbits, orbits


def solved(c: Constraints) -> Orbits:
    """Solves the facts; keeps names in place by which entries are sorted whose order counts.

    Args:
        c: all facts; takes those that are added.

    Returns:
        The structure.
    """
    pending = list(c.shuffles)
    while True:
        found = orbits(c)
        bad = [s for s in pending if not _is_free(c, found, s, pending)]
        if not bad:
            return found
        for shuffle in bad:
            for places in (shuffle.entries, shuffle.names):
                c.same(places, np.asarray(-1 - np.arange(len(places))))
            reason = f"{shuffle.operator} sorts entries whose order counts"
            c.losses.append(Loss(reason, shuffle.names[shuffle.names >= 0]))
        pending = [s for s in pending if not any(s is other for other in bad)]


def _is_free(c: Constraints, found: Orbits, shuffle: Shuffle, all_: list[Shuffle]) -> bool:
    """Whether sorted entries may come in any order, on their own."""
    if (shuffle.names < 0).all():
        return True
    units = found.unit[shuffle.entries]
    cells = np.unique(found.cell[units])
    if len(np.unique(units)) < len(units) or len(cells) > 1 or cells[0] < 0:
        return False
    cell = int(cells[0])
    if found.chain[cell] != (cell,) or found.size[cell] != len(units):
        return False
    if (found.cell[found.unit[_owned(c)]] == cell).any():
        return False  # a parameter has an entry for each
    others = [s for s in all_ if s is not shuffle]
    return not any((found.cell[found.unit[s.entries]] == cell).any() for s in others)


def _owned(c: Constraints) -> Ids:
    """The places of parameters and buffers."""
    bounds = np.array(c.owned).reshape(-1, 2)
    return np.concatenate([np.zeros(0, np.int64), *(np.arange(a, b) for a, b in bounds)])
