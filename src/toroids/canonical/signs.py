"""The sign convention: the cubes of the weights that write a unit have a positive sum.

Sums of odd powers do not depend on the order of the inputs and change sign with the unit. Plain
sums would tie where rows are centred, as standardised weights are. Near a sum of zero the sign is
arbitrary, and two networks that are alike may get different ones. Where scales have made all
weights plus or minus one, sums may be zero exactly: there the first weights count most.
"""

from collections.abc import MutableMapping

import torch
from torch import Tensor

from toroids.canonical.fixing import element
from toroids.canonical.plan import Plan
from toroids.canonical.steps import Pivot, Sign
from toroids.errors import ParamsError
from toroids.params import Params, precise, rounding_of
from toroids.symmetry.action import move_space
from toroids.symmetry.space import Generator, Leg, Space
from toroids.symmetry.units import vectors

# Steps whose signs depend on each other are repeated so often at most.
CIRCLE_ROUNDS = 100
FALLING = 0.4  # no sum of later powers is as large as an earlier one
TIED = 64.0  # how many roundings a sum of cubes that is zero may be away from it


def signs_of(name: str, latent: Tensor) -> Tensor:
    """Gives -1 and +1 for weights of which only the signs are read.

    Args:
        name: of the weights, for the message.
        latent: real weights.

    Returns:
        Their signs, like `latent`; no gradient flows through.

    Raises:
        ParamsError: a weight is exactly zero, where readers differ in what they take its sign for.
    """
    zeros = int((latent == 0).sum())
    if zeros:
        raise ParamsError(
            f"`{name}` has {zeros} weights that are exactly zero, of which only the signs count; "
            "make them -1 or +1."
        )
    return latent.detach().sign()


def fix_signs(plan: Plan, params: MutableMapping[str, Tensor]) -> None:
    """Flips units, and rows of matrices, to the convention, replacing tensors in `params`.

    Args:
        plan: of the network's group.
        params: parameters with their scales fixed; gradients flow through.
    """
    if plan.trees:
        plan.trees.fix(params)
    for steps in plan.signs:
        for _ in range(CIRCLE_ROUNDS if len(steps) > 1 else 1):
            # no short cut: every step of a circle must have its turn
            if not any([_fix_sign(step, params) for step in steps]):
                break


def _fix_sign(step: Sign, params: MutableMapping[str, Tensor]) -> bool:
    """Carries out one step and says whether it flipped anything."""
    if not step.legs:
        return False
    acting = step.acting if isinstance(step, Pivot) else _flipping(step.space)
    return _flip(acting, _moments(step, params), params)


def _moments(step: Sign, params: Params) -> Tensor:
    """For every unit the sum of its cubes, or where that ties one that does not."""
    total = size = torch.zeros(())
    for leg in step.legs:
        cubes = _cubes(leg, step.space, params)
        total, size = total + cubes.sum(dim=2), size + cubes.abs().sum(dim=2)
    tied = total.abs() <= TIED * rounding_of(params[leg.tensor] for leg in step.legs) * size
    if not bool((tied & (size > 0)).any()):
        return total
    every = torch.cat([_cubes(leg, step.space, params) for leg in step.legs], dim=2)
    places = torch.arange(every.shape[2], dtype=every.dtype, device=every.device)
    return torch.where(tied, (every * FALLING**places).sum(dim=2), total)


def _cubes(leg: Leg, space: Space, params: Params) -> Tensor:
    """For every unit the cubes of what the network reads on a leg: (copies, size, entries)."""
    held = precise(params[leg.tensor].detach()) + leg.offset
    return vectors(held, leg, space.copies, space.size).pow(3)


def _flip(space: Space, moments: Tensor, params: MutableMapping[str, Tensor]) -> bool:
    negative = moments < 0
    if not bool(negative.any()):
        return False
    signs = torch.where(negative, -1.0, 1.0).to(moments.dtype)
    move_space(space, element(space, signs=signs), params)
    return True


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
