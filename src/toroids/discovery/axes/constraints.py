"""What the operators of a network demand of its hidden coordinates, collected in one pass.

Every position of every axis is a place, a number. Operators state four kinds of facts about places:
two are moved alike (`same`), one moves inside another (`under`: the entries of a head), a set is
mapped to itself (`member`), or a place never moves (negative numbers). Every value further has
unknown exponents along its places, in three channels: the log-scale, the sign and the shift that
it takes; operators state linear equations between those. Nothing is solved here.
"""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Channels = NDArray[np.int8]
# What is stated of exponents takes most of the memory: numbers below this are kept in half of it.
SHORT = 2**31

CHANNELS = ("scale", "sign", "shift")
# The place of exponents that belong to a whole value, not to an axis; the same in half the memory.
SCALAR = np.int64(-SHORT)


@dataclass(frozen=True)
class Loss:
    """A symmetry that was given up: which places stopped moving, and why."""

    reason: str
    places: Ids


@dataclass(frozen=True)
class BatchNorm:
    """Tensors of a batch norm: rescaling its variance must move its weight because of eps."""

    weight: str
    bias: str | None
    mean: str
    variance: str
    eps: float


@dataclass(frozen=True)
class Shuffle:
    """Entries that were sorted by the places that they name.

    Attributes:
        entries: the places of the entries, in their new order.
        names: the places that they name.
        key: of those names.
        rows: of the entries in their new order.
        operator: that sorted them.
    """

    entries: Ids
    names: Ids
    key: object
    rows: object
    operator: str


@dataclass(frozen=True)
class Template:
    """Places that stand for those of whichever unit an entry has chosen, as of an expert.

    Attributes:
        places: stand for any row of the family.
        family: (units, *places.shape) the places of every unit.
        key: of what chose; entries that were chosen by one key, side by side, are of one unit.
    """

    places: Ids
    family: Ids
    key: object


