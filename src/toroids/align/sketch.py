"""The best choice on a space of many units at less than the price of all products of its units.

Sketches propose: every unit's weights are added up, in random places and with random signs, into a
few numbers, whose inner products are those of the weights up to noise (Charikar, Chen and
Farach-Colton, Finding frequent items in data streams, 2002). Exact products decide: of every unit
with those few others that the noise leaves open. Where units are alike, as duplicates, these are
matched among each other. Prices certify the result, as those of an assignment do: with w the
products, a permutation p is the best one if there are v >= 0, zero for what no unit asks for, with

    w[i, p(i)] - v[p(i)] >= w[i, j] - v[j]    for all i and j,

and for the pairs that were not multiplied the sketch and its noise bound w[i, j]. Units of networks
that were trained apart are not that alike; there the table of all products is needed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from toroids.align.block import Block, Part, Table
from toroids.align.choose import Choice
from toroids.align.signs import best_signs, tries_all_signs, with_best_signs, with_signs
from toroids.params import precise
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Space

# Units from which on sketches pay, numbers in a sketch, and how many standard deviations of the
# noise a match must be better by.
MANY, NUMBERS, SURE = 1024, 256, 6.0
# Others that the noise may leave open beside a unit's match; and all such pairs, of every unit.
FEW, PAIRS = 16, 4
# Of units that are in use, the share that are the match of some unit, unless they are strangers'.
ASKED = 0.8
# Units whose products with all others are in memory at once.
PIECE = 1024

Parts = Callable[[], Iterator[Part]]


def is_sketched(block: Block) -> bool:
    """Whether a block is one space of many units that are permuted and hold nothing inside."""
    space = block.space
    one = not block.inner and space.copies == 1 and "permute" in space.actions
    return one and space.size >= MANY and not space.matrix and not space.of("phase")


def sketched(block: Block, parts: Parts, cosine: bool = False) -> Choice | None:
    """The best choice on a space, if sketches tell it.

    Args:
        block: of one space, as `is_sketched` says.
        parts: gives what the units of both networks hold, leg by leg, (1, size, entries) each;
            called several times.
        cosine: whether to compare units by cosine similarity, as `cosines` does.

    Returns:
        The choice; None where too many units have several that might be their best match.
    """
    units = _units(block.space, parts, cosine)
    if units is None:
        return None
    near = _near(units)
    used = units.lengths[0] > 0
    asked = len(torch.unique(near.proposed[used]))
    if asked < ASKED * int(used.sum()):
        return None
    places = _matched(units, near, used)
    return None if places is None else units.choice(places)


@dataclass(frozen=True, eq=False)
class _Units:
    """The units of two networks.

    Attributes:
        space: whose they are.
        parts: what they hold.
        sketches: of both networks, by the powers in which units take signs.
        lengths: of what the units of both networks hold.
        cosine: whether they are compared by cosine similarity.
    """

    space: Space
    parts: Parts
    sketches: dict[tuple[float, ...], list[Tensor]]
    lengths: tuple[Tensor, Tensor]
    cosine: bool

    def estimated(self, rows: slice) -> tuple[Tensor, Tensor]:
        """What sketches say of the products of some units with all others, and their noise."""
        table = {key: a[rows] @ b.T for key, (a, b) in self.sketches.items()}
        values = with_best_signs(self.space, table)
        a, b = (x.to(values) for x in self.lengths)
        scale = a[rows, None] * b
        if self.cosine:
            values = values / torch.where(scale > 0, scale, 1.0)
            scale = (scale > 0).to(values)
        return values, scale.mul_(SURE * NUMBERS**-0.5)

    def exact(self, rows: Tensor, columns: Tensor) -> tuple[Table, Tensor]:
        """Products of pairs of units, by pattern, and with the best signs: (pairs,) each."""
        table: Table = {}
        for pattern, a, b in self.parts():
            pairs = zip(*(torch.split(x, PIECE) for x in (rows, columns)), strict=True)
            found = torch.cat([(a[0, i] * b[0, j]).sum(dim=1) for i, j in pairs])
            table[pattern] = table[pattern] + found if pattern in table else found
        if self.cosine:
            scale = self.lengths[0][rows] * self.lengths[1][columns]
            scale = torch.where(scale > 0, scale, 1.0)
            table = {key: x / scale.to(x) for key, x in table.items()}
        return table, precise(with_best_signs(self.space, table)).cpu()

    def choice(self, places: Tensor) -> Choice:
        """The choice that puts every unit into the place that was found for it."""
        space, home = self.space, torch.arange(self.space.size)
        table, reached = self.exact(home, places)
        matched = {key: x[None, :, None] for key, x in table.items()}
        signs = best_signs(space, matched) if space.of("flip") else None
        here = sum(float(precise(torch.linalg.vecdot(a, b)).sum()) for _, a, b in self.parts())
        step = SpaceElement(places[None], signs=signs)
        if signs is not None and not tries_all_signs(space):
            reached = precise(with_signs(matched, signs))
        return Choice(((space, step),), float(reached.sum()), here)


def _units(space: Space, parts: Parts, cosine: bool) -> _Units | None:
    """Sketches the units of both networks; None where they hold too little for that to pay."""
    sketches: dict[tuple[float, ...], list[Tensor]] = {}
    squares = [torch.zeros(space.size, dtype=torch.float64) for _ in range(2)]
    entries = 0
    for number, (pattern, *pair) in enumerate(parts()):
        entries += pair[0].shape[2]
        for side, held in enumerate(pair):
            squares[side] += torch.linalg.vector_norm(held[0], dim=1).double().cpu().square()
        added = [_sketch(held[0], number) for held in pair]
        known = sketches.setdefault(pattern, [torch.zeros_like(x) for x in added])
        sketches[pattern] = [x + y for x, y in zip(known, added, strict=True)]
    if entries < 4 * NUMBERS:
        return None
    return _Units(space, parts, sketches, (squares[0].sqrt(), squares[1].sqrt()), cosine)


def _sketch(rows: Tensor, seed: int) -> Tensor:
    """Adds up the entries of every row in `NUMBERS` sums, in random order with random signs."""
    count = rows.shape[1]
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(count, generator=generator).to(rows.device)
    signs = torch.randint(2, (count,), generator=generator).mul_(2).sub_(1).to(rows)
    signed = torch.nn.functional.pad(rows[:, order] * signs, (0, -count % NUMBERS))
    return signed.view(len(rows), -1, NUMBERS).sum(dim=1)


@dataclass(frozen=True)
class _Near:
    """What sketches leave open.

    Attributes:
        proposed: (units,) the match that the sketch finds best.
        value: (units,) what it takes their product to be.
        noise: (units,) by how much that may be off.
        columns: (units, FEW + 1) those that may reach most.
        most: (units, FEW + 1) what these may reach, in falling order.
    """

    proposed: Tensor
    value: Tensor
    noise: Tensor
    columns: Tensor
    most: Tensor


def _near(units: _Units) -> _Near:
    size = units.space.size
    found: list[tuple[Tensor, ...]] = []
    for start in range(0, size, PIECE):
        values, noise = units.estimated(slice(start, start + PIECE))
        value, proposed = values.max(dim=1)
        off = noise.gather(1, proposed[:, None])[:, 0]
        most, columns = values.add_(noise).topk(min(FEW + 1, size), dim=1)
        found.append((proposed, value, off, columns, most))
    joined = [torch.cat(each).cpu() for each in zip(*found, strict=True)]
    return _Near(joined[0], joined[1].double(), joined[2].double(), joined[3], joined[4].double())


def _matched(units: _Units, near: _Near, used: Tensor) -> Tensor | None:
    """The best permutation; None where it cannot be told."""
    size = units.space.size
    rows = used.nonzero()[:, 0]
    _, reached = units.exact(rows, near.proposed[rows])
    # few large entries that fell into one sum make more noise than there should be
    if bool(((reached - near.value[rows]).abs() > near.noise[rows]).any()):
        return None
    open_ = near.most[rows] >= reached[:, None]
    if bool(open_[:, -1].any()) and open_.shape[1] < size:
        return None
    places, taken = torch.full((size,), -1), torch.zeros(size, dtype=torch.bool)
    beyond = torch.where(open_, -torch.inf, near.most[rows]).amax(dim=1)
    at, number = open_.nonzero(as_tuple=True)
    groups = _groups(rows[at].numpy(), near.columns[rows][at, number].numpy(), size)
    several = [pair for pair in groups if len(pair[0]) > 1 or len(pair[1]) > 1]
    if sum(len(i) * len(j) for i, j in several) > PAIRS * size:
        return None
    limit = torch.full((size,), -torch.inf, dtype=torch.float64)
    limit[rows] = beyond
    for i, j in groups:
        if len(i) > len(j):
            return None
        if len(i) == len(j) == 1:
            places[i[0]] = j[0]
    if several and not _settled(units, several, limit, places):
        return None
    taken[places[rows]] = True
    left, idle = (~taken).nonzero()[:, 0], (~used).nonzero()[:, 0]
    places[idle] = _rest(idle, left)
    return places


def _groups(
    rows: np.ndarray, columns: np.ndarray, size: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Units of both networks that are linked by what is open, group by group."""
    links = coo_array((np.ones(len(rows)), (rows, columns + size)), (2 * size, 2 * size))
    _, group = connected_components(links, directed=False)
    members = np.unique(np.concatenate([rows, columns + size]))
    members = members[np.argsort(group[members], kind="stable")]
    cuts = np.flatnonzero(np.diff(group[members])) + 1
    return [(x[x < size], x[x >= size] - size) for x in np.split(members, cuts)]


