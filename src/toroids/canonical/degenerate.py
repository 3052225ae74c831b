"""Degenerate units: those whose scale or place cannot be told.

A unit of zero norm has no scale. Two units with equal incoming weights always agree: any share of
what reads one may be moved to the other. The geodesic between two that are antipodal is not unique.
"""

import torch
from torch import Tensor

from toroids.canonical.plan import OutputScale, Pivot, Plan
from toroids.params import Params, computing, precise, rounding_of
from toroids.symmetry.space import Leg, Space
from toroids.symmetry.units import vectors

# Two units are equal if their difference is below this many roundings, relative to their norm.
ROUNDINGS = 8
SHOWN = 5


def degenerate_units(plan: Plan, params: Params) -> tuple[str, ...]:
    """Describes the hidden units, and the output, that are degenerate.

    Args:
        plan: of the network's group.
        params: parameters in the sphere gauge.

    Returns:
        One sentence per family of spheres that has units of zero norm, and per space that has
        duplicate or antipodal units.
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
    parts = [
        # half precision rounds so much that units which differ would look equal
        vectors(tensor.detach().to(computing(tensor)) + leg.offset, leg, space.copies, space.size)
        for leg in dict.fromkeys(legs)
        if (tensor := params[leg.tensor]).is_floating_point()
    ]
    if sum(part.shape[2] for part in parts) < 2:  # a single weight is on a sphere of two points
        return []
    key, squares = (torch.zeros(space.copies, space.size, dtype=torch.float64),) * 2
    for part in parts:
        direction = torch.randn(part.shape[2], generator=generator).to(part)
        key = key + precise(part @ direction).cpu()
        squares = squares + precise(torch.linalg.vector_norm(part, dim=2)).square().cpu()
    near = ROUNDINGS * rounding_of(parts) * squares.sqrt()
    sizes = key if sign > 0 else key.abs()
    order = sizes.argsort(dim=1)
    length = sum(part.shape[2] for part in parts) ** 0.5
    found = []
    gaps = sizes.gather(1, order).diff(dim=1)
    allowed = near.gather(1, order)[:, 1:]
    close = (gaps <= length * allowed) & (allowed > 0)
    for copy, place in close.nonzero().tolist():
        i, j = sorted(order[copy, place : place + 2].tolist())
        difference = _norm([part[copy, i] - sign * part[copy, j] for part in parts])
        if difference <= near[copy, i]:
            found.append((copy * space.size + i, copy * space.size + j))
    return found


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
