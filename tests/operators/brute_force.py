"""The symmetries of an operator by trial: what may be done to its arguments, results following.

Every swap of two neighbours on an axis of one argument, alone and together with one on an axis of
other arguments; multiplied and negated slices alike. What becomes of the results is read off: a
permutation, a factor for every entry, or neither. Nothing of `discover` is used here.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from operators.database import Sample
from operators.sandwich import Draw
from torch import Tensor

TOLERANCE = 1e-9  # rounding in float64; what a wrong swap changes is not small
MOST = 500  # combinations that are tried; of more than that, those of axes of equal length
FACTOR = 1.75  # of positive rescaling, a number that is not special


@dataclass(frozen=True, eq=False)
class Step:
    """Something done to the entries of one argument, its axes flattened.

    Attributes:
        axis: along which axis.
        length: of the axis.
        order: (entries,) where every entry comes from.
        powers: (entries,) the power of a factor that every entry takes.
    """

    axis: int
    length: int
    order: Tensor
    powers: Tensor

    @property
    def touched(self) -> Tensor:
        """(entries,) whether an entry is moved or multiplied."""
        return (self.order != torch.arange(len(self.order))) | (self.powers != 0)


Steps = tuple[Step | None, ...]  # one for every argument


@dataclass(frozen=True)
class Found:
    """A symmetry of the operator.

    Attributes:
        name: the axes that take part: "a.0 b.1" are the first of one argument and the second of
            the next, "y0.1" is the second of a result where no argument is touched.
        arguments: for every argument (entries,) sources, or powers of a factor.
        results: the same for every result; NaN where a factor is arbitrary.
        alike: for every result (entries,) numbers, the same for entries that are always equal.
    """

    name: str
    arguments: list[Tensor]
    results: list[Tensor]
    alike: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class _Kind:
    """A kind of symmetry.

    Attributes:
        act: what a step does to an argument.
        possible: whether one draw of a result may have become another.
        read_off: what became of a result, from (draws, entries) before and after, and its shape.
    """

    act: Callable[[Tensor, Step], Tensor]
    possible: Callable[[Tensor, Tensor], bool]
    read_off: Callable[[Tensor, Tensor, torch.Size], Tensor | None]


def swaps(shape: Sequence[int], whole: bool) -> list[Step]:
    """Swaps of two neighbours on an axis: of whole slices, or of the first two entries of a row."""
    size = math.prod(shape)
    found = []
    for axis, length in enumerate(shape):
        if not whole and length == size:
            continue  # of a single row the slices are the entries
        for first in range(length - 1)[: None if whole else 1]:
            order = torch.arange(size).reshape(tuple(shape))
            lines = order.movedim(axis, 0)
            lines = lines if whole else lines[(slice(None), *[0] * (len(shape) - 1))]
            lines[[first, first + 1]] = lines[[first + 1, first]].clone()
            found.append(
                Step(axis, length, order.reshape(-1), torch.zeros(size, dtype=torch.float64))
            )
    return found


def slices(shape: Sequence[int], powers: Sequence[int]) -> list[Step]:
    """The first slice of every axis that has several, to some powers of a factor."""
    size = math.prod(shape)
    found = []
    for axis, length in enumerate(shape):
        unit = torch.zeros(tuple(shape), dtype=torch.float64)
        unit.narrow(axis, 0, 1).fill_(1)
        found += [
            Step(axis, length, torch.arange(size), power * unit.reshape(-1))
            for power in powers
            if length > 1
        ]
    return found


def permutations(sample: Sample, drawn: Sequence[Draw], whole: bool) -> list[Found]:
    """All swaps that some permutation of the results makes up for.

    Args:
        sample: the operator.
        drawn: generic arguments.
        whole: whether whole slices are swapped, or two entries of one row.

    Returns:
        One symmetry for every combination of swaps that is not made of smaller ones.
    """
    kind = _Kind(lambda a, step: a[step.order], _could_be_permuted, _permutation)
    shapes = [a.shape for a in drawn[0].arguments]
    found, alike = list(_of_results_alone(sample, drawn, whole)), _alike(sample, drawn)
    for steps, results in _search(sample, drawn, [swaps(shape, whole) for shape in shapes], kind):
        orders = [torch.arange(shape.numel()) if step is None else step.order
                  for shape, step in zip(shapes, steps, strict=True)]  # fmt: skip
        found.append(Found(_name(steps), orders, results, alike))
    return found


def holds(sample: Sample, drawn: Iterable[Draw], found: Found) -> bool:
    """Whether a permutation that was found on some draws is one on others as well.

    Args:
        sample: the operator.
        drawn: arguments; those on which it gives no finite numbers say nothing.
        found: what is done to the arguments, and what then becomes of the results.
    """
    for draw in drawn:
        arguments = [
            a.reshape(-1)[order].reshape(a.shape)
            for a, order in zip(draw.arguments, found.arguments, strict=True)
        ]
        try:
            before = _results(sample, draw.arguments, draw)
            after = _results(sample, arguments, draw)
        except Exception:  # outside of what the operator is defined on
            continue
        if [r.shape for r in before] != [r.shape for r in after] or not all(
            bool(_close(old.reshape(-1)[order], new.reshape(-1)).all())
            for old, new, order in zip(before, after, found.results, strict=True)
            if bool(old.isfinite().all())
        ):
            return False
    return True


def _alike(sample: Sample, drawn: Sequence[Draw]) -> list[Tensor]:
    """Which entries of the results are always the same: any of them may follow for any other."""
    before = [_results(sample, draw.arguments, draw) for draw in drawn]
    return [
        torch.stack([r.reshape(-1) for r in draws]).unique(dim=1, return_inverse=True)[1]
        for draws in zip(*before, strict=True)
    ]


def factors(sample: Sample, drawn: Sequence[Draw], number: float) -> list[Found]:
    """All slices that may be multiplied by a number, every entry of the results by some power.

    Args:
        sample: the operator.
        drawn: generic arguments.
        number: FACTOR for rescaling, -1 for flips, whose powers count modulo two.

    Returns:
        One symmetry for every combination of slices that is not made of smaller ones.
    """
    kind = _Kind(
        lambda a, step: a * number**step.powers,
        _could_be_scaled,
        lambda before, after, _: _powers(before, after, number),
    )
    shapes = [a.shape for a in drawn[0].arguments]
    powers = (1,) if number == -1 else (1, -1)
    found = []
    for steps, results in _search(sample, drawn, [slices(s, powers) for s in shapes], kind):
        taken = [torch.zeros(shape.numel()) if step is None else step.powers
                 for shape, step in zip(shapes, steps, strict=True)]  # fmt: skip
        found.append(Found(_name(steps), taken, results))
    return found


def _search(
    sample: Sample, drawn: Sequence[Draw], candidates: Sequence[Sequence[Step]], kind: _Kind
) -> Iterator[tuple[Steps, list[Tensor]]]:
    """Combinations of steps that the results can follow, with what they then do."""
    before = [_results(sample, draw.arguments, draw) for draw in drawn]
    shapes = [result.shape for result in before[0]]
    smaller: list[set[int]] = []  # a combination that contains one of these is that and the rest
    for steps in _combinations(candidates):
        members = {id(step) for step in steps if step is not None}
        if any(known <= members for known in smaller):
            continue
        after = _after(sample, drawn, steps, kind, before)
        if after is None:
            continue
        results = [
            kind.read_off(*(torch.stack([r[i].reshape(-1) for r in of]) for of in (before, after)), s)
            for i, s in enumerate(shapes)
        ]  # fmt: skip
        if any(result is None for result in results):
            continue
        smaller.append(members)
        touched = [None if step is None else step.touched for step in steps]
        if not _unread(sample, drawn, before, touched):
            yield steps, [result for result in results if result is not None]


def _results(sample: Sample, arguments: Sequence[Tensor], draw: Draw) -> list[Tensor]:
    return sample.run([a.clone() for a in arguments], [t.clone() for t in draw.others])


def _combinations(candidates: Sequence[Sequence[Step]]) -> list[Steps]:
    """One step or none for every argument, those of few arguments first."""
    every = itertools.product(*([None, *own] for own in candidates))
    if math.prod(len(own) + 1 for own in candidates) > MOST:
        lengths = sorted({step.length for own in candidates for step in own})
        every = itertools.chain.from_iterable(_of_length(n, candidates) for n in lengths)
    found = [c for c in itertools.islice(every, MOST) if any(step is not None for step in c)]
    found = [c for c in found if min(_first(c).powers) >= 0]  # the others are inverses of these
    return sorted(found, key=lambda c: sum(step is not None for step in c))


def _of_length(length: int, candidates: Sequence[Sequence[Step]]) -> Iterator[Steps]:
    """Combinations of the first step on every axis of one length."""
    own = [{step.axis: step for step in reversed(steps) if step.length == length}
           for steps in candidates]  # fmt: skip
    return itertools.product(*([None, *steps.values()] for steps in own))


def _first(steps: Steps) -> Step:
    return next(step for step in steps if step is not None)


def _name(steps: Steps) -> str:
    parts = [
        f"{chr(ord('a') + number)}.{step.axis}{'⁻¹' if min(step.powers) < 0 else ''}"
        for number, step in enumerate(steps)
        if step is not None
    ]
    return " ".join(parts)


def _after(
    sample: Sample, drawn: Sequence[Draw], steps: Steps, kind: _Kind,
    before: Sequence[Sequence[Tensor]],
) -> list[list[Tensor]] | None:  # fmt: skip
    """The results of all draws after some steps; None as soon as it is clear that none follow."""
    found = []
    for draw, old in zip(drawn, before, strict=True):
        arguments = [
            a if step is None else kind.act(a.reshape(-1), step).reshape(a.shape)
            for a, step in zip(draw.arguments, steps, strict=True)
        ]
        try:
            new = _results(sample, arguments, draw)
        except Exception:  # outside of what the operator is defined on
            return None
        if [r.shape for r in new] != [r.shape for r in old]:
            return None
        if not all(kind.possible(*pair) for pair in zip(old, new, strict=True)):
            return None
        found.append(new)
    return found


def as_read(sample: Sample, drawn: Sequence[Draw], found: Found, free: float) -> Found:
    """A symmetry as the results see it: entries that they do not look at may be anywhere.

    Args:
        sample: the operator.
        drawn: generic arguments.
        found: what is done to the arguments.
        free: what it then says of such an entry: -1 as its source, NaN as its power of a factor.
    """
    before = [_results(sample, draw.arguments, draw) for draw in drawn]
    arguments = []
    for number, own in enumerate(found.arguments):
        home = torch.arange(len(own))
        seen = own.clone()
        for entry in torch.nonzero(own != (home if free == -1 else 0))[:, 0]:
            touched: list[Tensor | None] = [None] * len(found.arguments)
            touched[number] = home == entry
            if _unread(sample, drawn, before, touched):
                seen[entry] = free
        arguments.append(seen)
    return replace(found, arguments=arguments)


def _unread(
    sample: Sample, drawn: Sequence[Draw], before: Sequence[Sequence[Tensor]],
    touched: Sequence[Tensor | None],
) -> bool:  # fmt: skip
    """Whether the results look at nothing that is touched: it may stay in place."""
    for (draw, other), old in zip(pairwise(drawn), before, strict=False):
        arguments = [
            a if own is None
            else torch.where(own, b.reshape(-1), a.reshape(-1)).reshape(a.shape)
            for a, b, own in zip(draw.arguments, other.arguments, touched, strict=True)
        ]  # fmt: skip
        try:
            new = _results(sample, arguments, draw)
        except Exception:  # outside of what the operator is defined on
            return False
        if not all(torch.equal(a, b) for a, b in zip(old, new, strict=True)):
            return False
    return True


def _of_results_alone(sample: Sample, drawn: Sequence[Draw], whole: bool) -> Iterator[Found]:
    """Swaps of entries of a result that are always the same numbers, as those that are repeated.

    Entries that are the same in every draw depend on no argument, or on none that are generic; they
    count where there are no arguments, unless they are zeros, which no reader looks at.
    """
    before = [_results(sample, draw.arguments, draw) for draw in drawn]
    home = [torch.arange(a.numel()) for a in drawn[0].arguments]
    for number, result in enumerate(before[0]):
        draws = torch.stack([results[number].reshape(-1) for results in before])
        constant = (draws == draws[0]).all(dim=0)
        for step in swaps(result.shape, whole):
            touched = draws[:, step.touched]
            idle = bool((touched == 0).all() if not home else constant[step.touched].all())
            if not idle and torch.equal(draws, draws[:, step.order]):
                orders = [torch.arange(r.numel()) for r in before[0]]
                orders[number] = step.order
                yield Found(f"y{number}.{step.axis}", home, orders)


def _close(a: Tensor, b: Tensor) -> Tensor:
    """Entry by entry, relative to the largest entry of all."""
    return (a - b).abs() <= TOLERANCE * a.abs().max().clamp(min=1e-30)


def _could_be_permuted(before: Tensor, after: Tensor) -> bool:
    before, after = before.reshape(-1).sort().values, after.reshape(-1).sort().values
    return bool(_close(before, after).all())


def _could_be_scaled(before: Tensor, after: Tensor) -> bool:
    return bool(((before == 0) == (after == 0)).all() and after.isfinite().all())


def _permutation(before: Tensor, after: Tensor, shape: torch.Size) -> Tensor | None:
    """Where every column of `after` lies in `before`, both (draws, entries); None where nowhere."""
    home = torch.arange(before.shape[1])
    for order in itertools.chain([home], (step.order for step in swaps(shape, True))):
        if bool(_close(before[:, order], after).all()):
            return order
    still = _close(before, after).all(dim=0)
    left = torch.nonzero(~still)[:, 0].tolist()
    order, free = home.clone(), list(left)
    for column in left:
        alike = _close(before[:, free], after[:, [column]]).all(dim=0)
        if not alike.any():
            return None
        order[column] = free.pop(int(alike.int().argmax()))
    return order


def _powers(before: Tensor, after: Tensor, number: float) -> Tensor | None:
    """The power of a number that every column takes, NaN for any; None where one takes none."""
    ratio = after / before  # NaN where both are zero
    factor = ratio.nanmedian(dim=0).values
    alike = (ratio - factor).abs() <= TOLERANCE * factor.abs()
    if not bool((alike | (before == 0)).all()):
        return None
    if number != -1:
        return None if bool((factor <= 0).any()) else factor.log() / math.log(number)
    if bool(((factor.abs() - 1).abs() > TOLERANCE).any()):
        return None
    return torch.where(factor.isnan(), torch.nan, (factor < 0).double())
