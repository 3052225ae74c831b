"""Pairs of features that may turn together, solved from where features meet in products.

A product multiplies two features x, x' of one map with two, y, y', of another by a matrix
[[a, -b], [b, a]], whatever the positions: then z x and y / conj(z), as complex numbers, meet in the
same product for every z. The matrix [[a, b], [b, -a]] says so of pairs that turn oppositely.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from toroids.discovery.matrices.linear_values import Meetings, Product
from toroids.discovery.matrices.maps import Holder, Places, unique

ZERO = 1e-12  # of the largest number of a product: what rounding leaves of sines that cancel
ALIKE = 1e-9  # of a matrix: how far its entries may be from those of a rotation


@dataclass(frozen=True)
class Pair:
    """Two features of one holder.

    Attributes:
        holder: which has them.
        real: the first one's number among the holder's.
        imaginary: the second one's; a phase turns the first towards the second.
        power: 1 where the pair is multiplied by z, -1 where it is divided by its conjugate.
    """

    holder: Holder
    real: int
    imaginary: int
    power: int


Unit = tuple[Pair, ...]  # the pairs that one complex number acts on


@dataclass
class _Pairs:
    """Pairs of features by number.

    Attributes:
        features: (pairs, 2), the lesser one first.
        of: (features,) the pair of every feature; -1 where there is none.
        place: (features,) which of the two it is.
        bad: pairs that must stay.
    """

    features: Places
    of: Places
    place: Places
    bad: set[int]


def units_of(meetings: Meetings) -> list[Unit]:
    """Finds the pairs that turn together.

    Args:
        meetings: where features meet, and what else reads them.

    Returns:
        For every complex number that may be chosen what it acts on.
    """
    if not meetings.products:
        return []
    entries = _entries(meetings.products)
    pairs = _pairs(meetings, entries)
    links = _links(entries, pairs)
    return _units(meetings, pairs, links)


def _entries(products: Sequence[Product]) -> Product:
    """All products as one, relative to their largest numbers, without what rounding leaves."""
    kept: list[list[Places]] = [[], [], [], [], []]
    start = 0
    for p in products:
        weight = p.weight / max(float(np.abs(p.weight).max()), np.finfo(float).tiny)
        some = np.abs(weight) > ZERO
        for held, values in zip(
            kept, (p.part + start, p.place, p.first, p.second, weight), strict=True
        ):
            held.append(values[some])
        start += int(p.part.max()) + 1
    return Product(*(np.concatenate(held) for held in kept))


def _pairs(meetings: Meetings, entries: Product) -> _Pairs:
    """Two features of one holder that meet the same others in one product, and no third one."""
    sides = [
        np.stack([entries.part, np.full_like(entries.part, side), features])
        for side, features in enumerate((entries.first, entries.second))
    ]
    nodes, at = unique(np.concatenate(sides, axis=1))
    first, second = np.split(at, 2)
    count = nodes.shape[1]
    graph = coo_array((np.ones(len(first)), (first, second)), (count, count))
    _, block = connected_components(graph, directed=False)
    holder = meetings.features.holder_numbers(nodes[2])
    # in every block, on either side, the features of one holder
    key = np.stack([block, nodes[1], holder])
    _, group = unique(key)
    size = np.bincount(group)[group]
    odd = np.zeros(block.max() + 1, bool)
    odd[block[size > 2]] = True
    mixed = np.zeros((2, len(odd)), bool)
    mixed[0, block[size == 1]] = mixed[1, block[size == 2]] = True
    odd |= mixed.all(axis=0)
    two = np.flatnonzero((size == 2) & ~odd[block])
    two = two[np.lexsort((nodes[2][two], group[two]))]
    features = unique(nodes[2][two].reshape(-1, 2).T)[0].T
    found = _Pairs(
        features,
        np.full(meetings.features.count, -1),
        np.zeros(meetings.features.count, int),
        set(),
    )
    for place in (0, 1):
        found.of[features[:, place]] = np.arange(len(features))
        found.place[features[:, place]] = place
    lost = _lost(meetings, nodes[2][odd[block]])
    for number, pair in enumerate(features.tolist()):
        if not lost.isdisjoint(pair) or any(found.of[f] != number for f in pair):
            found.bad.add(number)
            found.bad.update(int(found.of[f]) for f in pair)
    return found


def _lost(meetings: Meetings, odd: Iterable[int]) -> set[int]:
    """Features that stay in place, whatever they meet."""
    features = meetings.features
    everywhere = set[int].intersection(*meetings.meeting)
    anywhere = set[int]().union(*meetings.meeting)
    lost = {*(int(f) for f in odd), *meetings.lost, *(anywhere - everywhere)}
    used: dict[str, set[Holder]] = {}
    for feature in anywhere | meetings.lost:
        holder = features.holder(feature)
        used.setdefault(holder.name, set()).add(holder)
    several = {name for name, holders in used.items() if len(holders) > 1}
    for feature in anywhere:
        if features.holder(feature).name in several | meetings.names:
            lost.add(feature)
    return lost


def _links(entries: Product, pairs: _Pairs) -> dict[tuple[int, int], int]:
    """For all pairs that meet whether they turn alike (1) or oppositely (-1)."""
    a, b = pairs.of[entries.first], pairs.of[entries.second]
    single = (a >= 0) != (b >= 0)
    pairs.bad.update(np.maximum(a, b)[single].tolist())
    both = (a >= 0) & (b >= 0)
    if not both.any():
        return {}
    keys, at = unique(np.stack([entries.part, entries.place, a, b])[:, both])
    corner = 2 * pairs.place[entries.first] + pairs.place[entries.second]
    matrices = np.zeros((keys.shape[1], 4))
    np.add.at(matrices, (at, corner[both]), entries.weight[both])
    p, q, r, s = matrices.T
    limit = ALIKE * np.abs(matrices).max(axis=1) + ZERO
    alike = (np.abs(p - s) <= limit) & (np.abs(q + r) <= limit)
    opposite = (np.abs(p + s) <= limit) & (np.abs(q - r) <= limit)
    met, which = unique(keys[2:])
    holds = np.ones((2, met.shape[1]), bool)
    for number, good in enumerate((alike, opposite)):
        np.logical_and.at(holds[number], which, good)
    links: dict[tuple[int, int], int] = {}
    for (x, y), same, other in zip(met.T.tolist(), *holds.tolist(), strict=True):
        if same == other:
            pairs.bad.update((x, y))
        links[x, y] = 1 if same else -1
    return links


def _units(meetings: Meetings, pairs: _Pairs, links: dict[tuple[int, int], int]) -> list[Unit]:
    """Follows the links: pairs that are linked take one complex number, or stay together."""
    beside: dict[int, list[tuple[int, int]]] = {}
    for (x, y), turn in links.items():
        beside.setdefault(x, []).append((y, turn))
        beside.setdefault(y, []).append((x, turn))
    firsts = {x for x, _ in links}
    units: list[Unit] = []
    state: dict[int, tuple[int, int]] = {}  # power and direction
    for start in sorted(beside):
        if start in state:
            continue
        state[start] = (1 if start in firsts else -1, 1)
        members, sound = [start], True
        for x in members:
            power, turns = state[x]
            for y, turn in beside[x]:
                expected = (-power, turn * turns)
                if y not in state:
                    members.append(y)
                sound = state.setdefault(y, expected) == expected and sound
        if sound and pairs.bad.isdisjoint(members):
            units.append(tuple(_pair(meetings, pairs.features[x], *state[x]) for x in members))
    return units


def _pair(meetings: Meetings, features: Places, power: int, turns: int) -> Pair:
    holder = meetings.features.holder(int(features[0]))
    first = meetings.features.of(holder)
    real, imaginary = (int(f) - first for f in (features if turns > 0 else features[::-1]))
    return Pair(holder, real, imaginary, power)
