"""How one value per unit, and one vector per unit, meet the tensors that a space indexes.

A leg's axes, flattened, are one axis of positions; every unit of every copy holds as many of them.
"""

import math

import torch
from torch import Tensor

from toroids.params import squares
from toroids.symmetry.space import Leg


def along(values: Tensor, tensor: Tensor, leg: Leg, fill: float) -> Tensor:
    """Shapes one value per unit so that it broadcasts over `tensor`.

    Args:
        values: one per unit, copy after copy.
        tensor: what they will be combined with.
        leg: where the units lie in `tensor`.
        fill: the value at positions that belong to no unit.

    Returns:
        The values with `tensor.ndim` axes; gradients flow through.
    """
    flat = values.reshape(-1)
    length = _length(tensor, leg) if leg.positions is None else len(leg.positions)
    flat = flat.repeat_interleave(length // len(flat)) if length > len(flat) else flat
    if leg.positions is not None:
        index = leg.index_on(values.device)
        whole = torch.full((_length(tensor, leg),), fill, dtype=values.dtype, device=values.device)
        flat = whole.index_copy(0, index, flat)
    shape = [1] * tensor.ndim
    axes = slice(leg.axis, leg.axis + leg.span)
    shape[axes] = tensor.shape[axes]
    return flat.view(shape)


def sum_per_unit(tensor: Tensor, leg: Leg, units: int) -> Tensor:
    """Sums the entries of every unit; shape (units,), copy after copy."""
    others = [a for a in range(tensor.ndim) if not leg.axis <= a < leg.axis + leg.span]
    return per_unit(tensor.sum(dim=others) if others else tensor, leg, units)


def per_unit(sums: Tensor, leg: Leg, units: int) -> Tensor:
    """Adds up one number per position of the leg; shape (units,), copy after copy."""
    sums = sums.reshape(-1)
    if leg.positions is not None:
        sums = sums[leg.index_on(sums.device)]
    return sums.view(units, -1).sum(dim=1)


def squares_per_unit(tensor: Tensor, leg: Leg, units: int) -> Tensor:
    """Squared norms of what every unit holds, in float64; shape (units,), copy after copy."""
    others = [a for a in range(tensor.ndim) if not leg.axis <= a < leg.axis + leg.span]
    return per_unit(squares(tensor, others), leg, units)


def projections(tensor: Tensor, leg: Leg, units: int, direction: Tensor) -> Tensor:
    """Inner products of what every unit holds, in the order of `vectors`, with one direction."""
    flat = _flat(tensor, leg)
    if leg.positions is not None:
        flat = flat.index_select(1, leg.index_on(tensor.device))
    held = flat.reshape(flat.shape[0], units, -1, flat.shape[2])
    weights = direction.view(held.shape[0], held.shape[2], held.shape[3])
    return torch.einsum("buoa,boa->u", held, weights)


def entries_per_unit(shape: tuple[int, ...], leg: Leg, units: int) -> int:
    """Number of entries that every unit has in a tensor of this shape."""
    length = math.prod(shape[leg.axis : leg.axis + leg.span])
    held = len(leg.places(shape))
    return math.prod(shape) // length * held // units


def vectors(tensor: Tensor, leg: Leg, copies: int, size: int) -> Tensor:
    """Gathers the entries of every unit; shape (copies, size, entries per unit)."""
    flat = _flat(tensor, leg)
    if leg.positions is not None:
        flat = flat.index_select(1, leg.index_on(tensor.device))
    block = flat.reshape(flat.shape[0], copies, size, -1, flat.shape[2])
    return block.permute(1, 2, 0, 3, 4).reshape(copies, size, -1)


def of_unit(tensor: Tensor, leg: Leg, units: int, unit: int) -> Tensor:
    """The entries of one unit of one copy, counted copy after copy, in any order."""
    flat = _flat(tensor, leg)
    places = torch.arange(flat.shape[1]) if leg.index is None else leg.index
    return flat.index_select(1, places.view(units, -1)[unit].to(tensor.device)).flatten()


def with_vectors(tensor: Tensor, leg: Leg, moved: Tensor) -> Tensor:
    """Puts back what `vectors` gathered; the result has the shape of `tensor`."""
    flat = _flat(tensor, leg)
    copies, size, _ = moved.shape
    block = moved.reshape(copies, size, flat.shape[0], -1, flat.shape[2]).permute(2, 0, 1, 3, 4)
    block = block.reshape(flat.shape[0], -1, flat.shape[2])
    if leg.positions is not None:
        block = flat.index_copy(1, leg.index_on(tensor.device), block)
    return block.reshape(tensor.shape)


def permuted(tensor: Tensor, permutation: Tensor, *legs: Leg) -> Tensor:
    """Puts unit `permutation[c, i]` of every copy c in place i.

    Args:
        tensor: a new one is returned.
        permutation: (copies, size).
        legs: where the units lie, all along the same axes, apart from each other.

    Returns:
        The permuted tensor.
    """
    copies, size = permutation.shape
    length = _length(tensor, legs[0])
    source = torch.arange(length)
    for leg in legs:
        held = torch.arange(length) if leg.index is None else leg.index
        by_unit = held.view(copies, size, -1)
        source[held] = by_unit[torch.arange(copies)[:, None], permutation.cpu()].reshape(-1)
    if legs[0].span == 1:
        return tensor.index_select(legs[0].axis, source.to(tensor.device))
    return _flat(tensor, legs[0]).index_select(1, source.to(tensor.device)).reshape(tensor.shape)


def _length(tensor: Tensor, leg: Leg) -> int:
    return math.prod(tensor.shape[leg.axis : leg.axis + leg.span])


def _flat(tensor: Tensor, leg: Leg) -> Tensor:
    """The tensor with the leg's axes as its middle axis of three."""
    before, after = tensor.shape[: leg.axis], tensor.shape[leg.axis + leg.span :]
    return tensor.reshape(math.prod(before), _length(tensor, leg), math.prod(after))
