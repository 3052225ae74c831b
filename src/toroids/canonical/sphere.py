"""The sphere gauge: every hidden unit's incoming vector, bias included, has norm one.

With v_i the weights and bias by which unit i is written and n_i = ||v_i||, the unit's legs of
exponent e are multiplied by n_i^(-e): v_i / n_i where it is written, n_i times as much where it is
read. Where several generators act on a space each has its own v_i; see `plan`.
"""

import math
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace

import torch

from toroids.canonical.circles import Circle
from toroids.canonical.fixing import PATIENCE, fix, tolerance
from toroids.canonical.order import ordered
from toroids.canonical.plan import Plan
from toroids.canonical.steps import Mix, OutputScale, Scale
from toroids.errors import ParamsError
from toroids.params import Params
from toroids.symmetry.space import Output, Space


def sphere_gauge(plan: Plan, params: MutableMapping[str, torch.Tensor]) -> list[str]:
    """Fixes the scale of every hidden unit, replacing tensors in `params`.

    Args:
        plan: of the network's group.
        params: checked parameters; gradients flow through scales, not through matrices. Units of
            zero norm, which have no scale to fix, are left as they are.

    Returns:
        Sentences on matrices that are left as they are, for they do not come to rest.

    Raises:
        ParamsError: scales that depend on each other do not come to rest.
    """
    notes = []
    for circle, steps in _circles(plan, params):
        held = {name: params[name] for name in circle.tensors}
        # of scales that no weights of norm one tell, some may have no least norm either
        if not circle.settle(params) and steps:
            params.update(held)
            names = [step.space.name for step in steps if isinstance(step, Mix)]
            notes.append(
                f"spaces {names}: their matrices are left as they are; {len(steps)} steps that "
                "depend on each other do not come to rest"
            )
    for steps in plan.scales:
        # where they depend on scales, matrices are known by now
        rest = steps if len(steps) == 1 else [x for x in steps if not isinstance(x, Mix)]
        for part in ordered(rest, plan.group.shapes):
            if len(part) == 1:
                fix(part[0], params)
            elif not _repeat(part, params):
                raise _running_away(part)
    return notes


def _running_away(steps: Sequence[Scale]) -> ParamsError:
    step = next(step for step in steps if not isinstance(step, OutputScale))
    return ParamsError(
        f"the canonical form runs away: {len(steps)} steps that depend on each other do not come "
        "to rest; leave an action out of the group, as by "
        f'group.without("{step.space.name}", "{step.action}").'
    )


def _circles(plan: Plan, params: Params) -> Iterator[tuple[Circle, Sequence[Scale]]]:
    """Matrices and scales that are set by the least norm, with all scales that those depend on.

    These are matrices that depend on scales, and scales that have no pivot.

    Yields:
        What settles them, and the steps that are in a circle; none where only scales lack a pivot.
    """
    group = plan.group
    output = [x for steps in plan.scales for x in steps if isinstance(x, OutputScale)]
    done: set[str] = set()
    circles = [steps for steps in plan.scales if len(steps) > 1]
    names = [{step.space.name for step in steps if isinstance(step, Mix)} for steps in circles]
    for steps, some in [*zip(circles, names, strict=True), ([], set(plan.lacking))]:
        if some <= done:
            continue
        spaces = _together(group.spaces, some)
        done |= {space.name for space in spaces}
        tensors = {leg.tensor for space in spaces for leg in space.legs}
        others = [x for x in output if any(leg.tensor in tensors for leg in x.legs)]
        whole = replace(group, spaces=tuple(spaces), output=Output())
        yield Circle(whole, plan.bias, params, others), steps


def _together(spaces: Sequence[Space], names: set[str]) -> list[Space]:
    """Spaces of some names, all that scale or mix weights of theirs and so on, and their groups."""
    acting = [space for space in spaces if space.of("rescale") or space.of("mix")]
    found = set(names)
    while True:
        tensors = {leg.tensor for space in acting if space.name in found for leg in space.legs}
        more = {x.name for x in acting if any(leg.tensor in tensors for leg in x.legs)}
        if more == found:
            around = {name for x in acting if x.name in found for name in x.within}
            return [space for space in spaces if space.name in found | around]
        found = more


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
