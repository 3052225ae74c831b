"""How shifts are added to the legs of one space, when all spaces have moved.

What a linear reader makes of a shift is subtracted from its bias, or the shift from rows of a
table. In a space that rotates, shifts are given where all gains are one, and added as D t, where D
are the gains that stand before the leg.
"""

import math
from collections.abc import MutableMapping, Sequence

import torch
from torch import Tensor

from toroids.symmetry.action import gains_before, weighted
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Absorbed, Leg, Space
from toroids.symmetry.units import along


def shift_space(space: Space, choice: SpaceElement, params: MutableMapping[str, Tensor]) -> None:
    """Adds the shifts of a choice to the legs that take them, when all spaces have moved.

    Args:
        space: the space.
        choice: a checked choice of action on it.
        params: parameters and buffers by name; the mapping changes, no tensor does. Legs whose
            tensors are not in it are left out.
    """
    if choice.shifts is None:
        return
    for position, leg in enumerate(space.legs):
        shift = weighted(space, "shift", position, choice.shifts)
        if shift is not None and leg.tensor in params:
            _add(params, leg.tensor, leg, _behind_gains(space, position, shift, params))
    for values, generator in zip(choice.shifts, space.of("shift"), strict=True):
        for taken in generator.absorbed:
            if taken.bias in params:
                _absorb(space, taken, values, params)


def _add(params: MutableMapping[str, Tensor], name: str, leg: Leg, values: Tensor) -> None:
    tensor, values = params[name], values.to(params[name].device)
    rounded = values.to(tensor.dtype)
    # where both cancel, what the shift lost by rounding is as large as what is left
    for part in (rounded, (values - rounded).to(tensor.dtype)):
        tensor = tensor + along(part, tensor, leg, 0.0)
    params[name] = tensor


def _behind_gains(
    space: Space, position: int, values: Tensor, params: MutableMapping[str, Tensor]
) -> Tensor:
    """Shifts of a space that rotates are given where all gains are one."""
    if not space.of("rotate"):
        return values
    gains = gains_before(space, position, params)
    return values if gains is None else values * gains.to(values)


def _absorb(
    space: Space, taken: Absorbed, values: Tensor, params: MutableMapping[str, Tensor]
) -> None:
    """Subtracts from a bias what a linear reader makes of a shift, or from rows the shift."""
    leg, weight = taken.reader, params[taken.reader.tensor]
    if taken.rows is not None:
        if space.of("rotate"):
            values = _behind_gains(space, space.legs.index(leg), values, params)
        params[taken.bias] = weight - taken.factor * _on_rows(weight, leg, taken.rows, values)
        return
    if space.of("rotate"):
        position = space.legs.index(leg)
        gains = gains_before(space, position, params)
        values = values if gains is None else values / gains.to(values)
    kind = torch.promote_types(weight.dtype, torch.float32)
    shift = along(values.to(weight.device, kind), weight, leg, 0.0)
    others = [axis for axis in range(weight.ndim) if axis != taken.axis]
    made = (weight.to(kind) * shift).sum(dim=others)
    bias = params[taken.bias]
    params[taken.bias] = bias - (taken.factor * made).to(bias.dtype).view(bias.shape)


def _on_rows(table: Tensor, leg: Leg, rows: Sequence[int], values: Tensor) -> Tensor:
    """One value per unit, shaped to broadcast over a table; zero outside some of its rows."""
    others = [1 if axis == leg.axis else n for axis, n in enumerate(table.shape)]
    chosen = torch.zeros(math.prod(others), dtype=table.dtype, device=table.device)
    chosen[torch.tensor(rows, device=table.device)] = 1.0
    return chosen.view(others) * along(values.to(table), table, leg, 0.0)
