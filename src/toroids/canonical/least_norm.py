"""The scales at which the norm of a network's weights is least.

An entry w of a tensor that the units of several spaces index becomes w exp(sum of e s), e the
exponents of its legs and s the log-scales of its units, so that

    F(s) = sum over entries of w^2 exp(2 sum of e s)

is convex in s. Newton's method with conjugate gradients finds its minimum; its gradient and the
products with its Hessian are sums of squares along the legs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from toroids.symmetry.space import Leg
from toroids.symmetry.units import along, sum_per_unit

# One log-scale per unit and generator, (generators, units), for every space.
LogScales = list[Tensor]

# A step is about the error before it, and squares itself: after this one only rounding is left.
LAST_STEP = 1e-7
STEPS = 100
# A step moves no log-scale by more than this, and lowers F by this share of what its slope says.
LONGEST = 1.0
SUFFICIENT = 1e-4
# Relative accuracy of the conjugate gradients.
RESIDUAL = 1e-6
CONJUGATE_STEPS = 500


@dataclass(frozen=True)
class Mover:
    """One leg of a tensor: the number of its space, and its exponent in every generator."""

    space: int
    leg: Leg
    exponents: tuple[float, ...]


@dataclass(frozen=True)
class Squares:
    """Squares of a tensor's entries, summed along the axes that no leg indexes."""

    values: Tensor
    movers: tuple[Mover, ...]

    def logs(self, scales: LogScales) -> list[Tensor]:
        """What is added to the entries' logarithms, one tensor to broadcast for every leg."""
        return [
            along(self._weights(mover).to(scales[mover.space]) @ scales[mover.space],
                  self.values, mover.leg, 0.0)
            for mover in self.movers
        ]  # fmt: skip

    def scaled(self, scales: LogScales) -> "Squares":
        """The squares after the scales have acted."""
        values = self.values
        for log in self.logs(scales):
            values = values * (2 * log).exp()
        return replace(self, values=values)

    def add_sums(self, values: Tensor, totals: LogScales) -> None:
        """Adds to every log-scale's total the sum of what it moves, times its exponent."""
        for mover in self.movers:
            total = totals[mover.space]
            sums = sum_per_unit(values, mover.leg, total.shape[1])
            total += self._weights(mover).to(total)[:, None] * sums

    @staticmethod
    def _weights(mover: Mover) -> Tensor:
        return torch.tensor(mover.exponents, dtype=torch.float64)


def least_norm(squares: Sequence[Squares], free: LogScales) -> LogScales | None:
    """Minimises the sum of all squares.

    Args:
        squares: of all tensors that count.
        free: 1 for every log-scale that may move, 0 for the others.

    Returns:
        The log-scales, with an error of about LAST_STEP squared; zero along directions in which
        nothing changes. None if Newton's method did not converge.
    """
    scales = [torch.zeros_like(part) for part in free]
    for _ in range(STEPS):
        now = [square.scaled(scales) for square in squares]
        step = _newton_step(now, free)
        largest = max((float(part.abs().max()) for part in step), default=0.0)
        scales = _plus(scales, step, 1.0 if largest < LAST_STEP else _length(now, step, largest))
        if largest < LAST_STEP:
            return scales
    return None


def _length(now: Sequence[Squares], step: LogScales, largest: float) -> float:
    """Shortens a step until F falls in proportion."""
    slope = _dot(_gradient(now, step), step)
    length = min(1.0, LONGEST / largest)
    while _change(now, step, length) > SUFFICIENT * length * slope and length > LAST_STEP:
        length /= 2
    return length


def _change(now: Sequence[Squares], step: LogScales, length: float) -> float:
    """The change of F, without the loss of digits in a difference of two large sums."""
    total = 0.0
    for square in now:
        first, *others = square.logs(step)
        log = sum(others, first)
        total += float((square.values * (2 * length * log).expm1()).sum())
    return total


def _gradient(now: Sequence[Squares], like: LogScales) -> LogScales:
    totals = [torch.zeros_like(part) for part in like]
    for square in now:
        square.add_sums(2 * square.values, totals)
    return totals


def _newton_step(now: Sequence[Squares], free: LogScales) -> LogScales:
    """Solves H step = -gradient by conjugate gradients, each log-scale in units of its own."""
    slope = [g * f for g, f in zip(_gradient(now, free), free, strict=True)]
    diagonal = [torch.zeros_like(part) for part in free]
    for square in now:
        for mover in square.movers:
            powers = tuple(e * e for e in mover.exponents)
            one = replace(square, movers=(replace(mover, exponents=powers),))
            one.add_sums(4 * square.values, diagonal)
    units = [torch.where(d > 0, d, 1.0).rsqrt() * f for d, f in zip(diagonal, free, strict=True)]

    def product(vector: LogScales) -> LogScales:
        moved = _times(vector, units)
        totals = [torch.zeros_like(part) for part in vector]
        for square in now:
            logs = square.logs(moved)
            weighted = sum((square.values * log for log in logs[1:]), square.values * logs[0])
            square.add_sums(4 * weighted, totals)
        return _times(totals, units)

    return _times(_conjugate_gradients(product, [-s for s in _times(slope, units)]), units)


def _conjugate_gradients(product: Callable[[LogScales], LogScales], goal: LogScales) -> LogScales:
    """Solves product(x) = goal; stays out of directions that the product maps to zero."""
    x = [torch.zeros_like(part) for part in goal]
    rest, direction = goal, goal
    size = start = _dot(rest, rest)
    for _ in range(CONJUGATE_STEPS):
        if size <= RESIDUAL**2 * start:
            break
        image = product(direction)
        curvature = _dot(direction, image)
        if curvature <= 0:  # rounding, along what nothing changes
            break
        x = _plus(x, direction, size / curvature)
        rest = _plus(rest, image, -size / curvature)
        before, size = size, _dot(rest, rest)
        direction = _plus(rest, direction, size / before)
    return x


def _plus(a: LogScales, b: LogScales, factor: float) -> LogScales:
    return [x + factor * y for x, y in zip(a, b, strict=True)]


def _times(a: LogScales, b: LogScales) -> LogScales:
    return [x * y for x, y in zip(a, b, strict=True)]


def _dot(a: LogScales, b: LogScales) -> float:
    return sum(float((x * y).sum()) for x, y in zip(a, b, strict=True))
