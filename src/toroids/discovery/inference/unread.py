"""Parts of parameters that the traced calls do not read, or read as far as inputs are long.

Nothing can be said of them: a longer input, or another one, reads them in its own way. They stay
in place, and so does the whole axis of which some calls read more than others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from toroids.discovery.axes.constraints import Constraints, Ids, Loss
from toroids.discovery.axes.values import Bundle, Value, keep_bundle, zero_scalar

# Operators that hand on entries without looking at them.
ARRANGING = {
    f"aten::{name}"
    for name in (
        "view", "reshape", "_unsafe_view", "flatten", "unflatten", "permute", "transpose",
        "swapaxes", "swapdims", "t", "numpy_T", "mT", "movedim", "moveaxis", "unsqueeze", "squeeze",
        "slice", "select", "narrow", "unbind", "split", "split_with_sizes", "chunk", "tensor_split",
        "clone", "contiguous", "detach", "alias", "to", "_to_copy", "flip", "roll", "expand",
        "repeat", "repeat_interleave", "cat", "stack", "index_select", "lift_fresh_copy",
    )
} | {"getitem"}  # fmt: skip
# Operators that look at a tensor's shape only, or write over it.
SHAPING = {
    f"aten::{name}"
    for name in (
        "fill", "zero", "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros",
        "new_ones", "new_full", "new_empty",
    )
}  # fmt: skip


def pin_unread(c: Constraints, parameters: Mapping[str, Value]) -> None:
    """States that places of parameters that no operator looks at never move.

    Args:
        c: all facts.
        parameters: the parameters that were used, by name.
    """
    seen = _seen(c)
    c.unread = np.flatnonzero(~seen)
    for name, value in parameters.items():
        for bundle in value.bundles:
            unread = ~seen[bundle.places]
            if unread.any():
                zero_scalar(c, value)
            if len(bundle.dims) != 1:
                if unread.any():
                    keep_bundle(c, bundle, bundle.dims)
                continue
            if unread.any() and unread.size > 1:
                axis = value.axis_of(bundle.dims[0])
                c.operator = f"axis {axis} of `{name}`, which is not read to its end,"
                part = Bundle(bundle.dims, bundle.ids[:, unread])
                keep_bundle(c, part, part.dims)
                c.losses.append(
                    Loss(
                        f"{int(unread.sum())} of {unread.size} positions along axis {axis} of "
                        f"`{name}` are not read on inputs of these sizes",
                        part.places,
                    )
                )


def pin_partial(
    c: Constraints, parameters: Mapping[str, Value], partial: Sequence[Sequence[Ids]]
) -> None:
    """States that axes never move of which calls at different sizes take different parts.

    Args:
        c: all facts.
        parameters: the parameters that were used, by name.
        partial: for every program, the places of which parts were taken.
    """
    if len(partial) < 2:
        return
    # a call may take a part of what moves with the parameter, as a cell does of its first gates
    alike = _alike(c)
    bundles = [bundle.places for value in parameters.values() for bundle in value.bundles]
    # a class token that is taken out again, beside a single patch, is no part of itself
    whole = {alike[places].tobytes() for places in bundles if places.ndim == 1}
    taken = [{alike[places].tobytes() for places in program} - whole for program in partial]
    first = taken[0]
    differing = set[bytes]().union(*(first ^ other for other in taken[1:]))
    if not differing:
        return
    parts = [p for program in partial for p in program if alike[p].tobytes() in differing]
    moved = np.unique(np.concatenate(parts))
    for name, value in parameters.items():
        for bundle in value.bundles:
            if np.isin(bundle.places, moved).any():
                pin_axis(c, name, value, bundle)


def pin_axis(c: Constraints, name: str, value: Value, bundle: Bundle) -> None:
    """States that an axis of a parameter never moves: how much is read of it depends on inputs."""
    axis = value.axis_of(bundle.dims[0])
    keep_bundle(c, bundle, bundle.dims)
    zero_scalar(c, value)
    reason = f"how much is read of axis {axis} of `{name}` depends on the sizes of the inputs"
    c.losses.append(Loss(reason, bundle.places.ravel()))


def _alike(c: Constraints) -> Any:
    """Numbers, for every place, those that move alike."""
    none = np.zeros(0, np.int64)
    a, b = (np.concatenate([none, *(pair[n] for pair in c.sames)]) for n in range(2))
    both = (a >= 0) & (b >= 0)
    graph = coo_matrix((np.ones(int(both.sum())), (a[both], b[both])), shape=(c.places, c.places))
    return connected_components(graph, directed=False)[1]


def _seen(c: Constraints) -> Any:
    """Marks the places that some operator looks at, or at what carries or repeats them."""
    seen = np.zeros(c.places + 1, bool)  # the last one stands for places that never move
    for places in c.seen:
        seen[places] = True
    a, b, child, parent = (
        np.concatenate([np.zeros(0, np.int64), *columns])
        for columns in (
            [a for a, _ in c.sames], [b for _, b in c.sames],
            [a for a, _ in c.unders], [b for _, b in c.unders],
        )
    )  # fmt: skip
    alike = (a >= 0) & (b >= 0)
    a, b = a[alike], b[alike]
    inside = (child >= 0) & (parent >= 0)
    child, parent = child[inside], parent[inside]
    count = -1
    while count != int(seen.sum()):
        count = int(seen.sum())
        seen[a[seen[b]]] = True
        seen[b[seen[a]]] = True
        seen[parent[seen[child]]] = True
    return seen
