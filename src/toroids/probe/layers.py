"""Recurrent operators of several layers as one operator per layer, so that every layer is seen."""

import operator
from typing import Any

import torch
from torch import fx

from toroids.discovery.tracing.operators import operator_name

RECURRENT = ("aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu")


def separate_layers(graph: fx.GraphModule) -> None:
    """Replaces every recurrent operator of several layers, also inside blocks, in place.

    The layers compute the same numbers as before; what passes between them becomes a value of the
    graph.

    Args:
        graph: operators as `torch.export` gives them.
    """
    for module in graph.modules():
        if not isinstance(module, fx.GraphModule):
            continue
        for node in list(module.graph.nodes):
            # packed sequences come under another overload, and stay as they are
            padded = str(node.target).endswith(".input") and len(node.args) == 9
            if padded and operator_name(node) in RECURRENT:
                _separate(module.graph, node)
        module.graph.eliminate_dead_code()


def _separate(graph: fx.Graph, node: fx.Node) -> None:
    arguments: Any = node.args
    x, states, weights, biased, layers, dropout, training, both_ways, batch_first = arguments
    if layers == 1 or training:
        return
    several = isinstance(states, list | tuple)
    ways, held = 2 if both_ways else 1, len(weights) // layers
    out, *last = node.meta["val"]
    steps: list[fx.Node] = []
    with graph.inserting_before(node):
        for layer in range(layers):
            start = [
                _slice(graph, state, layer * ways, ways)
                for state in (states if several else [states])
            ]
            own = weights[layer * held : (layer + 1) * held]
            rest = (biased, 1, dropout, training, both_ways, batch_first)
            target: Any = node.target
            step = graph.call_function(target, (x, start if several else start[0], own, *rest))
            step.meta = {**node.meta, "val": (_like(out), *(_like(s, ways) for s in last))}
            x = _entry(graph, step, 0)
            steps.append(step)
        finals = [
            _join(graph, [_entry(graph, step, 1 + number) for step in steps], state)
            for number, state in enumerate(last)
        ]
    for user in list(node.users):  # each of them takes one entry
        number: Any = user.args[1]
        user.replace_all_uses_with((x, *finals)[number])
        graph.erase_node(user)
    graph.erase_node(node)


def _like(value: Any, first: int | None = None) -> torch.Tensor:
    """A tensor without numbers, of the shape of `value`, perhaps with another first axis."""
    shape = value.shape if first is None else (first, *value.shape[1:])
    return torch.empty(shape, dtype=value.dtype, device="meta")


def _slice(graph: fx.Graph, state: fx.Node, start: int, size: int) -> fx.Node:
    node = graph.call_function(torch.ops.aten.slice.Tensor, (state, 0, start, start + size))
    node.meta["val"] = _like(state.meta["val"], size)
    return node


def _entry(graph: fx.Graph, node: fx.Node, number: int) -> fx.Node:
    entry = graph.call_function(operator.getitem, (node, number))
    entry.meta["val"] = node.meta["val"][number]
    return entry


def _join(graph: fx.Graph, states: list[fx.Node], like: Any) -> fx.Node:
    node = graph.call_function(torch.ops.aten.cat.default, (states, 0))
    node.meta["val"] = _like(like)
    return node
