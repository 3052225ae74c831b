"""What the nodes of a traced graph are: which operator, in place or random, what it holds."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from toroids.binary.sign import OPERATOR as SIGN_WITHOUT_ZERO

SIGNS = ("aten::sign", "aten::sgn", SIGN_WITHOUT_ZERO)  # operators that keep only the sign


def on_cpu(value: Any) -> Any:
    """A tensor on the CPU, without its history; anything else as it is."""
    return value.detach().cpu() if isinstance(value, Tensor) else value


def is_block(node: fx.Node) -> bool:
    """Whether a node runs a graph as it is, under a mode: `no_grad`, `autocast`."""
    higher = isinstance(node.target, torch._ops.HigherOrderOperator)
    return higher and "wrap_with" in str(node.target)


def body(arguments: Sequence[Any]) -> tuple[fx.GraphModule, Sequence[Any]]:
    """The graph that a block (`no_grad`, `autocast`) runs, and what it runs on."""
    position = next(i for i, a in enumerate(arguments) if isinstance(a, fx.GraphModule))
    return arguments[position], arguments[position + 1 :]


def attribute(graph: fx.GraphModule, target: Any) -> Any:
    """What a graph holds under a dotted name."""
    value: Any = graph
    for part in str(target).split("."):
        value = getattr(value, part)
    return on_cpu(value)


def is_in_place(node: fx.Node) -> bool:
    """Whether an operator writes into its first argument."""
    name = operator_name(node)
    return name.endswith("_") and not name.endswith("__") and "::" in name


def operator_name(node: fx.Node) -> str:
    """The name of a node's operator, its overload left out."""
    if node.target is operator.getitem:
        return "getitem"
    schema = getattr(node.target, "_schema", None)
    return str(schema.name) if schema is not None else str(node.target)


def short_name(node: fx.Node) -> str:
    """The name of a node's operator, its namespace and overload left out."""
    return operator_name(node).rpartition("::")[2]


def draws_random(node: fx.Node) -> bool:
    """Whether an operator draws random numbers, as one of dropout in evaluation does not."""
    return draws(node.target, node.args, node.kwargs)


def draws(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operator draws random numbers with these arguments."""
    if torch.Tag.nondeterministic_seeded not in getattr(operator, "tags", ()):
        return False
    schema = operator._schema.arguments
    given = {a.name: a.default_value for a in schema if a.has_default_value()}
    given |= {a.name: value for a, value in zip(schema, args, strict=False)} | dict(kwargs)
    return not any(given.get(name) == value for name, value in IDLE if name in given)


# Settings with which an operator that can draw random numbers draws none.
IDLE = (("p", 0), ("dropout_p", 0), ("train", False), ("training", False))


def narrows(node: fx.Node, finest: float) -> bool:
    """Whether an operator rounds its argument to a type that is narrower than the parameters."""
    before = (
        node.args[0].meta.get("val") if node.args and isinstance(node.args[0], fx.Node) else None
    )
    after = node.meta.get("val")
    if not isinstance(before, Tensor) or not isinstance(after, Tensor):
        return False
    steps = [torch.finfo(x.dtype).eps if _is_inexact(x) else 0.0 for x in (before, after)]
    return 0 < steps[0] < steps[1] and steps[1] > finest


def _is_inexact(x: Tensor) -> bool:
    return x.is_floating_point() or x.is_complex()
