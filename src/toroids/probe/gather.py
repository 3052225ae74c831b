"""Takes the entries of every unit out of a value, in the same order for every unit."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toroids.discovery.axes.constraints import Ids
from toroids.discovery.inference.numbering import in_order, numbered
from toroids.discovery.inference.orbits import Orbits
from toroids.probe.sightings import Sighting

GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the entries of every unit lie in a tensor.

    Attributes:
        entries: (units, entries) offsets into the flattened tensor, copy after copy.
        sizes: of the dimensions that no unit indexes.
        strides: of those dimensions.
    """

    entries: Ids
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def observations(self) -> int:
        """How often the tensor shows every unit."""
        return math.prod(self.sizes) * int(self.entries.shape[1])

    def columns(self, observations: int) -> Ids:
        """Offsets of evenly spread positions, at most so many observations, at least one each."""
        total = math.prod(self.sizes)
        wanted = max(observations // self.entries.shape[1], 1)
        at = np.arange(total) if wanted >= total else spread(total, wanted)
        if not self.sizes:
            return np.zeros(1, np.int64)
        index = np.stack(np.unravel_index(at, self.sizes))
        return np.asarray(np.array(self.strides) @ index)


def spread(total: int, count: int) -> Ids:
    """Positions below `total`, one in each of `count` equal stretches; neighbours are merged.

    Where in its stretch a position lies follows the golden ratio, so that a stretch as long as a
    row of pixels does not pick one column of the image only.

    Returns:
        The positions, ascending.
    """
    steps = np.arange(count)
    at = np.floor((steps + steps * GOLDEN % 1) * (total / count)).astype(np.int64)
    return np.unique(np.minimum(at, total - 1))


def layout(seen: Sighting, found: Orbits, units: Ids) -> Layout | None:
    """Finds where the entries of every unit lie.

    Args:
        seen: a sighting of a space.
        found: solved facts.
        units: which units of the space are wanted, copy after copy, in this order.

    Returns:
        The layout; None where the value does not show every unit equally often.
    """
    part, bundle = seen.part, seen.part.bundle
    sizes = part.value.sizes
    strides = [math.prod(sizes[dim + 1 :]) for dim in range(len(sizes))]
    at = np.flatnonzero(part.mask)
    places = bundle.places.ravel()[at]
    copy, index, rest = numbered(found, seen.space, found.unit[places], found.role[places])
    order = in_order(copy, index, rest, at)
    size = found.size[seen.space]
    carriers = found.chain[seen.space][:-1]
    total = size * math.prod(found.size[cell] for cell in carriers)
    if len(np.unique(np.bincount(copy * size + index, minlength=total))) > 1:
        return None
    inside = np.stack(np.unravel_index(at[order], bundle.places.shape))
    offsets = np.array([strides[dim] for dim in bundle.dims]) @ inside
    others = [dim for dim in range(len(sizes)) if dim not in bundle.dims]
    return Layout(
        offsets.reshape(total, -1)[units],
        tuple(sizes[dim] for dim in others),
        tuple(strides[dim] for dim in others),
    )


def gathered(tensor: Tensor, entries: Tensor, columns: Tensor) -> Tensor:
    """The entries (units, ...) of a tensor at all columns: (units, observations)."""
    offsets = (entries[:, :, None] + columns).to(tensor.device)
    values = tensor.detach().reshape(-1)[offsets].flatten(1)
    if values.is_complex():
        values = torch.view_as_real(values).flatten(1)
    return values if values.is_floating_point() else values.to(torch.get_default_dtype())
