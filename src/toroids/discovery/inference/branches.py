"""Values that are computed alike from parameters of their own, as experts in a Python loop.

Whoever adds them up or lays them side by side might see them in another order, with the rows of a
router, say. An action moves entries within tensors; it exchanges no tensors. So this is only said.
"""

from collections.abc import Iterator
from typing import Any

from torch import fx

from toroids.discovery.tracing.operators import operator_name, short_name
from toroids.discovery.tracing.program import Program

SHOWN = 3
JOINING = {"stack", "cat", "concat"}
PICKING = {"select", "slice", "narrow", "getitem"}


def branches(program: Program) -> list[str]:
    """Names what is computed alike from parameters of its own.

    Args:
        program: the traced module.

    Returns:
        Notes, one for every operator that reads such values.
    """
    notes = []
    for node in program.graph.graph.nodes:
        parts = list(_parts(node)) if node.op == "call_function" else []
        for number, first in enumerate(parts):
            own = [_paired(program, first, other) for other in parts[number + 1 :]]
            names = [pairs for pairs in own if pairs]
            if names:
                shown = [names[0][0][0], *(pairs[0][1] for pairs in names)]
                listed = ", ".join(f"`{name}`" for name in shown[:SHOWN])
                notes.append(
                    f"operator `{operator_name(node)}` reads {len(shown)} values that are computed "
                    f"alike from parameters of their own ({listed}"
                    f"{', ...' if len(shown) > SHOWN else ''}); what exchanges whole tensors is "
                    "not looked for"
                )
                break
    return notes


def _parts(node: fx.Node) -> Iterator[fx.Node]:
    """The values that an operator lays side by side, or the terms of a sum."""
    name = short_name(node).removesuffix("_")
    if name in JOINING:
        listed: Any = node.args[0]
        yield from (x for x in listed if isinstance(x, fx.Node))
    elif name == "add" and not any(short_name(user) == "add" for user in node.users):
        yield from _terms(node)


def _terms(node: fx.Node) -> Iterator[fx.Node]:
    ahead: list[Any] = [node]
    while ahead:
        current = ahead.pop()
        if not isinstance(current, fx.Node):
            continue
        inner = current is node or len(current.users) == 1
        if inner and current.op == "call_function" and short_name(current) == "add":
            ahead += reversed(current.args)
        else:
            yield current


def _paired(program: Program, a: fx.Node, b: fx.Node) -> list[tuple[str, str]]:
    """The parameters from which two values are computed alike; none where they are not."""
    pairs: list[tuple[str, str]] = []
    ahead: list[tuple[Any, Any]] = [(a, b)]
    done = set()
    while ahead:
        x, y = ahead.pop()
        if x is y or (x, y) in done:
            continue
        if not isinstance(x, fx.Node) or not isinstance(y, fx.Node) or x.op != y.op:
            return []
        done.add((x, y))
        if x.op == "placeholder":
            one, two = program.sources[x.name], program.sources[y.name]
            if {one.kind, two.kind} != {"parameter"} or one.value.shape != two.value.shape:
                return []
            pairs.append((one.name, two.name))
        elif x.op != "call_function" or x.target != y.target:
            return []
        else:
            nodes = list(zip(x.all_input_nodes, y.all_input_nodes, strict=False))
            if len(x.all_input_nodes) != len(y.all_input_nodes) or not _like(x, y):
                return []
            ahead += nodes
    return pairs


def _like(x: fx.Node, y: fx.Node) -> bool:
    """Whether two operators are given the same numbers, or pick parts of a value."""
    if short_name(x) in PICKING:
        return True

    def numbers(node: fx.Node) -> Any:
        return fx.map_arg((node.args, dict(node.kwargs)), lambda _: None)

    return bool(numbers(x) == numbers(y))
