"""Lengths in the middle of a module, as they follow from those of its inputs.

What a length is was seen at the sizes of some calls. What it may be at others is the simplest
formula that gives what was seen: a share of a length of an input, which strides and windows leave,
a multiple, a product of two such, or always the same number.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from toroids.discovery.tracing.example import Axis

Sizes = Mapping[Axis, int]
SHARES = (1, 2, 4, 8, 16, 32)  # of both axes of an image
TOKENS = (0, 1, 2)  # besides those of an image
# By how much longer or shorter a window makes an axis, where it was seen once.
SHORTER, LONGER = 12, 4


@dataclass(frozen=True)
class Formula:
    """What a length may be: of which axes, and how much."""

    axes: frozenset[Axis]
    at: Callable[[Sizes], int]


@dataclass(eq=False)
class Middle:
    """A length in the middle of a module.

    Attributes:
        number: tells it from others.
        position: which axis of its tensor it is.
        seen: the lengths of the inputs at some calls, and what it was.
    """

    number: int
    position: int
    seen: list[tuple[Sizes, int]] = field(default_factory=list)
    _formula: Formula | None = None

    def see(self, sizes: Sizes, length: int) -> None:
        """Notes what it is at the sizes of one call."""
        if (sizes, length) not in self.seen:
            self.seen.append((sizes, length))
            if self._formula is not None and self._formula.at(sizes) != length:
                self._formula = None

    @property
    def formula(self) -> Formula:
        """The simplest formula that gives what was seen."""
        if self._formula is None:
            known = self.seen
            fits = (f for f in self._formulas() if all(f.at(sizes) == n for sizes, n in known))
            length = known[-1][1]
            self._formula = next(fits, Formula(frozenset(), lambda sizes: length))
        return self._formula

    def _formulas(self) -> Iterator[Formula]:
        """Formulas of axes that were seen to vary, a constant, then those of other axes."""
        sizes, length = self.seen[0]
        axes = sorted(sizes, key=lambda axis: axis[1] != self.position)
        varied = [a for a in axes if any(other[a] != sizes[a] for other, _ in self.seen)]
        yield from self._of(varied)
        if varied:
            yield Formula(frozenset(), lambda sizes: length)
        yield from self._of(axes)

    def _of(self, axes: Sequence[Axis]) -> Iterator[Formula]:
        for axis in axes:
            yield from _shares(axis, [(sizes[axis], n) for sizes, n in self.seen])
        for pair in itertools.combinations(axes, 2):
            for share, tokens in itertools.product(SHARES, TOKENS):
                yield Formula(frozenset(pair), _product(*pair, share, tokens))


def _shares(axis: Axis, seen: Sequence[tuple[int, int]]) -> Iterator[Formula]:
    """Shares and multiples of the length of one axis, as far as they give what was seen."""
    size, length = seen[0]
    if not length or not size:
        return
    once = len(set(seen)) == 1
    for share in (size // length, size // length + 1):
        # the length is (size + more) // share for all that was seen
        least = max((share * n - m for m, n in seen), default=0)
        most = min((share * n - m + share - 1 for m, n in seen), default=0)
        more = min(max(0, least), most)
        if share and least <= most and not (once and not -SHORTER <= more <= LONGER + share):
            yield Formula(frozenset([axis]), _share(axis, share, more))
    times = length // size
    if times > 1 and size > 1:
        yield Formula(frozenset([axis]), lambda sizes: sizes[axis] * times + length - size * times)


def _share(axis: Axis, share: int, more: int) -> Callable[[Sizes], int]:
    return lambda sizes: (sizes[axis] + more) // share


def _product(one: Axis, other: Axis, share: int, tokens: int) -> Callable[[Sizes], int]:
    return lambda sizes: (sizes[one] // share) * (sizes[other] // share) + tokens
