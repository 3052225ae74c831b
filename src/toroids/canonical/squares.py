"""The norm of a network's weights as a function of the scales of its units.

An entry w of a tensor that the units of several spaces index becomes w exp(sum of e s), e the
exponents of its legs and s the log-scales of its units, so that

    F(s) = sum over entries of w^2 exp(2 sum of e s)

is convex in s; its gradient and the products with its Hessian are sums of squares along the legs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from toroids.canonical.newton import Point, plus, times
from toroids.symmetry.space import Leg
from toroids.symmetry.units import along, sum_per_unit

# One log-scale per unit and generator, (generators, units), for every space.
LogScales = Point


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


@dataclass(frozen=True)
class SumOfSquares:
    """The sum of all squares, as a function to minimise.

    Attributes:
        start: of all tensors that count.
        free: 1 for every log-scale that may move, 0 for the others.
        scales: where it stands, from `start`.
    """

    start: Sequence[Squares]
    free: LogScales
    scales: LogScales

    @cached_property
    def now(self) -> list[Squares]:
        """The squares where it stands."""
        return [square.scaled(self.scales) for square in self.start]

    def slope(self) -> LogScales:
        """Its gradient."""
        totals = self._zeros()
        for square in self.now:
            square.add_sums(2 * square.values, totals)
        return times(totals, self.free)

    def curvature(self, along: LogScales) -> LogScales:
        """Its Hessian times `along`."""
        totals = self._zeros()
        for square in self.now:
            logs = square.logs(along)
            weighted = sum((square.values * log for log in logs[1:]), square.values * logs[0])
            square.add_sums(4 * weighted, totals)
        return totals

    def units(self) -> LogScales:
        """One over the root of its second derivatives."""
        diagonal = self._zeros()
        for square in self.now:
            for mover in square.movers:
                powers = tuple(e * e for e in mover.exponents)
                one = replace(square, movers=(replace(mover, exponents=powers),))
                one.add_sums(4 * square.values, diagonal)
        return times([torch.where(d > 0, d, 1.0).rsqrt() for d in diagonal], self.free)

    def change(self, step: LogScales) -> float:
        """What it gains by a step, without the loss of digits in a difference of large sums."""
        total = 0.0
        for square in self.now:
            first, *others = square.logs(step)
            total += float((square.values * (2 * sum(others, first)).expm1()).sum())
        return total

    def moved(self, step: LogScales) -> "SumOfSquares":
        """The same from where a step leads."""
        return replace(self, scales=plus(self.scales, step))

    def _zeros(self) -> LogScales:
        return [torch.zeros_like(part) for part in self.free]
