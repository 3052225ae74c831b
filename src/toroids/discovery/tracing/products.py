"""Products that are summed at once, as `(a * b).sum(-1)`: contractions, as an einsum says them.

What multiplies entry by entry lets no matrix act on its factors; a contraction does.
"""

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import guard_or_false

PRODUCT, SUM = torch.ops.aten.mul.Tensor, torch.ops.aten.sum.dim_IntList
EINSUM, UNSQUEEZE = torch.ops.aten.einsum.default, torch.ops.aten.unsqueeze.default


def contract_products(graph: fx.Graph) -> None:
    """Replaces sums of products of two tensors, of which nobody reads the product, by einsums."""
    for node in list(graph.nodes):
        factors, axes = _summed(node)
        if not axes:
            continue
        rank = node.args[0].meta["val"].ndim
        letters = ascii_lowercase[:rank]
        own = [letters[rank - x.meta["val"].ndim :] for x in factors]
        left = "".join(x for axis, x in enumerate(letters) if axis not in axes)
        with graph.inserting_before(node):
            made = graph.call_function(EINSUM, (f"{own[0]},{own[1]}->{left}", factors))
            made.meta = {**node.meta}
            if node.meta["val"].ndim == rank:
                made.meta["val"] = node.meta["val"].squeeze(axes)
            for axis in axes if node.meta["val"].ndim == rank else ():
                value = made.meta["val"].unsqueeze(axis)
                made = graph.call_function(UNSQUEEZE, (made, axis))
                made.meta = {**node.meta, "val": value}
        node.replace_all_uses_with(made)
        graph.erase_node(node)
    graph.eliminate_dead_code()


def _summed(node: fx.Node) -> tuple[list[fx.Node], list[int]]:
    """The factors of a product that a node sums, and over which axes; no axes if it does not."""
    product: Any = node.args[0] if node.op == "call_function" and node.target is SUM else None
    if not isinstance(product, fx.Node) or product.target is not PRODUCT:
        return [], []
    factors = [x for x in product.args if isinstance(x, fx.Node)]
    if len(set(factors)) < 2 or len(product.users) > 1 or set(node.kwargs) - {"keepdim"}:
        return [], []
    dims: Any = node.args[1]
    rank = product.meta["val"].ndim
    axes = sorted({int(axis) % rank for axis in dims or ()}) if rank else []
    values = [x.meta["val"] for x in factors]
    kept = len(axes) < rank <= len(ascii_lowercase)
    return factors, axes if kept and _meet(values, [axis - rank for axis in axes]) else []


def _meet(values: Sequence[Tensor], axes: Sequence[int]) -> bool:
    """Whether both tensors have all of some axes, counted from the end, in the same lengths."""
    a, b = values
    if (
        a.dtype != b.dtype
        or not a.is_floating_point()
        or -min(axes, default=0) > min(a.ndim, b.ndim)
    ):
        return False
    return all(guard_or_false(a.shape[axis] == b.shape[axis]) for axis in axes)
