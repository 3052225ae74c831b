"""Degenerate units: those whose scale or place cannot be fixed because nothing tells it."""

from toroids.canonical.plan import OutputScale, Pivot, Plan
from toroids.params import Params


def degenerate_units(plan: Plan, params: Params) -> tuple[str, ...]:
    """Describes the hidden units, and the output, that have zero norm.

    Args:
        plan: of the network's group.
        params: canonical parameters.

    Returns:
        One sentence per family of spheres that has such units.
    """
    notes = []
    for step in (step for steps in plan.scales for step in steps):
        if isinstance(step, Pivot):
            zero = (step.spheres.norms(params) == 0).nonzero().flatten().tolist()
            if zero:
                name = step.spheres.name
                notes.append(
                    f"space `{name}`: units {zero} have zero norm and are left as they are"
                )
        elif isinstance(step, OutputScale) and bool(step.spheres.norms(params) == 0):
            notes.append("output: all classes get the same logit; its scale is left as it is")
    return tuple(notes)
