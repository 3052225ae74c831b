"""Facts about entries of which each belongs to some unit hold for all units.

What a token gives to its expert is indexed by the places of that expert, whichever it is. Operators
state their facts of templates of such places; here they become facts about every unit. Where
entries meet that have chosen on their own, all units must move alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from toroids.discovery.axes.constraints import CHANNELS, Constraints, Ids, Loss


def expand(c: Constraints) -> None:
    """States for every unit what was stated of templates.

    Args:
        c: all facts; those about templates are replaced.
    """
    if not c.templates:
        return
    places, exponents = _Copies(c.places), _Copies(c.exponents)
    for template in c.templates:
        family = template.family.reshape(len(template.family), -1)
        places.add(id(template.key), template.places.ravel(), family)
    for key, mine, every in c.copies:
        exponents.add(id(key), mine, every.reshape(len(every), -1))
    for a, b in (*c.sames, *c.unders):
        c.collapsed |= places.mixed([a, b])
    for _, _, ids in c.equations:
        c.collapsed |= exponents.mixed(list(ids))
    for members in c.members:
        keys = places.keys(members)
        c.collapsed |= keys if len(keys) > 1 else set()
    for copies in (places, exponents):
        copies.drop(c.collapsed)
    c.sames = [_pair(places.columns(pair)) for pair in c.sames]
    c.unders = [_pair(places.columns(pair)) for pair in c.unders]
    c.equations = [
        (channel, factors, np.stack(exponents.columns(list(ids))))
        for channel, factors, ids in c.equations
    ]
    c.members, c.nonlinear, c.reads, c.seen, c.ties = (
        [places.columns([x])[0] for x in found]
        for found in (c.members, c.nonlinear, c.reads, c.seen, c.ties)
    )
    c.losses, c.given, c.chosen, c.stopped = (
        _losses(found, lambda x: places.columns([x])[0])
        for found in (c.losses, c.given, c.chosen, c.stopped)
    )
    _collapse(c)


def _collapse(c: Constraints) -> None:
    """States that all units move as their template does."""
    c.operator = "a choice among units that meets another one"
    for template in c.templates:
        if id(template.key) in c.collapsed:
            c.under(template.family, template.places)
    for key, mine, every in c.copies:
        if id(key) in c.collapsed:
            channel = int(np.concatenate(c.channel_of)[mine.ravel()[0]])
            if channel in range(len(CHANNELS)):
                c.equation(channel, (1, every.reshape(len(every), -1)), (-1, mine.ravel()))


def _pair(columns: Sequence[Ids]) -> tuple[Ids, Ids]:
    return columns[0], columns[1]


def _losses(found: Sequence[Loss], widen: Callable[[Ids], Ids]) -> list[Loss]:
    return [replace(loss, places=widen(loss.places.ravel())) for loss in found]


class _Copies:
    """What stands for any unit, and what it stands for."""

    def __init__(self, count: int) -> None:
        self.key = np.full(count + 1, -1)  # the last one is for what never moves
        self.column = np.zeros(count + 1, np.int64)
        self.known: list[int] = []
        self.families: list[list[Ids]] = []

    def add(self, key: int, mine: Ids, every: Ids) -> None:
        if key not in self.known:
            self.known.append(key)
            self.families.append([])
        number = self.known.index(key)
        start = sum(family.shape[1] for family in self.families[number])
        self.families[number].append(every)
        kept = mine > 0 if not mine.all() else np.ones(len(mine), bool)
        self.key[mine[kept]] = number
        self.column[mine[kept]] = start + np.flatnonzero(kept)

    def drop(self, keys: set[int]) -> None:
        gone = [n for n, key in enumerate(self.known) if key in keys]
        self.key[np.isin(self.key, gone)] = -1

    def _keys(self, ids: Ids) -> Ids:
        return np.asarray(self.key[np.where(ids < 0, len(self.key) - 1, ids)])

    def keys(self, ids: Ids) -> set[int]:
        return {self.known[n] for n in np.unique(self._keys(ids)).tolist() if n >= 0}

    def mixed(self, rows: Sequence[Ids]) -> set[int]:
        """Keys that meet others, column by column."""
        keys = np.stack([self._keys(row) for row in np.broadcast_arrays(*rows)])
        most = keys.max(axis=0)
        bad = ((keys >= 0) & (keys != most)).any(axis=0)
        return {self.known[n] for n in np.unique(keys[:, bad]).tolist() if n >= 0}

    def columns(self, rows: Sequence[Ids]) -> list[Ids]:
        """Every column for every unit for which it stands."""
        rows = [np.asarray(row).ravel() for row in rows]
        keys = np.stack([self._keys(row) for row in rows])
        most = keys.max(axis=0, initial=-1)
        if (most < 0).all():
            return rows
        found = [[row[most < 0]] for row in rows]
        for number in np.unique(most[most >= 0]).tolist():
            family = np.concatenate(self.families[number], axis=1)
            at = most == number
            for own, row, key in zip(found, rows, keys, strict=True):
                spread = np.broadcast_to(row[at], (len(family), int(at.sum())))
                copies = family[:, self.column[np.maximum(row[at], 0)]]
                own.append(np.where(key[at] >= 0, copies, spread).ravel())
        return [np.concatenate(own) for own in found]
