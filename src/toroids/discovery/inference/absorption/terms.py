"""What is added to a value where vectors are added to biases: sums of terms, and equations.

A term is factor x W ... W t. Index arrays say which entry of W ... W t lies at each place of a
value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Reader:
    """A matrix that reads a vector.

    Attributes:
        tensor: the parameter, by its first name.
        axis: along which it reads.
        out: along which it writes.
        routing: for every position along `axis` the entry of the vector that it reads, -1 for none.
    """

    tensor: str
    axis: int
    out: int
    routing: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Term:
    """A part of what is added to a value: factor x W ... W t of one bias.

    Attributes:
        source: the bias, by its first name.
        word: the matrices, the first reader of the bias first.
        factor: a known number.
        index: which entry lies at every place of the value, -1 for none.
        width: of a table the length of its rows: its entries are counted row after row.
    """

    source: str
    word: tuple[Reader, ...]
    factor: float
    index: Tensor
    width: int = 0


@dataclass(frozen=True, eq=False)
class Added:
    """What is added to a value.

    Attributes:
        terms: known sums.
        hidden: sums of which functions were added that are the same along the last axis, as a
            key's bias adds to the scores of all keys.
        adds_up: whether the entries along the last axis add up to one.
    """

    terms: tuple[Term, ...] = ()
    hidden: tuple[tuple[Term, ...], ...] = ()
    adds_up: bool = False

    @property
    def seen(self) -> bool:
        """Whether there is anything to see."""
        return bool(self.terms or self.hidden)


@dataclass(frozen=True, eq=False)
class Part:
    """A term at the places of one equation; parts with one label meet in equal entries.

    Those of tables say which rows; the equation holds for every one, or every choice, of them.
    """

    source: str
    word: tuple[Reader, ...]
    factor: float
    label: int
    entries: NDArray[np.int64]
    rows: frozenset[int] | None = None


# A sum of terms that is zero, entry by entry.
Equation = tuple[Part, ...]


NOTHING = Added()


class Untold(Exception):
    """A program that writes into views, or has parts only on longer inputs: nothing is said."""


def is_bias_like(value: Any) -> bool:
    """Whether a tensor has a single axis that is longer than one."""
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.ndim > 0
        and sum(size > 1 for size in value.shape) <= 1
    )


def settled(value: Any) -> Any:
    """A value to which nothing is added any more."""
    if isinstance(value, list):
        return [settled(v) for v in value]
    return replace(value, terms=(), hidden=()) if isinstance(value, Added) else value


def constant_along(index: Tensor, axes: Sequence[int]) -> bool:
    """Whether an index array is the same all along some axes."""
    for axis in axes:
        if index.shape[axis] > 1 and index.stride(axis) != 0:
            first = index.narrow(axis, 0, 1)
            # a look at two rows tells most that vary
            if not torch.equal(first, index.narrow(axis, 1, 1)) or bool((index != first).any()):
                return False
    return True


def equations_among(terms: Sequence[Term]) -> list[Equation]:
    """One equation for every way in which terms meet."""
    shape = np.broadcast_shapes(*(tuple(term.index.shape) for term in terms))
    arrays = [term.index.expand(shape) for term in terms]
    for axis in range(len(shape)):
        if all(constant_along(index, [axis]) for index in arrays):
            arrays = [index.narrow(axis, 0, 1) for index in arrays]
    whole = np.stack([index.reshape(-1).numpy() for index in arrays])
    widths = np.array([[term.width or whole.max() + 1] for term in terms])
    table = np.where(whole < 0, -1, whole % np.maximum(widths, 1))
    rows = whole // np.maximum(widths, 1)
    labels = np.arange(len(terms))[:, None] + np.zeros_like(table)
    for k in range(len(terms)):
        for m in range(k - 1, -1, -1):
            labels[k] = np.where(table[m] == table[k], labels[m], labels[k])
    labels[table < 0] = -1
    found = []
    while labels.shape[1]:
        kind = labels[:, 0].tolist()
        here = (labels == labels[:, :1]).all(axis=0)
        at, table, labels = table[:, here], table[:, ~here], labels[:, ~here]
        told, rows = rows[:, here], rows[:, ~here]
        parts = tuple(
            Part(
                term.source, term.word, term.factor, label, np.unique(at[k]),
                frozenset(np.unique(told[k]).tolist()) if term.width else None,
            )
            for k, (term, label) in enumerate(zip(terms, kind, strict=True))
            if label >= 0
        )  # fmt: skip
        if parts:
            found.append(parts)
    return found


def merged(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Adds up terms that lie alike."""
    kept: list[Term] = []
    for term in terms:
        for position, other in enumerate(kept):
            same = (term.source, term.word) == (other.source, other.word)
            if same and torch.equal(term.index, other.index):
                kept[position] = replace(other, factor=other.factor + term.factor)
                break
        else:
            kept.append(term)
    return tuple(term for term in kept if term.factor)


def scaled(value: Added, factor: float) -> tuple[Term, ...]:
    """The terms of a value, times a number."""
    return tuple(replace(term, factor=term.factor * factor) for term in value.terms)


def expanded(terms: Sequence[Term], shape: tuple[int, ...]) -> tuple[Term, ...]:
    """Terms of a value that is broadcast to a shape."""
    return tuple(replace(term, index=term.index.expand(shape)) for term in terms)
