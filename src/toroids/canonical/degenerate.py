"""Degenerate units: those whose scale or place cannot be told.

A unit of zero norm has no scale. Two units with equal incoming weights always agree: any share of
what reads one may be moved to the other. The geodesic between two that are antipodal is not unique.
"""

import torch
from torch import Tensor

from toroids.canonical.mix import is_left
from toroids.canonical.plan import Plan
from toroids.canonical.steps import Mix, OutputScale, Pivot
from toroids.params import Params, computing, precise, rounding_of
from toroids.symmetry.space import Leg, Space
from toroids.symmetry.units import entries_per_unit, of_unit, projections, squares_per_unit

# Two units are equal if their difference is below this many roundings, relative to their norm.
ROUNDINGS = 8
SHOWN = 5


def degenerate_units(plan: Plan, params: Params) -> tuple[str, ...]:
    """Describes the hidden units, and the output, that are degenerate.

    Args:
        plan: of the network's group.
        params: parameters in the sphere gauge.

    Returns:
        One sentence per family of spheres that has units of zero norm, per space whose matrices
        cannot be told, and per space that has duplicate or antipodal units.
    """
    notes = []
    for step in (step for steps in plan.scales for step in steps):
        if isinstance(step, Pivot):
            zero = (
                (step.spheres.norms(step.spheres.as_read(params)) == 0).nonzero().flatten().tolist()
            )
            if zero:
                name = step.spheres.name
                notes.append(
                    f"space `{name}`: units {listed(zero)} have zero norm and are left as they are"
                )
        elif isinstance(step, Mix) and is_left(step.space, params):
            notes.append(
                f"space `{step.space.name}`: its matrices are left as they are; what writes or "
                f"reads it does not reach all {step.space.size} directions"
            )
        elif isinstance(step, OutputScale) and bool(step.spheres.norms(params) == 0):
            notes.append("output: all classes get the same logit; its scale is left as it is")
    for space in plan.group.spaces:
        if "permute" in space.actions and space.matrix is None:
            writes = [leg for leg in space.legs if leg.role == "write"]
            for legs, sign, kind in (
                (writes, 1, "are duplicates, which always agree"),
                (space.writer, -1, "are antipodal: their incoming weights are opposite"),
            ):
                sets = _joined(_pairs(space, legs, params, sign))
                if sets:
                    shown = ", ".join(" and ".join(map(str, units)) for units in sets[:SHOWN])
                    more = f", {len(sets) - SHOWN} more sets" if len(sets) > SHOWN else ""
                    notes.append(f"space `{space.name}`: units {shown}{more} {kind}")
    return tuple(notes)


def listed(units: list[int]) -> str:
    """Writes units as a list, the first ones where there are many."""
    more = len(units) - 2 * SHOWN
    return f"{units[: 2 * SHOWN]} and {more} more" if more > 0 else str(units)


def _pairs(
    space: Space, legs: list[Leg] | tuple[Leg, ...], params: Params, sign: int
) -> list[tuple[int, int]]:
    """Finds units of one copy that are equal up to `sign` in all `legs`, sorted by a projection."""
    generator = torch.Generator().manual_seed(0)
    held = {leg: params[leg.tensor] for leg in legs if params[leg.tensor].is_floating_point()}
    # half precision rounds so much that units which differ would look equal
    read = {leg: _read(tensor, leg) for leg, tensor in held.items()}
    units = space.copies * space.size
    entries = [entries_per_unit(tuple(x.shape), leg, units) for leg, x in read.items()]
    if sum(entries) < 2:  # a single weight is on a sphere of two points
        return []
    key, sums = (torch.zeros(units, dtype=torch.float64),) * 2
    for (leg, x), count in zip(read.items(), entries, strict=True):
        direction = torch.randn(count, generator=generator).to(x)
        key = key + precise(projections(x, leg, units, direction)).cpu()
        sums = sums + squares_per_unit(x, leg, units).cpu()
    key, sums = key.view(space.copies, -1), sums.view(space.copies, -1)
    norms = sums.sqrt()
    near = ROUNDINGS * rounding_of(read.values()) * norms
    sizes = key if sign > 0 else key.abs()
    order = sizes.argsort(dim=1)
    length = sum(entries) ** 0.5
    found = []
    gaps = sizes.gather(1, order).diff(dim=1)
    allowed = near.gather(1, order)[:, 1:]
    close = (gaps <= length * allowed) & (allowed > 0)
    close &= norms.gather(1, order).diff(dim=1).abs() <= allowed  # nearer than that they cannot be
    for copy, place in close.nonzero().tolist():
        i, j = sorted((copy * space.size + order[copy, place : place + 2]).tolist())
        pairs = ([of_unit(x, leg, units, unit) for unit in (i, j)] for leg, x in read.items())
        if _norm([a - sign * b for a, b in pairs]) <= near.flatten()[i]:
            found.append((i, j))
    return found


def _read(tensor: Tensor, leg: Leg) -> Tensor:
    tensor = tensor.detach().to(computing(tensor))
    return tensor + leg.offset if leg.offset else tensor


def _joined(pairs: list[tuple[int, int]]) -> list[list[int]]:
    """Joins pairs that share a unit into sets."""
    member: dict[int, set[int]] = {}
    for a, b in pairs:
        joined = member.get(a, {a}) | member.get(b, {b})
        for unit in joined:
            member[unit] = joined
    return sorted(
        sorted(units) for units in {id(units): units for units in member.values()}.values()
    )


def _norm(parts: list[Tensor]) -> float:
    return float(torch.cat([precise(part) for part in parts]).norm())
