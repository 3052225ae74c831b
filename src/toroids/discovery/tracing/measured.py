"""Values of which nobody looks at more than the size, as `full_like(x[:, :1], t)` does."""

from torch import fx

from toroids.discovery.tracing.operators import is_block, is_in_place, operator_name

# Operators that look at the size of a tensor, not at its entries, or only raise an error.
MEASURING = (
    "aten::_linalg_check_errors", "aten::size", "aten::sym_size", "aten::sym_numel",
    "aten::sym_stride", "aten::sym_storage_offset",
)  # fmt: skip
# Operators that make new numbers of the size, or of the type, of their first argument.
LIKE = {
    f"aten::{name}"
    for name in (
        "empty_like", "zeros_like", "ones_like", "full_like", "new_empty", "new_zeros", "new_ones",
        "new_full",
    )
}  # fmt: skip
# Operators that look at the size of their first argument alone, or of their second.
SIZED = LIKE | {*MEASURING}
SIZED_BY_SECOND = {f"aten::{name}" for name in ("expand_as", "view_as", "reshape_as", "resize_as")}


def measured(graph: fx.Graph) -> set[fx.Node]:
    """The operators of whose results nobody looks at more than the size."""
    found: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        pure = node.op == "call_function" and not is_block(node) and not is_in_place(node)
        if pure and node.users and all(u in found or _measures(u, node) for u in node.users):
            found.add(node)
    return found


def _measures(user: fx.Node, node: fx.Node) -> bool:
    measuring = user.op == "call_function" and operator_name(user) in SIZED
    return measuring and user.args[0] is node
