"""The sphere gauge: every hidden unit's incoming vector, bias included, has norm one.

With v_i the weights and bias by which unit i is written and n_i = ||v_i||, the unit's legs of
exponent e are multiplied by n_i^(-e): v_i / n_i where it is written, n_i times as much where it is
read. Where several generators act on a space each has its own v_i; see `plan`.
"""

import math
from collections.abc import MutableMapping, Sequence

import torch
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from toroids.canonical.mix import balance
from toroids.canonical.plan import Mix, OutputScale, Pivot, Plan, Step
from toroids.errors import ParamsError
from toroids.params import Params, precise, rounding_of
from toroids.symmetry.action import identity_permutation, move_space
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Space

# Steps that depend on each other in a circle, as matrices on two sides of one linear map, are
# repeated until none moves by more than this, relative to the weights, or than their rounding.
CIRCLE_TOLERANCE = 1e-13
# In so many rounds what they move must become half as much.
PATIENCE = 20


def sphere_gauge(plan: Plan, params: MutableMapping[str, torch.Tensor]) -> None:
    """Fixes the scale of every hidden unit, replacing tensors in `params`.

    Args:
        plan: of the network's group.
        params: checked parameters; gradients flow through scales, not through matrices. Units of
            zero norm, which have no scale to fix, are left as they are.

    Raises:
        ParamsError: steps that depend on each other do not come to rest.
    """
    for steps in plan.scales:
        if len(steps) == 1:
            fix(steps[0], params)
        elif not _settle(steps, params):
            step = next(step for step in steps if not isinstance(step, OutputScale))
            raise ParamsError(
                f"the canonical form runs away: {len(steps)} steps that depend on each other do "
                "not come to rest; leave an action out of the group, as by "
                f'group.without("{step.space.name}", "{step.action}").'
            )


def _settle(steps: Sequence[Step], params: MutableMapping[str, torch.Tensor]) -> bool:
    """Repeats steps until none moves anything.

    Those that run away lose digits of the network on their way, and may come to rest after that.

    Returns:
        Whether they came nearer to that in time.
    """
    before = math.inf
    while True:
        for _ in range(PATIENCE):
            try:
                change = max(fix(step, params) for step in steps)
            except LinAlgError:  # of what is not finite any more
                return False
            if change < tolerance(params):
                moved = {leg.tensor for step in steps for leg in step.moves}
                return all(bool(params[name].isfinite().all()) for name in moved)
        if not 2 * change < before:
            return False
        before = change


def tolerance(params: Params) -> float:
    """The change, relative to the weights, below which a circle of steps is settled."""
    return max(CIRCLE_TOLERANCE, 16 * rounding_of(params.values()))


def fix(step: Step, params: MutableMapping[str, torch.Tensor]) -> float:
    """Carries out one step and says how far from its goal the network was."""
    if isinstance(step, Mix):
        return balance(step.space, params)
    if isinstance(step, Pivot):
        logs = step.spheres.norms(step.spheres.as_read(params))
        logs = torch.where(logs == 0, 1.0, logs).log()
        rescale(step, -logs, params)
        return 0.0 if len(logs) == 0 else float(logs.detach().abs().max())
    norm = step.spheres.norms(params)
    norm = torch.where(norm == 0, 1.0, norm)
    for name in step.spheres.tensors:
        params[name] = (precise(params[name]) / norm).to(params[name].dtype)
    return float((norm.detach() - 1).abs())


def rescale(step: Pivot, logs: torch.Tensor, params: MutableMapping[str, torch.Tensor]) -> None:
    """Multiplies the weights of a pivot by exp(logs), and the other legs accordingly."""
    move_space(step.acting, element(step.acting, log_scales=logs), params)


def element(space: Space, **parts: torch.Tensor) -> SpaceElement:
    """An element that permutes nothing; `parts` hold one value per unit, copy after copy."""
    shaped = {name: v.reshape(1, space.copies, space.size) for name, v in parts.items()}
    return SpaceElement(identity_permutation(space), **shaped)
