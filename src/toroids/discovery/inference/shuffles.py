"""Entries that are sorted by what they name stay free only where nobody minds their order.

Tokens sorted by expert come in another order for other numbers of the experts, and which one that
is depends on the input. The names may move where any other order of the sorted entries leaves
everything else as it is.
"""

from collections.abc import Sequence

import numpy as np

from toroids.discovery.axes.constraints import Ids, Loss, Shuffle
from toroids.discovery.inference.orbits import Orbits, orbits
from toroids.discovery.inference.state import Inference


def solved(inference: Inference) -> Orbits:
    """Solves the facts; keeps names in place by which entries are sorted whose order counts.

    Args:
        inference: all facts; takes those that are added.

    Returns:
        The structure.
    """
    c = inference.constraints
    owned = [b.places.ravel() for value in inference.parameters.values() for b in value.bundles]
    pending = list(c.shuffles)
    while True:
        found = orbits(c)
        bad = [s for s in pending if not _is_free(found, s, pending, owned)]
        if not bad:
            return found
        for shuffle in bad:
            for places in (shuffle.entries, shuffle.names):
                c.same(places, np.asarray(-1 - np.arange(len(places))))
            reason = f"{shuffle.operator} sorts entries whose order counts"
            c.losses.append(Loss(reason, shuffle.names[shuffle.names >= 0]))
        pending = [s for s in pending if not any(s is other for other in bad)]


def _is_free(
    found: Orbits, shuffle: Shuffle, all_: Sequence[Shuffle], owned: Sequence[Ids]
) -> bool:
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
    # neither a parameter nor another order has an entry for each
    others = [s.entries for s in all_ if s is not shuffle]
    return not any((found.cell[found.unit[places]] == cell).any() for places in (*owned, *others))
