"""What the nodes of a program say of themselves."""

import operator
from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from toroids.discovery.axes import Level
from toroids.discovery.tracing.measured import MEASURING
from toroids.discovery.tracing.operators import SIGNS, is_in_place, operator_name, short_name
from toroids.discovery.tracing.program import Program, Source


def binary(program: Program) -> set[str]:
    """Parameters of which only the signs are read."""
    read: dict[str, bool] = {}
    for node in program.graph.graph.nodes:
        source = program.sources.get(node.name) if node.op == "placeholder" else None
        if source is not None and source.kind == "parameter" and node.users:
            signed = all(
                u.op == "call_function" and operator_name(u) in SIGNS and not is_in_place(u)
                for u in node.users
            )
            read[source.name] = read.get(source.name, True) and signed
    return {name for name, signed in read.items() if signed}


NORMS = ("aten::batch_norm", "aten::instance_norm", "aten::_native_batch_norm_legit_no_training")


def special_uses(program: Program) -> tuple[dict[str, int], set[str]]:
    """Weights that only one grouped convolution reads, and running statistics of batch norms."""
    grouped: dict[str, int] = {}
    statistics: set[str] = set()
    elsewhere: set[str] = set()
    for node in program.graph.graph.nodes:
        name = operator_name(node) if node.op == "call_function" else ""
        moved: list[Any] = []
        if name in NORMS:
            moved = [a for a in node.args[3:5] if isinstance(a, fx.Node)]
            statistics |= {a.name for a in moved}
        elif name.startswith("aten::conv") and len(node.args) > 1:
            groups, weight = _groups(node), node.args[1]
            if groups > 1 and isinstance(weight, fx.Node) and len(weight.users) == 1:
                if weight.meta["val"].shape[1] > 1:
                    grouped[weight.name] = groups
        elsewhere |= {a.name for a in node.all_input_nodes if a not in moved}
    return grouped, statistics - elsewhere


def _groups(node: fx.Node) -> int:
    """How many groups a convolution has; one where they are as many as the inputs are long."""
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
    position = names.index("groups")
    value = node.args[position] if position < len(node.args) else node.kwargs.get("groups", 1)
    return 1 if isinstance(value, fx.Node) else int(value)  # type: ignore[arg-type]


def level(node: fx.Node, source: Source) -> Level | None:
    """What is said of an input's entries: whole numbers are often equal."""
    return None if source.value.is_floating_point() else Level(source.name or node.name, True)


def tensors(node: fx.Node) -> list[Tensor]:
    """The tensors that a node gives, as the trace has them."""
    return [v for v in tree_leaves(node.meta.get("val")) if isinstance(v, Tensor)]


def used(node: fx.Node, count: int) -> tuple[bool, ...]:
    """Which of the tensors that an operator gives anybody reads."""
    if any(user.target is not operator.getitem for user in node.users):
        return (True,) * count
    read = {user.args[1] for user in node.users if any(map(_looks, user.users))}
    return tuple(position in read for position in range(count))


def zeros_vanish(node: fx.Node) -> bool:
    """Whether nobody sees which of several zeros a choice by size takes, as it puts them back."""
    if short_name(node) != "topk":
        return False
    given, parts = node.args[0], [user for user in node.users if user.target is operator.getitem]
    values = [part for part in parts if part.args[1] == 0]
    places = [part for part in parts if part.args[1] == 1]
    return len(parts) == len(node.users) and all(
        _is_among_zeros(user, place, values) or _is_mask_of(user, place, given)
        for place in places
        for user in place.users
    )


def shows_lowest(node: fx.Node) -> bool:
    """Whether a logarithm of a softmax shows how low the numbers are that a mask puts in."""
    if short_name(node).removesuffix("_") not in ("where", "masked_fill"):
        return False
    after, seen = [node], {node}
    while after:
        new = {user for user in after.pop().users if user.op == "call_function"} - seen
        names = {user: short_name(user) for user in new}
        if any("log_softmax" in name for name in names.values()):
            return True
        seen |= new
        after += [user for user, name in names.items() if "softmax" not in name]
    return False


def _puts_in_zeros(node: fx.Node, place: fx.Node) -> bool:
    """Whether an operator puts something at places of a tensor of zeros."""
    name = short_name(node).removesuffix("_") if node.op == "call_function" else ""
    if name not in ("scatter", "scatter_add") or len(node.args) != 4 or node.kwargs:
        return False
    into, index = node.args[0], node.args[2]
    zeros = isinstance(into, fx.Node) and short_name(into) in ("zeros", "zeros_like", "new_zeros")
    return zeros and index is place


def _is_among_zeros(node: fx.Node, place: fx.Node, values: Sequence[fx.Node]) -> bool:
    """Whether the chosen numbers, or what a ReLU leaves of them, are put among zeros."""
    put: Any = node.args[-1] if _puts_in_zeros(node, place) else None
    if isinstance(put, fx.Node) and put.op == "call_function" and short_name(put) == "relu":
        put = put.args[0]
    return any(put is value for value in values)


def _is_mask_of(node: fx.Node, place: fx.Node, given: Any) -> bool:
    """Whether a number is put there, which multiplies what was chosen from, and nothing else."""
    if not _puts_in_zeros(node, place) or isinstance(node.args[3], fx.Node):
        return False
    users = [user for n in (node, node.args[0]) for user in n.users if user is not node]  # type: ignore[union-attr]
    return all(short_name(u) == "mul" and any(x is given for x in u.args) for u in users)


def _looks(node: fx.Node) -> bool:
    """Whether an operator does more than to raise an error."""
    return node.op != "call_function" or operator_name(node) not in MEASURING


def where(node: fx.Node) -> str:
    """In which module an operator stands, as words of a note."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    path = path.replace("L['self'].", "").removeprefix("model").lstrip(".")
    return f" in `{path}`" if path else ""
