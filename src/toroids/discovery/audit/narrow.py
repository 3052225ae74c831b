"""A narrow twin of a wide network: the same module at weights of which many are equal.

Where the units of a space fall into w classes of equal size, and all entries of a parameter are
equal that differ in units of one class only, units of one class compute the same. The network is
then one with w units per space: means and mean squares over units are those over classes. Of its
few free numbers everything can be asked exactly that costs too much for the network itself.
"""

from dataclasses import dataclass

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Leg, Space
from toroids.symmetry.units import along, permuted

WIDTHS = (8, 6, 5, 4, 3, 2)


@dataclass(frozen=True)
class Narrow:
    """A network of which many weights are equal.

    Attributes:
        point: its parameters and buffers.
        classes: for every entry of all parameters, after each other, which free number it is.
        sizes: how many free numbers every parameter has.
    """

    point: dict[str, Tensor]
    classes: Tensor
    sizes: tuple[int, ...]

    def free(self, entries: Tensor) -> Tensor:
        """The mean of the entries that are one free number; gradients flow through."""
        count = torch.bincount(self.classes)
        return (
            torch.zeros(len(count), dtype=entries.dtype).index_add(0, self.classes, entries) / count
        )


def narrowed(group: SymmetryGroup, point: Params, names: list[str], largest: int) -> list[Narrow]:
    """The widest twin that has few enough free numbers, and the next narrower one.

    Args:
        group: of the network; the permutations of its spaces say which units are alike.
        point: parameters and buffers.
        names: the parameters that count.
        largest: how many free numbers a twin may have.

    Returns:
        At most two twins, each at a point near the given one.
    """
    whole = sum(point[name].numel() for name in names)
    found: dict[int, Narrow] = {}
    for width in WIDTHS:
        twin = _at_width(group, point, names, width)
        size = sum(twin.sizes)
        if size < whole and size <= largest:
            found.setdefault(size, twin)
        if len(found) == 2:
            break
    return list(found.values())


def _at_width(group: SymmetryGroup, point: Params, names: list[str], width: int) -> Narrow:
    starts, start = {}, 0
    held = [*names, *(n for n in point if n in group.buffers and n not in group.tied)]
    for name in held:
        starts[name] = torch.arange(start, start + point[name].numel()).view(point[name].shape)
        start += point[name].numel()
    pairs, scaled = [], {name: point[name] for name in held}
    for space in group.spaces:
        size = _class_size(space, width)
        for leg in space.legs:
            if size == 1 or leg.tensor not in starts:
                continue
            turned = permuted(starts[leg.tensor], _turn(space, size), leg)
            pairs.append(torch.stack([starts[leg.tensor].reshape(-1), turned.reshape(-1)]))
            if leg.role == "read":
                scaled[leg.tensor] = _weakened(scaled[leg.tensor], space, leg, size)
    edges = torch.cat([*pairs, torch.arange(start).repeat(2, 1)], dim=1).numpy()
    graph = coo_array((torch.ones(edges.shape[1]).numpy(), tuple(edges)), shape=(start, start))
    classes = torch.from_numpy(connected_components(graph, directed=False)[1]).long()
    values = torch.cat([scaled[name].reshape(-1).double() for name in held])
    values = values[_first(classes)][classes]
    tied = dict(point)
    for name in held:
        tied[name] = values[starts[name]].to(point[name].dtype)
    for name, source in group.tied.items():
        tied[name] = tied[source]
    own = classes[: sum(point[name].numel() for name in names)]
    own = torch.unique(_first(own)[own], return_inverse=True)[1]  # those of one parameter together
    sizes = (len(own[starts[name].reshape(-1)].unique()) for name in names)
    return Narrow(tied, own, tuple(sizes))


def _class_size(space: Space, width: int) -> int:
    """How many units are made equal: classes of one size, at least `width` of them."""
    if "permute" not in space.actions:
        return 1
    return max(
        n
        for n in range(1, space.size + 1)
        if not space.size % n and space.size // n >= min(width, space.size)
    )


def _turn(space: Space, size: int) -> Tensor:
    """The permutation that turns every class by one."""
    units = torch.arange(space.size).view(-1, size).roll(1, dims=1).reshape(-1)
    return units.repeat(space.copies, 1)


def _weakened(tensor: Tensor, space: Space, leg: Leg, size: int) -> Tensor:
    """What reads equal units reads each of them less, so that sums keep their size."""
    if not tensor.is_floating_point():
        return tensor
    factors = torch.full((space.copies, space.size), size**-0.5, dtype=tensor.dtype)
    return tensor * along(factors, tensor, leg, 1.0)


def _first(classes: Tensor) -> Tensor:
    """For every class its first entry."""
    entries, size = torch.arange(len(classes)), int(classes.max()) + 1
    return torch.full((size,), len(classes)).scatter_reduce_(0, classes, entries, "amin")
