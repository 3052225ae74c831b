"""Pairs of features that may turn together, solved from where features meet in products.

A product multiplies two features x, x' of one map with two, y, y', of another by a matrix
[[a, -b], [b, a]], whatever the positions: then z x and y / conj(z), as complex numbers, meet in the
same product for every z. The matrix [[a, b], [b, -a]] says so of pairs that turn oppositely. A norm
that reads the length of a map multiplies it with itself: pairs then turn, but |z| is one. Every
product is looked at once, when it is met, and only what it says of pairs is kept: in a deep network
the products themselves would take most of the memory.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from toroids.discovery.matrices.linear_values import Meetings, Verdict
from toroids.discovery.matrices.maps import Features, Holder, Places, unique

ZERO = 1e-12  # of the largest number of a product: what rounding leaves of sines that cancel
ALIKE = 1e-9  # of a matrix: how far its entries may be from those of a rotation


@dataclass
class Product:
    """Products of features in which two maps meet, summed over an axis, at some rows and columns.

    Attributes:
        part: (entries,) the matrix product of a batch to which an entry belongs.
        place: (entries,) the row and the column.
        first: (entries,) the feature of the first map.
        second: (entries,) that of the second.
        weight: (entries,) by what their product is multiplied.
    """

    part: Places
    place: Places
    first: Places
    second: Places
    weight: Places


@dataclass(frozen=True)
class Pair:
    """Two features of one holder.

    Attributes:
        holder: which has them.
        real: the first one's number among the holder's.
        imaginary: the second one's; a phase turns the first towards the second.
        power: 1 where the pair is multiplied by z, -1 where it is divided by its conjugate.
        scales: whether |z| may be any number, not one alone.
    """

    holder: Holder
    real: int
    imaginary: int
    power: int
    scales: bool = True


Unit = tuple[Pair, ...]  # the pairs that one complex number acts on


@dataclass
class _Pairs:
    """Pairs of features by number.

    Attributes:
        features: (pairs, 2), the lesser one first.
        bad: pairs that must stay.
        links: for all pairs that meet whether they turn alike (1) or oppositely (-1).
        lengths: the same for all pairs that a norm adds up, each with itself as well.
    """

    features: Places
    bad: set[int]
    links: dict[tuple[int, int], int]
    lengths: dict[tuple[int, int], int]


def units_of(meetings: Meetings) -> list[Unit]:
    """Finds the pairs that turn together.

    Args:
        meetings: where features meet, and what else reads them.

    Returns:
        For every complex number that may be chosen what it acts on.
    """
    verdicts = list(meetings.verdicts.values())
    return _units(meetings, _joined(meetings, verdicts)) if verdicts else []


def verdict(product: Product, features: Features) -> Verdict:
    """Finds two features of one holder that meet the same others in a product, and no third one.

    Args:
        product: where features meet.
        features: whose numbers they are.

    Returns:
        The pairs, how they turn, and what is in no pair.
    """
    product = _without_rounding(product)
    sides = [
        np.stack([product.part, np.full_like(product.part, side), held])
        for side, held in enumerate((product.first, product.second))
    ]
    nodes, at = unique(np.concatenate(sides, axis=1))
    first, second = np.split(at, 2)
    count = nodes.shape[1]
    graph = coo_array((np.ones(len(first)), (first, second)), (count, count))
    _, block = connected_components(graph, directed=False)
    # in every block, on either side, the features of one holder
    _, group = unique(np.stack([block, nodes[1], features.holder_numbers(nodes[2])]))
    size = np.bincount(group)[group]
    odd = np.zeros(block.max() + 1, bool)
    odd[block[size > 2]] = True
    mixed = np.zeros((2, len(odd)), bool)
    mixed[0, block[size == 1]] = mixed[1, block[size == 2]] = True
    odd |= mixed.all(axis=0)
    two = np.flatnonzero((size == 2) & ~odd[block])
    two = two[np.lexsort((nodes[2][two], group[two]))]
    pairs, number = unique(nodes[2][two].reshape(-1, 2).T)
    of, corner = np.full(count, -1), np.zeros(count, int)
    of[two], corner[two[1::2]] = np.repeat(number, 2), 1
    links = _links(product, (of[first], of[second]), 2 * corner[first] + corner[second])
    single = _single(product, (size[first] == 1) & ~odd[block[first]])
    return Verdict(pairs, np.unique(nodes[2][odd[block]]), *single, *links)


def _single(product: Product, some: Places) -> tuple[Places, Places, Places, Places]:
    """Features that meet one by one: those of unlike products, and how the others meet.

    Args:
        product: without what rounding leaves.
        some: entries at which they do.

    Returns:
        As in `Verdict`, from `alone` on.
    """
    met, which = unique(np.stack([product.first, product.second])[:, some])
    weights = product.weight[some]
    least, most = np.full(met.shape[1], np.inf), np.full(met.shape[1], -np.inf)
    np.minimum.at(least, which, weights)
    np.maximum.at(most, which, weights)
    like = most - least <= ALIKE
    where = np.zeros(met.shape[1], np.uint64)
    np.add.at(where, which, _digest(product.part[some], product.place[some]))
    rounded = np.round(most, 11)  # the same numbers in every layer and draw
    return np.unique(met[:, ~like]), met[:, like], rounded[like], where[like].view(np.int64)


def _digest(*numbers: Places) -> Places:
    """One number for several, whose sums tell sets of them apart."""
    found = np.zeros(len(numbers[0]), np.uint64)
    for values in numbers:  # the finaliser of splitmix64
        found += values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            found = (found ^ (found >> np.uint64(shift))) * np.uint64(factor)
    return found


def _without_rounding(product: Product) -> Product:
    """A product relative to its largest number, without what rounding leaves."""
    weight = product.weight / max(float(np.abs(product.weight).max()), np.finfo(float).tiny)
    some = np.abs(weight) > ZERO
    held = (product.part, product.place, product.first, product.second, weight)
    return Product(*(values[some] for values in held))


def _links(
    product: Product, met: tuple[Places, Places], corner: Places
) -> tuple[Places, Places, Places]:
    """Which pairs meet, and whether they turn alike, or oppositely, wherever they do.

    Args:
        product: without what rounding leaves.
        met: for every entry the pair of its first feature and that of its second; -1 for none.
        corner: for every entry its position in the matrix of two pairs.

    Returns:
        As in `Verdict`.
    """
    both = met[0] >= 0  # and then the other is a pair as well
    keys, at = unique(np.stack([product.part, product.place, *met])[:, both])
    matrices = np.zeros((keys.shape[1], 4))
    np.add.at(matrices, (at, corner[both]), product.weight[both])
    p, q, r, s = matrices.T
    limit = ALIKE * np.abs(matrices).max(axis=1, initial=0.0) + ZERO
    alike = (np.abs(p - s) <= limit) & (np.abs(q + r) <= limit)
    opposite = (np.abs(p + s) <= limit) & (np.abs(q - r) <= limit)
    links, which = unique(keys[2:])
    holds = np.ones((2, links.shape[1]), bool)
    for number, good in enumerate((alike, opposite)):
        np.logical_and.at(holds[number], which, good)
    return links, holds[0], holds[1]


def _joined(meetings: Meetings, verdicts: Collection[Verdict]) -> _Pairs:
    """The pairs of all products, and which of them must stay as products disagree."""
    features, number = unique(np.concatenate([v.pairs for v in verdicts], axis=1))
    found = _Pairs(features.T, set(), {}, {})
    of = np.full(meetings.features.count, -1)
    of[features] = np.arange(features.shape[1])
    lost = _lost(meetings, np.concatenate([v.odd for v in verdicts]))
    for pair, held in enumerate(found.features.tolist()):
        if not lost.isdisjoint(held) or any(of[f] != pair for f in held):
            found.bad.add(pair)
            found.bad.update(int(of[f]) for f in held)
    alone = of[np.concatenate([v.alone for v in verdicts])]
    found.bad.update(alone[alone >= 0].tolist())
    start = np.cumsum([0, *(v.pairs.shape[1] for v in verdicts)])
    met = [number[v.links + first] for v, first in zip(verdicts, start, strict=False)]
    for length, links in ((False, found.links), (True, found.lengths)):
        some = [(v, m) for v, m in zip(verdicts, met, strict=True) if v.length == length]
        if some:
            _link(found, of, some, links)
    return found


def _link(
    found: _Pairs, of: Places, some: Sequence[tuple[Verdict, Places]], into: dict[Any, int]
) -> None:
    """Adds how pairs turn that meet in some products."""
    met = [links for _, links in some]
    good = [(v.alike, v.opposite) for v, _ in some]
    for v, _ in some:
        keys, *both = _by_pairs(v, of, found)
        met.append(keys)
        good.append((both[0], both[1]))
    links, which = unique(np.concatenate(met, axis=1))
    holds = np.ones((2, links.shape[1]), bool)
    for turn, values in zip(holds, zip(*good, strict=True), strict=True):
        np.logical_and.at(turn, which, np.concatenate(values))
    for (x, y), same, other in zip(links.T.tolist(), *holds.tolist(), strict=True):
        if same == other:
            found.bad.update((x, y))
        into[x, y] = 1 if same else -1


def _by_pairs(one: Verdict, of: Places, pairs: _Pairs) -> tuple[Places, Places, Places]:
    """How pairs turn whose features meet one by one in a product, as links; others must stay."""
    a, b = of[one.single]
    pairs.bad.update(np.maximum(a, b)[(a >= 0) != (b >= 0)].tolist())
    both = (a >= 0) & (b >= 0)
    keys, at = unique(np.stack([a, b])[:, both])
    second = one.single[:, both] == pairs.features[np.stack([a, b])[:, both], 1]
    corner = 2 * second[0] + second[1]
    weights = np.zeros((keys.shape[1], 4))
    where = np.zeros((keys.shape[1], 4), np.int64)
    weights[at, corner], where[at, corner] = one.weight[both], one.where[both]
    p, q, r, s = weights.T
    same = (where[:, 0] == where[:, 3]) & (where[:, 1] == where[:, 2])
    alike = same & (np.abs(p - s) <= ALIKE) & (np.abs(q + r) <= ALIKE)
    opposite = same & (np.abs(p + s) <= ALIKE) & (np.abs(q - r) <= ALIKE)
    return keys, alike, opposite


def _lost(meetings: Meetings, odd: Iterable[int]) -> set[int]:
    """Features that stay in place, whatever they meet."""
    features = meetings.features
    everywhere, anywhere = meetings.everywhere or set(), meetings.anywhere
    lost = {*(int(f) for f in odd), *meetings.lost, *(anywhere - everywhere)}
    used: dict[str, set[Holder]] = {}
    for feature in anywhere | meetings.lost | meetings.measured:
        holder = features.holder(feature)
        used.setdefault(holder.name, set()).add(holder)
    several = {name for name, holders in used.items() if len(holders) > 1}
    for feature in anywhere:
        if features.holder(feature).name in several | meetings.names:
            lost.add(feature)
    return lost


def _units(meetings: Meetings, pairs: _Pairs) -> list[Unit]:
    """Follows the links: pairs that are linked take one complex number, or stay together."""
    beside: dict[int, list[tuple[int, int, int]]] = {}
    for links, inverse in ((pairs.links, -1), (pairs.lengths, 1)):
        for (x, y), turn in links.items():
            beside.setdefault(x, []).append((y, inverse, turn))
            beside.setdefault(y, []).append((x, inverse, turn))
    firsts, measured = {x for x, _ in pairs.links}, {x for x, _ in pairs.lengths}
    units: list[Unit] = []
    state: dict[int, tuple[int, int]] = {}  # power and direction
    for start in sorted(beside):
        if start in state:
            continue
        state[start] = (1 if start in firsts else -1, 1)
        members, sound = [start], True
        for x in members:
            power, turns = state[x]
            for y, inverse, turn in beside[x]:
                expected = (inverse * power, turn * turns)
                if y not in state:
                    members.append(y)
                sound = state.setdefault(y, expected) == expected and sound
        if sound and pairs.bad.isdisjoint(members):
            scales = measured.isdisjoint(members)
            units.append(
                tuple(_pair(meetings, pairs.features[x], *state[x], scales) for x in members)
            )
    return units


def _pair(meetings: Meetings, features: Places, power: int, turns: int, scales: bool) -> Pair:
    holder = meetings.features.holder(int(features[0]))
    first = meetings.features.of(holder)
    real, imaginary = (int(f) - first for f in (features if turns > 0 else features[::-1]))
    return Pair(holder, real, imaginary, power, scales)
