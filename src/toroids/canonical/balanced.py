"""The balanced gauge: the least norm among all networks that compute the same function.

What has no least norm, as a filter before a norm, is fixed as in the sphere gauge. Where a
classifier's reader cannot see the scale of the outputs, it is that of the sphere gauge.
"""

from collections.abc import MutableMapping

from torch import Tensor

from toroids.canonical.circles import Circle
from toroids.canonical.plan import Plan


def balanced_gauge(plan: Plan, params: MutableMapping[str, Tensor]) -> list[str]:
    """Brings a network to the least norm, replacing tensors in `params`.

    Args:
        plan: of the network's group.
        params: parameters in the sphere gauge; matrices and scales are constants to gradients.

    Returns:
        What has no least norm, and what did not converge.
    """
    circle = Circle(plan.group, plan.bias, params)
    found = circle.settle(params)
    notes = [note for note in circle.notes if note not in plan.notes]
    return (
        notes
        if found
        else [*notes, "the least norm was not found: Newton's method did not converge"]
    )
