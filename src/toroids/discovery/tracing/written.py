"""What a trace writes in place: whether anybody sees it under another name, and in which type."""

from operator import getitem

import torch
from torch import fx

from toroids.discovery.tracing.operators import is_in_place, operator_name

VIEWS = (
    "slice", "select", "view", "narrow", "transpose", "permute", "chunk", "split", "unbind",
    "reshape", "expand", "squeeze", "unsqueeze", "flatten", "t", "getitem", "alias", "detach",
)  # fmt: skip


def mutates_views(graph: fx.Graph) -> bool:
    """Whether an in-place operator changes what is used elsewhere under another name.

    Args:
        graph: of operators, some of them in place.

    Returns:
        Whether to write it as functions.
    """
    for node in graph.nodes:
        if node.op != "call_function" or not is_in_place(node):
            continue
        target = node.args[0]
        if not isinstance(target, fx.Node) or not _is_own(target):
            return True
        if any(_is_view(user) for user in target.users if user is not node):
            return True
    return False


def _is_own(node: fx.Node) -> bool:
    """Whether nobody sees what a node shows under another name, as a view shows its base."""
    while _is_view(node):
        base = node.args[0]
        # the pieces that an operator returns lie apart
        if not isinstance(base, fx.Node) or (node.target is not getitem and _is_shared(base)):
            return False
        node = base
    return node.op == "call_function"


def _is_shared(node: fx.Node) -> bool:
    """Whether several nodes use a value; checks of its type, as beside `.to(...)`, use nothing."""
    check = torch.ops.aten._assert_tensor_metadata.default
    return len([user for user in node.users if user.target is not check]) > 1


def _is_view(node: fx.Node) -> bool:
    """Whether an operator may return its argument's memory, as some copies do."""
    if node.op != "call_function":
        return False
    if operator_name(node).split("::")[-1].rstrip("_") in VIEWS:
        return True
    schema = getattr(node.target, "_schema", None)
    aliases = [found.alias_info for found in schema.returns] if schema is not None else []
    return any(alias is not None and not alias.is_write for alias in aliases)


def cast_copies(graph: fx.Graph) -> None:
    """Casts what is copied into a tensor of another type, which PyTorch's functional form forgets.

    Args:
        graph: changed.
    """
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.copy_.default):
        into, source = node.args[:2]
        kind, value = into.meta["val"].dtype, source.meta["val"]
        if value.dtype != kind:
            with graph.inserting_before(node):
                cast = graph.call_function(
                    torch.ops.aten._to_copy.default, (source,), {"dtype": kind}
                )
            cast.meta["val"] = value.to(kind)
            node.replace_input_with(source, cast)