def _settled(
    units: _Units, groups: list[tuple[np.ndarray, np.ndarray]], limit: Tensor, places: Tensor
) -> bool:
    """Matches units within groups; tells whether no match outside of these may be better."""
    pairs = [np.meshgrid(i, j, indexing="ij") for i, j in groups]
    rows, columns = (
        torch.from_numpy(np.concatenate([p[k].ravel() for p in pairs])) for k in (0, 1)
    )
    values = units.exact(rows, columns)[1].numpy()
    start = 0
    for i, j in groups:
        w = values[start : start + len(i) * len(j)].reshape(len(i), len(j))
        start += w.size
        _, column = linear_sum_assignment(w, maximize=True)
        places[torch.from_numpy(i)] = torch.from_numpy(j[column])
        prices = _prices(w, column)
        worth = w[np.arange(len(i)), column] - prices[column]
        if (worth < limit[torch.from_numpy(i)].numpy()).any():
            return False
    return True


def _prices(w: np.ndarray, column: np.ndarray) -> np.ndarray:
    """The least prices at which every row prefers its column, the longest paths of exchanges."""
    prices = np.zeros(w.shape[1])
    own = w[np.arange(len(column)), column]
    for _ in range(len(column)):
        wanted = (w - own[:, None] + prices[column][:, None]).max(axis=0)
        if (wanted <= prices).all():
            break
        prices = np.maximum(prices, wanted)
    return prices


def _rest(idle: Tensor, left: Tensor) -> Tensor:
    """Places for units without weights: their own, where it is left."""
    stays = torch.isin(idle, left)
    places = idle.clone()
    places[~stays] = left[~torch.isin(left, idle)]
    return places
