"""The sphere gauge: every hidden unit's incoming vector, bias included, has norm one.

With v_i the weights and bias by which unit i is written and n_i = ||v_i||, the unit's legs of
exponent e are multiplied by n_i^(-e): v_i / n_i where it is written, n_i times as much where it is
read. Where several generators act on a space each has its own v_i; see `plan`.
"""

import math
from collections.abc import MutableMapping, Sequence
from dataclasses import replace

import torch

from toroids.canonical.circles import Circle
from toroids.canonical.plan import Mix, OutputScale, Pivot, Plan, Scale, ordered
from toroids.canonical.steps import PATIENCE, fix, tolerance
from toroids.errors import ParamsError
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Generator, Output


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
        if not _settle(plan, steps, params):
            step = next(step for step in steps if not isinstance(step, OutputScale))
            raise ParamsError(
                f"the canonical form runs away: {len(steps)} steps that depend on each other do "
                "not come to rest; leave an action out of the group, as by "
                f'group.without("{step.space.name}", "{step.action}").'
            )


def _settle(plan: Plan, steps: Sequence[Scale], params: MutableMapping[str, torch.Tensor]) -> bool:
    """Takes steps that depend on each other; returns whether they come to rest."""
    if len(steps) == 1:
        fix(steps[0], params)
        return True
    scales = [step for step in steps if not isinstance(step, Mix)]
    if len(scales) == len(steps):
        return _repeat(steps, params)
    # matrices are told by the least norm, to which scales as they were do not matter
    others = [step for step in scales if isinstance(step, OutputScale)]
    circle = Circle(_acting(plan.group, steps), plan.bias, params, others)
    return circle.settle(params) and all(_settle(plan, c, params) for c in ordered(scales))


def _acting(group: SymmetryGroup, steps: Sequence[Scale]) -> SymmetryGroup:
    """The group with nothing but what acts in some steps."""
    found: dict[str, list[Generator]] = {}
    for step in steps:
        if isinstance(step, Mix):
            found.setdefault(step.space.name, []).extend(step.space.of("mix"))
        elif isinstance(step, Pivot):
            scale = Generator("rescale", step.exponents)
            found.setdefault(step.space.name, []).append(scale)
    spaces = tuple(
        replace(
            space,
            actions=frozenset(generator.action for generator in found[space.name]),
            generators=tuple(found[space.name]),
        )
        for space in group.spaces
        if space.name in found
    )
    return replace(group, spaces=spaces, output=Output())


def _repeat(steps: Sequence[Scale], params: MutableMapping[str, torch.Tensor]) -> bool:
    """Repeats steps until none moves anything; returns whether they came nearer in time."""
    before = math.inf
    while True:
        for _ in range(PATIENCE):
            change = max(fix(step, params) for step in steps)
            if change < tolerance(params):
                moved = {leg.tensor for step in steps for leg in step.moves}
                return all(bool(params[name].isfinite().all()) for name in moved)
        if not 2 * change < before:
            return False
        before = change
