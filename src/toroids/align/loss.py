"""Alignment by the loss: the element under which the middle between two networks is good.

A larger similarity is not a lower barrier (benchmarks/align_quality.md). Here the element is chosen
for the loss at the middle of the geodesic. With A the network that stays, gB the moved one and T a
target of any weights, at first gB itself,

    T <- T - Adam(gradient of loss(middle of A and gB)),    g <- argmax over g of <T, gB>:

the target walks in small steps, and the network jumps to the element that is closest to it. Kept is
the element of the lowest loss of all that were visited. Logits of canonical classifiers are so
small that their loss hardly has a slope: they are scaled by what is best at the first middle.

Reference: the straight-through estimator of Ainsworth, Hayase and Srinivasa, Git Re-Basin: Merging
Models modulo Permutation Symmetries, 2023, arXiv 2209.04836.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from toroids.align.best import best
from toroids.align.descent import descend
from toroids.align.position import Position
from toroids.align.problem import Found, Problem
from toroids.errors import ParamsError, ToroidsError
from toroids.geometry.paths import Line
from toroids.geometry.toroid import Toroid
from toroids.params import Params, computing

# By then the lowest loss has long been passed on networks of 8 to 128 units per layer.
STEPS = 200
# Of Adam, in units of the root mean square weight; between 0.1 and 0.3 barriers hardly differ.
RATE = 0.2


def loss(problem: Problem) -> Found:
    """Finds an element of low loss at the middle between two networks.

    Starts where `best` ends; its loss at the middle is never above that of `best`, its similarity
    can be.

    Args:
        problem: the two networks, with a landscape; every step runs the network forwards and
            backwards on all of its data. With a deadline, steps are taken until then.

    Returns:
        An element of permutations, signs and orthogonal matrices.

    Raises:
        ToroidsError: no landscape.
    """
    if problem.landscape is None:
        raise ToroidsError(
            "the method 'loss' looks at the loss between the networks; pass "
            "landscape=td.Landscape(model, (inputs, labels))."
        )
    landscape, effort = problem.landscape, problem.effort
    limited = math.isfinite(effort.deadline)
    position = problem.position(best(problem).element)
    found = Found(position.element, 0, False, "loss")
    toroid = Toroid(problem.stored or problem.group, problem.bias)
    middle = _middle(toroid, problem, position)
    temperature = landscape.temperature_at(middle, "fit")
    lowest, gradient = landscape.gradient(middle, temperature)
    target = _Target(problem, position.tensors)
    step = 0
    while (limited or step < STEPS) and not effort.over:
        effort.tell("loss", step, 0 if limited else STEPS)
        step += 1
        aim = replace(problem, reference={**position.tensors, **target.walk(gradient)})
        descend(replace(aim, effort=replace(effort, progress=None)), position)
        middle = _middle(toroid, problem, position)
        reached, gradient = landscape.gradient(middle, temperature)
        if reached < lowest:
            lowest, found = reached, replace(found, element=position.element)
    return replace(found, sweeps=step, converged=step >= STEPS)


class _Target:
    """Weights that walk against gradients, whose sizes Adam makes alike."""

    def __init__(self, problem: Problem, start: Params) -> None:
        """Begins at the parameters of `start`."""
        self._weights = {
            name: start[name].detach().to(computing(start[name]), copy=True)
            for name in problem.group.parameters
        }
        squares = sum(float(x.square().sum()) for x in self._weights.values())
        size = math.sqrt(squares / sum(x.numel() for x in self._weights.values()))
        self._adam = torch.optim.Adam(self._weights.values(), lr=RATE * size)

    def walk(self, gradient: Params) -> dict[str, Tensor]:
        """Takes one step; returns where it leads."""
        for name, weight in self._weights.items():
            weight.grad = gradient[name].to(weight.dtype)
        self._adam.step()
        return {name: weight.detach().clone() for name, weight in self._weights.items()}


def _middle(toroid: Toroid, problem: Problem, position: Position) -> Params:
    a, b = (problem.as_stored(x) for x in (problem.reference, position.tensors))
    try:
        return toroid.geodesic(a, b)(0.5)
    except ParamsError:  # antipodal units have no middle on their sphere: that of their chord
        return toroid.project(Line(a, b)(0.5))
