"""Newton's method with conjugate gradients for what is convex along geodesics.

A point is a list of tensors, the coordinates in which a function is looked at from where it stands.
"""

from collections.abc import Callable
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

Point = list[Tensor]

# A step is about the error before it, and squares itself: after this one only rounding is left.
LAST_STEP = 1e-7
STEPS = 100
# A step moves no coordinate by more than this, and falls by this share of what its slope says.
LONGEST = 1.0
SUFFICIENT = 1e-4
# A slope of so little of the second derivative is rounding: where families are not independent, it
# would lead far along what changes nothing.
ROUNDING = 16 * torch.finfo(torch.float64).eps
# Relative accuracy of the conjugate gradients.
RESIDUAL = 1e-6
CONJUGATE_STEPS = 500
# Second derivatives, about one along every coordinate, that are rounding.
FLAT = 1e-12


class Function(Protocol):
    """A function near where it stands, which is zero in its coordinates."""

    def slope(self) -> Point:
        """Its gradient."""

    def curvature(self, along: Point) -> Point:
        """Its Hessian times `along`."""

    def units(self) -> Point:
        """A length in every coordinate that its second derivative is about one in; zero to stay."""

    def change(self, step: Point) -> float:
        """What it gains by a step."""

    def moved(self, step: Point) -> Self:
        """The same function from where a step leads."""


F = TypeVar("F", bound=Function)


def minimise(function: F) -> F | None:
    """Goes to the minimum of a function.

    Args:
        function: one that has a minimum, and is convex along its coordinates' geodesics.

    Returns:
        The function from there, with an error of about LAST_STEP squared; no step was made along
        directions in which nothing changes. None if Newton's method did not converge.
    """
    for _ in range(STEPS):
        slope = _without_rounding(function)
        step = _newton_step(function, slope)
        largest = max((float(part.abs().max()) for part in step), default=0.0)
        if largest < LAST_STEP:
            return function.moved(step)
        function = function.moved(_shortened(function, step, dot(slope, step), largest))
    return None


def _without_rounding(function: Function) -> Point:
    """The gradient, zero where it is as small as rounding."""
    units = function.units()
    return [
        torch.where(slope.abs() * unit.square() > ROUNDING, slope, 0.0)
        for slope, unit in zip(function.slope(), units, strict=True)
    ]


def _shortened(function: Function, step: Point, slope: float, largest: float) -> Point:
    """Shortens a step until the function falls in proportion."""
    length = min(1.0, LONGEST / largest)
    while length > LAST_STEP:
        shorter = [length * part for part in step]
        if function.change(shorter) <= SUFFICIENT * length * slope:
            return shorter
        length /= 2
    return [length * part for part in step]


def _newton_step(function: Function, slope: Point) -> Point:
    """Solves H step = -gradient by conjugate gradients, each coordinate in units of its own."""
    units = function.units()

    def product(vector: Point) -> Point:
        return times(function.curvature(times(vector, units)), units)

    # of families that are not independent, rounding would lead along what changes nothing
    there = [
        torch.where((s != 0) & (u > 0), u, torch.inf) for s, u in zip(slope, units, strict=True)
    ]
    rounding = ROUNDING**2 * sum(float(part.square().reciprocal().sum()) for part in there)
    goal = [-part for part in times(slope, units)]
    return times(_conjugate_gradients(product, goal, rounding), units)


def _conjugate_gradients(
    product: Callable[[Point], Point], goal: Point, rounding: float
) -> Point:  # fmt: skip
    """Solves product(x) = goal; stays out of directions that the product maps to zero.

    Args:
        product: with a matrix that is symmetric and has no negative eigenvalues.
        goal: what it is to be.
        rounding: the square of what a goal has of rounding.

    Returns:
        The solution, as far as rounding lets it be known.
    """
    x = [part.new_zeros(part.shape) for part in goal]
    rest, direction = goal, goal
    size = start = dot(rest, rest)
    for _ in range(CONJUGATE_STEPS):
        if size <= max(RESIDUAL**2 * start, rounding):
            break
        image = product(direction)
        curvature = dot(direction, image)
        if curvature <= FLAT * dot(direction, direction):  # along what nothing changes
            break
        x = plus(x, direction, size / curvature)
        rest = plus(rest, image, -size / curvature)
        before, size = size, dot(rest, rest)
        direction = plus(rest, direction, size / before)
    return x


def plus(a: Point, b: Point, factor: float = 1.0) -> Point:
    """The sum a + factor b."""
    return [x + factor * y for x, y in zip(a, b, strict=True)]


def times(a: Point, b: Point) -> Point:
    """Products, coordinate by coordinate."""
    return [x * y for x, y in zip(a, b, strict=True)]


def dot(a: Point, b: Point) -> float:
    """The scalar product."""
    return sum(float((x * y).sum()) for x, y in zip(a, b, strict=True))
