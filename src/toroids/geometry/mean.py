"""The Karcher mean of several networks."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from toroids.canonical.form import CanonicalParams
from toroids.geometry.calculus import Calculus, add_parts, rounding
from toroids.params import Params, computing, inner_product, rounding_of

# Networks that are apart by so many roundings of their norm are equal.
ROUNDINGS = 16


class KarcherMean(CanonicalParams):
    """The point of least mean squared distance to several networks.

    Attributes:
        converged: whether the iteration reached its tolerance.
        iterations: number of steps taken.
        residual: length of the mean tangent from the mean to the networks, zero at the exact mean.
        variance: mean squared distance of the networks from the mean.
    """

    def __init__(
        self, tensors: Params, converged: bool, iterations: int, residual: float, variance: float
    ) -> None:
        """Wraps `tensors`."""
        super().__init__(tensors, () if converged else ("the mean did not converge",))
        self.converged, self.iterations = converged, iterations
        self.residual, self.variance = residual, variance


def karcher_mean(
    calculus: Calculus, networks: Sequence[Params], tolerance: float | None, iterations: int
) -> KarcherMean:
    """Walks from the projected average along the mean tangent; see `Toroid.mean`.

    Args:
        calculus: of the toroid.
        networks: one or more checked canonical networks, placed alike.
        tolerance: of the mean tangent, relative to the root mean square distance.
        iterations: the most steps taken.

    Returns:
        The mean, which says whether it converged.
    """
    average = {
        name: torch.stack([network[name].to(computing(first)) for network in networks])
        .mean(dim=0)
        .to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in networks[0].items()
    }
    mean = calculus.project(average)
    names = tuple(calculus.group.parameters)
    if tolerance is None:
        tolerance = rounding(names, mean)
    held = {name: mean[name].detach() for name in names}
    size = math.sqrt(inner_product(held, held, names))
    least = ROUNDINGS * rounding_of(mean[name] for name in names) * size
    for step in range(iterations + 1):
        tangent, variance = _mean_tangent(calculus, mean, networks)
        residual = math.sqrt(calculus.inner(tangent, tangent))
        converged = residual <= max(tolerance * math.sqrt(variance), least)
        if converged or step == iterations:
            return KarcherMean(mean, converged, step, residual, variance)
        mean = calculus.project(calculus.exp(mean, tangent))
    raise AssertionError("unreachable")


def _mean_tangent(
    calculus: Calculus, mean: Params, networks: Sequence[Params]
) -> tuple[dict[str, Tensor], float]:
    total: dict[str, Tensor] = {}
    squares = 0.0
    for network in networks:
        tangent = calculus.log(mean, network)
        squares += calculus.inner(tangent, tangent)
        add_parts(total, tangent)
    count = len(networks)
    return {name: tensor / count for name, tensor in total.items()}, squares / count
