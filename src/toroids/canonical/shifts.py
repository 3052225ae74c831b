"""Shifts: constants that the readers of a space cannot see become zero."""

from collections.abc import MutableMapping

from torch import Tensor

from toroids.canonical.fixing import element
from toroids.canonical.plan import Plan
from toroids.canonical.steps import Pivot
from toroids.params import Params, precise
from toroids.symmetry.shifting import shift_space
from toroids.symmetry.units import along, entries_per_unit, sum_per_unit


def remove_shifts(
    plan: Plan, params: MutableMapping[str, Tensor], pivots_only: bool = False
) -> None:
    """Sets the mean of every shift's pivot, as a key's bias, to zero; replaces tensors in `params`.

    Args:
        plan: of the network's group.
        params: checked parameters; gradients flow through.
        pivots_only: whether what moves with the pivots stays; this changes the function.
    """
    for pivot in plan.shifts:
        (leg,), space = pivot.legs, pivot.acting
        means, _ = pivot_means(pivot, params)
        if pivots_only:
            tensor = params[leg.tensor]
            params[leg.tensor] = tensor - along(means.to(tensor.dtype), tensor, leg, 0.0)
        else:
            shift_space(space, element(space, shifts=-means), params)


def pivot_means(pivot: Pivot, params: Params) -> tuple[Tensor, Tensor]:
    """Computes the means of a shift's pivot, as it is read, and of its sizes, one per unit."""
    (leg,) = pivot.legs
    tensor = precise(params[leg.tensor])
    units = pivot.space.copies * pivot.space.size
    count = entries_per_unit(tuple(tensor.shape), leg, units)
    read = tensor + leg.offset, tensor.abs() + abs(leg.offset)
    means, sizes = (sum_per_unit(x, leg, units) / count for x in read)
    return means, sizes
