"""Units in place by numbers that nothing which moves other units changes.

Where two spaces move the rows and columns of one tensor, and little else, neither tells its units
before the other is known. The sum of the fourth powers of all weights of a unit takes no notice of
permutations and signs; of weights that matrices turn the sum of squares does not. In the order of
these numbers the units of a moved copy lie alike, but for ties, and the signs of all of them follow
together (`joint_signs`).
"""

import torch

from toroids.align.block import blocks
from toroids.align.descent import descend
from toroids.align.fresh import in_order
from toroids.align.joint_signs import ENTRIES, joint_signs
from toroids.align.position import Position
from toroids.align.problem import Problem
from toroids.params import Params, inner_product, precise, rounding_of
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Space
from toroids.symmetry.units import sum_per_unit

# Invariants that differ by less than so many roundings of the largest, or by less than a share of
# it in narrow types, are equal: those of copies differ by up to 50, which deep networks exceed.
ROUNDINGS, SHARE = 1000, 0.125


def may_be_copy(problem: Problem) -> bool:
    """Whether no invariant tells two networks apart.

    Args:
        problem: the two networks.

    Returns:
        Whether all lengths of tensors, and the numbers of the units of every space in order, are
        the same up to rounding. They are of a moved copy, and of hardly anything else.
    """
    group, networks = problem.group, (problem.reference, problem.start)
    names = group.parameters
    one, other = (torch.tensor([inner_product(x, x, [n]) ** 0.5 for n in names]) for x in networks)
    rounding = rounding_of(problem.reference[name] for name in names)
    least = min(ROUNDINGS * rounding, SHARE)
    turned, checked = _turned(group), _equal(one, other, least)
    for space in group.spaces:
        if checked and "permute" in space.actions and not space.matrix:
            one, other = (_invariants(space, x, turned).flatten().sort().values for x in networks)
            checked = _equal(one, other, least)
    return checked


def _equal(one: torch.Tensor, other: torch.Tensor, least: float) -> bool:
    size = torch.maximum(one.abs(), other.abs()).max() if one.numel() else 0.0
    return bool(((one - other).abs() <= least * size).all())


def by_invariants(problem: Problem) -> Position:
    """Where descent leads from units in the order of their invariants, and from their signs.

    Args:
        problem: the two networks.

    Returns:
        The network that has moved: of copies of each other, the same up to rounding.
    """
    group, turned = problem.group, _turned(problem.group)
    moving, staying = (
        in_order(problem, x, lambda space, params: _invariants(space, params, turned))
        for x in (problem.start, problem.reference)
    )
    onto = group.compose(group.inverse(staying.element), moving.element)
    position = problem.position(onto)
    if sum(problem.reference[name].numel() for name in group.parameters) <= ENTRIES:
        for space, step in joint_signs(blocks(group), problem.reference, position.tensors):
            position.move(space, step)
    descend(problem, position)
    return position


def _turned(group: SymmetryGroup) -> set[str]:
    """Tensors on which matrices or phases act."""
    turning = [space for space in group.spaces if space.matrix or space.of("phase")]
    return {leg.tensor for space in turning for leg in space.legs}


def _invariants(space: Space, params: Params, turned: set[str]) -> torch.Tensor:
    """A number for every unit: (copies, units)."""
    total = torch.zeros(space.copies * space.size, dtype=torch.float64)
    for leg in space.legs:
        tensor = params[leg.tensor].detach()
        if tensor.is_floating_point():
            powers = precise(tensor).pow(2 if leg.tensor in turned else 4)
            total += sum_per_unit(powers, leg, len(total)).double().cpu()
    return total.view(space.copies, space.size)
