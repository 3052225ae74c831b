"""Entries that a mask picks, computed one by one and put back: `h[h < 0] *= 0.1` is a choice.

How many there are depends on data; as `where(h < 0, 0.1 * h, h)` every entry has a place.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from toroids.discovery.tracing.operators import is_in_place, operator_name

PICK, CLONE, UNSQUEEZE = (
    torch.ops.aten.index.Tensor, torch.ops.aten.clone.default, torch.ops.aten.unsqueeze.default,
)  # fmt: skip
PUT = (torch.ops.aten.index_put_.default, torch.ops.aten.index_put.default)


def choose_by_masks(graph: fx.Graph) -> None:
    """Replaces what is put where a mask is true by choices, where it was picked by that mask."""
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in PUT and len(node.args) == 3:
            picked = _picked(node)
            if picked:
                _replace(graph, node, picked)


def _picked(put: Any) -> list[fx.Node]:
    """The operators, in order, that pick entries and compute what is put; none if others do."""
    base, by, value = put.args
    known = len(by) == 1 and all(isinstance(x, fx.Node) for x in (base, *by, value))
    if not known or base.op == "placeholder" or by[0].meta["val"].dtype != torch.bool:
        return []
    shape, found, ahead = base.meta["val"].shape, set[fx.Node](), [value]
    while ahead:
        node = ahead.pop()
        if node in found:
            continue
        found.add(node)
        if node.target is PICK and len(node.args[1]) == 1:
            if node.args[0].meta["val"].shape != shape or not _alike(node.args[1][0], by[0]):
                return []
        elif _is_pointwise(node):
            ahead += node.all_input_nodes
        else:
            return []
    alone = all(user is put or user in found for node in found for user in node.users)
    return [node for node in put.graph.nodes if node in found] if alone else []


def _alike(a: Any, b: Any) -> bool:
    """Whether two operators read the same, and nothing is written in between."""
    if a is b:
        return True
    if not isinstance(a, fx.Node) or (a.target, a.args, a.kwargs) != (b.target, b.args, b.kwargs):
        return False
    nodes = list(a.graph.nodes)
    first, last = sorted((nodes.index(a), nodes.index(b)))
    called = [node for node in nodes[first:last] if node.op == "call_function"]
    return a.op == "call_function" and not any(is_in_place(node) for node in called)


def _is_pointwise(node: Any) -> bool:
    """Whether an operator computes every entry of floating tensors by itself."""
    if node.op != "call_function" or torch.Tag.pointwise not in getattr(node.target, "tags", ()):
        return False
    if is_in_place(node) and len(node.args[0].users) > 1:
        return False
    values = [n.meta["val"] for n in (node, *node.all_input_nodes)]
    return all(isinstance(v, torch.Tensor) and v.is_floating_point() for v in values)


def _replace(graph: fx.Graph, put: Any, picked: Sequence[Any]) -> None:
    base, (mask,), value = put.args
    like = base.meta["val"]
    whole: dict[fx.Node, fx.Node] = {}
    for node in picked:
        with graph.inserting_before(node):
            if node.target is PICK:
                made = graph.call_function(CLONE, (node.args[0],))
            else:
                made = graph.node_copy(node, whole.__getitem__)
                made.target = _functional(node)
        made.meta = {**node.meta, "val": like.to(node.meta["val"].dtype)}
        whole[node] = made
    with graph.inserting_before(put):
        for _axis in range(like.ndim - mask.meta["val"].ndim):
            narrow, mask = mask, graph.call_function(UNSQUEEZE, (mask, -1))
            mask.meta = {**put.meta, "val": narrow.meta["val"].unsqueeze(-1)}
        chosen = graph.call_function(torch.ops.aten.where.self, (mask, whole[value], base))
    chosen.meta = {**put.meta}
    put.replace_all_uses_with(chosen)
    if is_in_place(put):  # whoever reads the tensor from here on reads what was put
        nodes = list(graph.nodes)
        for user in [x for x in nodes[nodes.index(put) + 1 :] if base in x.all_input_nodes]:
            user.replace_input_with(base, chosen)
    for node in (put, *reversed(picked)):
        graph.erase_node(node)


def _functional(node: Any) -> Any:
    """The operator that gives what one in place writes."""
    if not is_in_place(node):
        return node.target
    name = operator_name(node).removesuffix("_").partition("::")[2]
    return getattr(getattr(torch.ops.aten, name), node.target._overloadname)
