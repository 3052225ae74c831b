"""Tensors that stack the weights of many units of one kind: experts, heads, members of a team.

`W[head, model, entry]` is as many matrices as there are heads. What a first look finds is a space
of heads and one of entries, the same in all heads. Where every tensor that the second one moves is
stacked along the first, entries may move in each head on their own; a second look, which gives both
axes joint places, tells. The stack itself may stay in place, as where every member's outputs count.
"""

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from toroids.discovery.axes import Value
from toroids.discovery.axes.constraints import Constraints, Ids
from toroids.discovery.inference.orbits import Orbits
from toroids.symmetry.space import Leg, Space

# Entries of a gain that has several axes: with more it is taken axis by axis, as a mask of weights.
MOST = 2**16
# Of one that only shares an axis with others: a single unit for every entry.
MOST_BESIDE = 2**8


@dataclass(frozen=True)
class Stack:
    """How the axes of a tensor that stacks others are indexed.

    Attributes:
        joint: the axes that have joint places.
        still: those of them that stay in place, of which everybody takes single positions.
    """

    joint: tuple[tuple[int, ...], ...]
    still: tuple[int, ...] = ()


Stacks = Mapping[str, Stack]


def stacks_of(
    spaces: Sequence[Space],
    shapes: Mapping[str, tuple[int, ...]],
    still: Sequence[Sequence[Leg]],
    picked: Mapping[str, tuple[int, ...]],
) -> Stacks:
    """Finds the axes of tensors that may be indexed together.

    Args:
        spaces: what a first look has found.
        shapes: of all tensors.
        still: axes that stay in place, those together that are indexed alike.
        picked: axes of which everybody takes single positions.

    Returns:
        For tensors that stack others the axes that are joint; empty where there are none.
    """
    found: dict[str, set[tuple[int, int]]] = {}
    # experts are permuted at most; a stream that stacks read has more, and is none of them
    plain = [space.legs for space in spaces if space.size > 1 and space.actions == {"permute"}]
    others = [space.legs for space in spaces if space.size > 1 and space.legs not in plain]
    for outers in ([*plain, *still], others):
        known = {(name, axis) for name, pairs in found.items() for pair in pairs for axis in pair}
        for inner in spaces:
            for outer in outers:
                pairs = [*_pairs(inner, outer, shapes)] if inner.legs is not outer else []
                if not any((name, axis) in known for name, pair in pairs for axis in pair):
                    for name, pair in pairs:
                        found.setdefault(name, set()).add(pair)
    return {
        name: _stack(found.get(name, set()), len(shapes[name]), picked.get(name, ()))
        for name in [*found, *(name for name in picked if name not in found)]
    }


def _stack(pairs: set[tuple[int, int]], rank: int, still: tuple[int, ...]) -> Stack:
    """Joint axes: those of members, each in every position that is taken alone."""
    joint = {tuple(a for a in pair if a not in still) for pair in pairs}
    alone = set(range(rank)) - {*still, *(a for own in joint for a in own)} if still else ()
    joint = {*joint, *((axis,) for axis in alone)}
    return Stack(tuple(sorted(tuple(sorted({*own, *still})) for own in joint if own)), still)


def still_axes(c: Constraints, parameters: Mapping[str, Value], found: Orbits) -> list[list[Leg]]:
    """Whole axes of parameters that stay in place, those together that meet."""
    reads = c.summed_over()
    alike: dict[bytes, list[Leg]] = {}
    for name, value in parameters.items():
        for axis, places in _whole_axes(value):
            units = found.unit[places]
            if (found.cell[units] < 0).all():
                leg = Leg(name, axis, "read" if reads[places].all() else "write", name)
                alike.setdefault(units.tobytes(), []).append(leg)
    return [legs for legs in alike.values() if len(legs) > 1]


def grids_of(
    gains: Set[str], parameters: Mapping[str, Value], found: Orbits, beside: bool = False
) -> Stacks:
    """Finds gains with several axes, and what lies along all of these axes as well.

    `gain[member, unit]` multiplies every unit of every member by a number of its own, which may be
    taken back by what reads the members.

    Args:
        gains: parameters that multiply others entry by entry.
        parameters: of the module.
        found: what a first look has solved.
        beside: whether small ones count that only share an axis with others, as those of outputs.

    Returns:
        For these the axes that are joint.
    """
    along = {
        name: {found.unit[places].tobytes(): axis for axis, places in _whole_axes(value)}
        for name, value in parameters.items()
    }
    result: dict[str, Stack] = {}
    grids = {x: along[x] for x in gains & along.keys() if len(along[x]) > 1}
    for gain, grid in sorted(grids.items()):
        entries = math.prod(parameters[gain].shape)
        alike = [name for name, own in along.items() if grid.keys() <= own.keys()]
        near = beside and any(
            grid.keys() & own.keys() for name, own in grids.items() if name != gain
        )
        # somebody may take back what it takes
        if entries <= (MOST if len(alike) > 1 else MOST_BESIDE * near):
            for name in alike:
                joint = tuple(sorted(along[name][index] for index in grid))
                result.setdefault(name, Stack((joint,)))
    return result


def _whole_axes(value: Value) -> Iterator[tuple[int, Ids]]:
    """The axes of a parameter of several positions that are indexed by themselves, with places."""
    for bundle in value.bundles:
        axis = value.axis_of(bundle.dims[0])
        if bundle.places.size > 1 and bundle.places.shape == (value.shape[axis],):
            yield axis, bundle.places


def _pairs(
    inner: Space, outer: Sequence[Leg], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, tuple[int, int]]]:
    if inner.size < 2 or inner.copies > 1 or len(inner.legs) < 2:  # one that nothing writes
        return
    pairs = []
    for leg in inner.legs:
        around = [other for other in outer if other.tensor == leg.tensor]
        if any((other.axis, other.span) == (leg.axis, leg.span) for other in around):
            continue  # one axis holds both, and may be cut as it likes
        whole = [other for other in around if other.span == 1 and _is_whole(other, shapes)]
        if len(whole) != 1 or leg.span != 1:
            return
        if (whole[0].role, leg.role) == ("read", "write"):
            return  # a sum over the stack would take entries of all of it together
        pairs.append((leg.tensor, (min(leg.axis, whole[0].axis), max(leg.axis, whole[0].axis))))
    yield from pairs


def _is_whole(leg: Leg, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether units lie one by one along a whole axis, perhaps in groups."""
    size = shapes[leg.tensor][leg.axis]
    return leg.positions is None or sorted(leg.positions) == list(range(size))
