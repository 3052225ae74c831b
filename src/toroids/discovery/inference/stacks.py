"""Tensors that stack the weights of many units of one kind: experts, heads, members of a team.

`W[head, model, entry]` is as many matrices as there are heads. What a first look finds is a space
of heads and one of entries, the same in all heads. Where every tensor that the second one moves is
stacked along the first, entries may move in each head on their own; a second look, which gives both
axes joint places, tells.
"""

from collections.abc import Iterator, Mapping, Sequence

from toroids.symmetry.space import Leg, Space

Stacks = Mapping[str, tuple[tuple[int, int], ...]]


def stacks_of(spaces: Sequence[Space], shapes: Mapping[str, tuple[int, ...]]) -> Stacks:
    """Finds the axes of tensors that may be indexed together.

    Args:
        spaces: what a first look has found.
        shapes: of all tensors.

    Returns:
        For tensors that stack others the pairs of axes that are joint; empty where there are none.
    """
    found: dict[str, set[tuple[int, int]]] = {}
    for inner in spaces:
        for outer in spaces:
            for name, pair in _pairs(inner, outer, shapes) if inner is not outer else ():
                found.setdefault(name, set()).add(pair)
    return {name: tuple(sorted(pairs)) for name, pairs in found.items()}


def _pairs(
    inner: Space, outer: Space, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, tuple[int, int]]]:
    if min(inner.size, outer.size) < 2 or inner.copies > 1:
        return
    pairs = []
    for leg in inner.legs:
        around = [other for other in outer.legs if other.tensor == leg.tensor]
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
