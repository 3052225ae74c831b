"""Descent that forgets where both networks lie, so that no disguise of either changes its answer.

`descent` begins at the better of where the network is and what `greedy` reaches: a network that has
been permuted since may end elsewhere. Here the units of both networks are first put in the order of
the norms of all their weights, which no permutation, sign or orthogonal matrix of other units
changes; `greedy` and descent follow. So the similarity of two networks is a property of both orbits
and the same whichever of them moves, except where units tie. Networks that are nearly equal as they
lie, as those of one base, descend from there: what they reach is the same, in half of the time.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from toroids.align.descent import descend
from toroids.align.greedy import walked
from toroids.align.position import Position
from toroids.align.problem import Found, Problem
from toroids.params import Params, products
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Space
from toroids.symmetry.units import squares_per_unit

# The cosine of all weights of two networks from which on they are nearly equal.
ALIKE = 0.9


def fresh(problem: Problem) -> Found:
    """Finds the element that brings a network close to another from wherever both lie.

    Args:
        problem: the two networks.

    Returns:
        An element of permutations, signs and orthogonal matrices; it can be worse than none.
    """
    group = problem.group
    if _alike(problem):
        position = problem.position()
        sweeps, converged = descend(problem, position)
        return Found(position.element, sweeps, converged, "fresh")
    moving, staying = (in_order(problem, x, _norms) for x in (problem.start, problem.reference))
    sorted_problem = replace(problem, start=moving.tensors, reference=staying.tensors)
    position, _ = walked(sorted_problem)
    sweeps, converged = descend(sorted_problem, position)
    onto = group.compose(position.element, moving.element)
    return Found(group.compose(group.inverse(staying.element), onto), sweeps, converged, "fresh")


def _alike(problem: Problem) -> bool:
    """Whether two networks are so alike as they lie that no other element can come near."""
    names = problem.group.parameters
    found = products(problem.reference, problem.start, names)
    return found.cosine > ALIKE


def in_order(
    problem: Problem, params: Params, measure: Callable[[Space, Params], torch.Tensor]
) -> Position:
    """A network whose units lie in the order of numbers that nothing changes.

    Args:
        problem: whose group says what the units are.
        params: the network.
        measure: gives the numbers of the units of a space, (copies, size).

    Returns:
        The network with its units moved.
    """
    position = Position(problem.group, params, None, problem.scratch)
    # inner spaces first: their copies move with the units around them
    for space in sorted(problem.group.spaces, key=lambda space: -len(space.within)):
        if "permute" in space.actions and space.matrix is None:
            order = measure(space, position.tensors).argsort(dim=1, stable=True)
            position.move(space, SpaceElement(order.cpu()))
    return position


def _norms(space: Space, params: Params) -> torch.Tensor:
    """The squared norm of all weights of every unit; shape (copies, units)."""
    total = torch.zeros(space.copies, space.size, dtype=torch.float64)
    for leg in space.legs:
        tensor = params[leg.tensor].detach()
        if tensor.is_floating_point():
            total += squares_per_unit(tensor, leg, total.numel()).view_as(total).cpu()
    return total