class Constraints:
    """The facts, in the order in which they were stated; each statement is one array."""

    def __init__(self) -> None:
        """Starts without places; exponent 0 is the constant zero."""
        self.places = 0
        self.exponents = 1
        self.place_of: list[Ids] = [np.full(1, -1)]
        self.channel_of: list[Channels] = [np.full(1, -1, np.int8)]
        self.sames: list[tuple[Ids, Ids]] = []
        self.stated_by: list[str] = []  # for every one of those, the operator
        self.forced: list[bool] = []  # and whether it keeps the places, whatever it meets there
        self.unders: list[tuple[Ids, Ids]] = []
        self.members: list[Ids] = []
        self.equations: list[tuple[int, tuple[float, ...], Ids]] = []
        self.nonlinear: list[Ids] = []
        self.reads: list[Ids] = []
        self.losses: list[Loss] = []
        self.orders: list[Loss] = []  # positions that an operator looks at in order
        self.norms: list[BatchNorm] = []
        self.ties: list[Ids] = []  # where a sign may meet a zero, which forbids flips
        self.stopped: list[Loss] = []  # scales that an operator stops
        self.given: list[Loss] = []  # what flips take for granted
        self.seen: list[Ids] = []  # places that an operator does more with than arrange them
        self.unread: Ids = np.zeros(0, np.int64)  # places of parameters that none looks at
        self.settled: dict[int, Ids] = {}  # shifts that add nothing, each once
        self.partial: list[Ids] = []  # places of parameters of which an operator takes some
        self.crossings = False  # whether places that rows and columns carry are units of their own
        self.gains: set[str] = set()  # parameters that multiply others entry by entry
        self.owned: list[int] = []  # where the places of every parameter begin and end
        self.shuffles: list[Shuffle] = []
        self.templates: list[Template] = []
        self.copies: list[tuple[object, Ids, Ids]] = []  # exponents of templates, and of families
        self.collapsed: set[int] = set()  # keys of which all units must move alike
        self.chosen: list[Loss] = []  # places that are chosen by size, where no two are equal
        self.conditions: set[str] = set()  # buffers whose numbers decide what is granted
        # what is added to the entries of parameters wherever they are read
        self.offsets: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
        self.weight_norms: Mapping[str, tuple[str, tuple[int, ...]]] = {}  # gains that follow norms
        self.sized = False  # whether the inputs are of one size only
        self.measured: list[Any] = []  # numbers that depend on lengths and multiply something
        # about the operator at hand, for its rule
        self.operator = ""
        self.name = ""  # as its rule is registered, without the namespace
        self.shapes: tuple[tuple[int, ...], ...] = ()
        self.used: tuple[bool, ...] = ()  # which of the tensors that it returns anybody reads
        self.zeros_vanish = False  # whether nobody sees which of several zeros it chooses
        self.shows_lowest = False  # whether somebody sees how low a mask is
        self.kind = torch.float32  # the type of the first tensor that it returns
        self.narrows = False  # whether that is narrower than the parameters
        self.open: tuple[tuple[bool, ...], ...] = ()  # whether their sizes depend on the inputs'
        self.arguments: tuple[torch.Tensor, ...] = ()  # what it reads, as it was traced
        self.arguments_open: tuple[tuple[bool, ...], ...] = ()  # whether its sizes depend on them
        self.never_zero: frozenset[str] | None = None  # certain for a sign, given these
        self.binary: set[str] = set()  # parameters of which only the signs are read

    def fresh(self, shape: Sequence[int]) -> Ids:
        """Returns new places with new exponents: (4, *shape), the places first."""
        places = np.arange(self.places, self.places + int(np.prod(shape))).reshape(shape)
        self.places += places.size
        self.member(places)
        return np.concatenate([places[None], self.unknowns(places)])

    def template(self, family: Ids, key: object) -> Ids:
        """Returns places and exponents that stand for those of any unit: (4, *shape).

        Args:
            family: (4, units, *shape) the places and exponents of every unit.
            key: of what chooses the unit.
        """
        ids = self.fresh(family.shape[2:])
        self.templates.append(Template(ids[0], family[0], key))
        pairs = zip(ids[1:], family[1:], strict=True)
        self.copies += [(key, mine.ravel(), every) for mine, every in pairs]
        return ids

    def keys_of(self, places: Ids) -> set[int]:
        """What chose the units for which places stand."""
        if not self.templates:
            return set()
        found = [t for t in self.templates if np.isin(places, t.places).any()]
        return {id(t.key) for t in found}

    def unknowns(self, places: Ids) -> Ids:
        """Returns new exponents at given places: (3, *shape); places that never move take none."""
        ids = self._unknowns(places)
        for template in self.templates:
            inside = np.isin(places, template.places)
            if inside.any():
                at = places[inside] - template.places.flat[0]
                family = template.family.reshape(len(template.family), -1)[:, at]
                for mine, every in zip(ids[:, inside], self._unknowns(family), strict=True):
                    self.copies.append((template.key, mine, every))
        return ids

    def _unknowns(self, places: Ids) -> Ids:
        movable = np.asarray((places >= 0) | (places == SCALAR))
        ids = np.zeros((len(CHANNELS), *places.shape), np.int64)
        count = int(movable.sum())
        own = _short(places[movable], self.places)
        for channel in range(len(CHANNELS)):
            ids[channel, ...][movable] = self.exponents + np.arange(count)
            self.exponents += count
            self.place_of.append(own)
            self.channel_of.append(np.full(count, channel, np.int8))
        return ids

    def see(self, places: Ids) -> None:
        """Notes places that an operator does more with than arrange them."""
        self.seen.append(_short(places[places >= 0], self.places))

    def taken(self, places: Ids) -> None:
        """Notes which part of a parameter's axis an operator takes, or in which order."""
        places = places.ravel() if self.crossings else places
        if places.ndim == 1 and places.size and places.min() >= 0:
            first, last = (bisect.bisect_right(self.owned, int(p)) for p in places[[0, -1]])
            if first % 2 and first == last:
                self.partial.append(places)

    def same(self, a: Ids, b: Ids, forced: bool = False) -> None:
        """States that the places of `a` and `b` move alike, position by position."""
        if a is not b:
            self.sames.append((a.ravel(), b.ravel()))
            self.stated_by.append(self.operator)
            self.forced.append(forced)

    def under(self, child: Ids, parent: Ids) -> None:
        """States that places that move together carry their parents along."""
        self.unders.append((child.ravel(), np.broadcast_to(parent, child.shape).ravel()))

    def member(self, places: Ids) -> None:
        """States that this set of places is mapped to itself."""
        self.members.append(places.ravel())

    def equation(self, channel: int, *terms: tuple[float, Ids]) -> None:
        """States that the sum of coefficient x exponent is zero, position by position."""
        ids = np.stack(np.broadcast_arrays(*(np.asarray(ids) for _, ids in terms)))
        ids = ids.reshape(len(terms), -1)
        ids = ids[:, ids.any(axis=0)]
        if ids.size:
            factors = tuple(float(factor) for factor, _ in terms)
            self.equations.append((channel, factors, _short(ids, self.exponents)))

    def summed_over(self) -> NDArray[np.bool_]:
        """(places,) whether a contraction sums over a place."""
        reads = np.zeros(self.places, bool)
        for places in self.reads:
            reads[places[places >= 0]] = True
        return reads

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first tensor that the operator at hand returns."""
        return self.shapes[0]

    def is_shuffled(self, places: Ids) -> bool:
        """Whether places are those of entries that were sorted: as many as the inputs give."""
        return any(np.isin(places, shuffle.entries).all() for shuffle in self.shuffles)

    def opened(self, axis: int) -> bool:
        """Whether an axis of the first tensor that is read or given is as long as the inputs."""
        both = (*self.open[:1], *self.arguments_open[:1])
        return any(sizes[axis] for sizes in both if -len(sizes) <= axis < len(sizes))

    @property
    def ordered(self) -> bool:
        """Whether any size of what the operator at hand reads or gives depends on the inputs'."""
        return any(map(any, (*self.open, *self.arguments_open)))

    def mark_nonlinear(self, places: Ids) -> None:
        """States that no matrices may mix these places."""
        self.nonlinear.append(places.ravel())


def _short(ids: Ids, count: int) -> Ids:
    """Numbers below `count` in half the memory where they fit: large networks have many."""
    return ids.astype(np.int32) if count < SHORT else ids
