"""The sign convention: the cubes of the weights that write a unit have a positive sum.

Sums of odd powers do not depend on the order of the inputs and change sign with the unit. Plain
sums would tie where rows are centred, as standardised weights are. Near a sum of zero the sign is
arbitrary, and two networks that are alike may get different ones.
"""

import torch
from torch import Tensor

from toroids.canonical.mix import sides
from toroids.canonical.plan import Mix, Pivot, Plan
from toroids.canonical.sphere import element
from toroids.symmetry.action import move_space
from toroids.symmetry.space import Generator, Space


def fix_signs(plan: Plan, params: dict[str, Tensor]) -> None:
    """Flips units, and rows of matrices, to the convention, replacing tensors in `params`.

    Args:
        plan: of the network's group.
        params: parameters with their scales fixed; gradients flow through.
    """
    for steps in plan.signs:
        for step in steps:
            if isinstance(step, Pivot):
                family = step.spheres
                squares = {name: params[name].detach().square() for name in family.tensors}
                held = {name: params[name].detach() for name in family.tensors}
                _flip(step.acting, family.dot(squares, held), params)
            elif isinstance(step, Mix):
                written, _ = sides(step.space, params)
                if written is not None:
                    _flip(_flipping(step.space), written.detach().pow(3).sum(dim=2), params)


def _flip(space: Space, moments: Tensor, params: dict[str, Tensor]) -> None:
    if bool((moments < 0).any()):
        signs = torch.where(moments < 0, -1.0, 1.0).to(moments.dtype)
        move_space(space, element(space, signs=signs), params)


def _flipping(space: Space) -> Space:
    """A space that mixes, with the signs of its units as only action."""
    return Space(
        name=space.name,
        size=space.size,
        copies=space.copies,
        actions=frozenset({"flip"}),
        legs=space.legs,
        generators=(Generator("flip", (1.0,) * len(space.legs)),),
        within=space.within,
    )
