"""Values that are linear in what parameters write, as sparse maps.

Every entry of such a value is a sum of few terms, a number times an entry of a source: a row of a
weight times whatever the layer reads, or an entry of a bias or a gain. Operators that move entries
move the terms; those that multiply by known numbers multiply the terms; sums add them.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

Places: TypeAlias = np.ndarray[Any, Any]
MOST = 8  # terms of one entry; what mixes more is no rotation of pairs
TOKENS = 32  # bits of an id that tell one use of a feature from another


@dataclass(frozen=True)
class Holder:
    """The entries of one parameter that act as features: rows of a weight, or single entries.

    Attributes:
        name: of the parameter.
        dims: its axes along which features lie; all others are summed.
        shape: the parameter's.
        offset: what is added to it before it is used, as in a gain 1 + w.
        turns: whether features that turn alike in the parameter do so in the value; not those of
            a gain, which are multiplied by numbers of their own.
    """

    name: str
    dims: tuple[int, ...]
    shape: tuple[int, ...]
    offset: float = 0.0
    turns: bool = True

    @property
    def sizes(self) -> tuple[int, ...]:
        """The lengths of the axes along which features lie."""
        return tuple(self.shape[dim] for dim in self.dims)

    @property
    def single(self) -> bool:
        """Whether features are single entries."""
        return len(self.dims) == len(self.shape)


@dataclass
class Features:
    """Numbers for the features of all holders: those of one holder follow each other."""

    first: dict[Holder, int] = field(default_factory=dict)
    holders: list[Holder] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    count: int = 0

    def of(self, holder: Holder) -> int:
        """The number of a holder's first feature."""
        if holder not in self.first:
            self.first[holder] = self.count
            self.holders.append(holder)
            self.starts.append(self.count)
            self.count += int(np.prod(holder.sizes, dtype=np.int64))
        return self.first[holder]

    def holder(self, feature: int) -> Holder:
        """The holder of a feature."""
        return self.holders[bisect_right(self.starts, feature) - 1]

    def holder_numbers(self, features: Places) -> Places:
        """For every feature which holder has it."""
        return np.searchsorted(self.starts, features, side="right") - 1


@dataclass(frozen=True)
class Map:
    """A value of which every entry is a sum of numbers times entries of sources.

    Attributes:
        terms: pairs of tensors of the value's shape: which entries, and the numbers. An entry's
            id holds its feature, and in its last bits which of its uses it is.
        buffers: whose numbers the numbers were computed from.
    """

    terms: tuple[tuple[Tensor, Tensor], ...]
    buffers: frozenset[str] = frozenset()

    @property
    def shape(self) -> torch.Size:
        """The value's."""
        return self.terms[0][0].shape

    @property
    def features(self) -> Tensor:
        """The features that it holds, each once."""
        held = torch.cat([ids[numbers != 0] for ids, numbers in self.terms])
        return torch.unique(held >> TOKENS)  # type: ignore[no-any-return]

    def each(self, function: Callable[[Tensor], Tensor]) -> "Map":
        """Moves entries."""
        return Map(tuple((function(i), function(c)) for i, c in self.terms), self.buffers)

    def times(self, numbers: Tensor, buffers: frozenset[str] = frozenset()) -> "Map":
        """Multiplies by known numbers."""
        products = [(ids, c * numbers) for ids, c in self.terms]
        terms = tuple((ids.expand(c.shape), c) for ids, c in products)
        return Map(terms, self.buffers | buffers)


@dataclass(frozen=True)
class Squares:
    """The squares of the entries of a map."""

    of: Map


def single_term(ids: Tensor) -> Map:
    """The map of a source itself."""
    return Map(((ids, torch.ones(ids.shape, dtype=torch.float64)),))


def added(maps: Sequence[Map]) -> Map:
    """The sum of values.

    Args:
        maps: of shapes that broadcast.

    Returns:
        Their sum.

    Raises:
        ValueError: an entry has more than `MOST` terms.
    """
    shape = torch.broadcast_shapes(*(m.shape for m in maps))  # type: ignore[no-untyped-call]
    found: list[tuple[Tensor, Tensor]] = []
    for ids, numbers in (term for m in maps for term in m.terms):
        ids, rest = ids.expand(shape), numbers.expand(shape)
        for position, (held, before) in enumerate(found):
            takes = (rest != 0) & ((held == ids) | (before == 0))
            found[position] = (
                torch.where(takes, ids, held), before + torch.where(takes, rest, 0)
            )  # fmt: skip
            rest = torch.where(takes, 0, rest)
        if not found or bool((rest != 0).any()):
            found.append((ids, rest))
    if len(found) > MOST:
        raise ValueError(f"a sum of {len(found)} terms")
    return Map(tuple(found), frozenset().union(*(m.buffers for m in maps)))


def joined(maps: Sequence[Map], join: Callable[[list[Tensor]], Tensor]) -> Map:
    """Puts values together, as `torch.cat` does."""
    count = max(len(m.terms) for m in maps)
    padded = [_padded(m, count) for m in maps]
    terms = tuple(
        (join([p[i][0] for p in padded]), join([p[i][1] for p in padded])) for i in range(count)
    )
    return Map(terms, frozenset().union(*(m.buffers for m in maps)))


def _padded(value: Map, count: int) -> list[tuple[Tensor, Tensor]]:
    ids, numbers = value.terms[0]
    return [*value.terms, *[(ids, torch.zeros_like(numbers))] * (count - len(value.terms))]


def nothing(shape: Sequence[int]) -> Map:
    """Zeros."""
    ids = torch.zeros(tuple(shape), dtype=torch.long)
    return Map(((ids, torch.zeros(ids.shape, dtype=torch.float64)),))


def as_complex(value: Map) -> Map:
    """Pairs of the last axis as complex numbers."""
    terms = [
        (ids[..., part], numbers[..., part] * (1j if part else 1.0))
        for ids, numbers in value.terms
        for part in (0, 1)
    ]
    return Map(tuple(terms), value.buffers)


def as_real(value: Map) -> Map:
    """Complex numbers as pairs of a new last axis."""
    terms = [
        (torch.stack([ids, ids], -1), torch.view_as_real(numbers.to(torch.complex128)))
        for ids, numbers in value.terms
    ]
    return Map(tuple(terms), value.buffers)


def unique(columns: Places) -> tuple[Places, Places]:
    """Different columns of small numbers, none below zero, in order, and which each one is."""
    key, ranges = columns[0], int(columns[0].max(initial=0)) + 1
    for row in columns[1:]:
        size = int(row.max(initial=0)) + 1
        if ranges * size >= 2**62:
            key = np.unique(key, return_inverse=True)[1].ravel()
            ranges = int(key.max(initial=0)) + 1
        key, ranges = key * size + row, ranges * size
    _, first, at = np.unique(key, return_index=True, return_inverse=True)
    return columns[:, first], at.ravel()
