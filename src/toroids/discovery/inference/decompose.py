"""What operators without a rule are made of: graphs of others, as PyTorch decomposes them."""

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._decomp import decomposition_table
from torch._subclasses.fake_tensor import FakeTensor
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

from toroids.discovery.rules import RULES
from toroids.discovery.tracing.operators import is_in_place, operator_name
from toroids.discovery.tracing.trace import unlogged

KEY = "decomposition"


def _losses_by_chunks(
    inputs: Tensor, matrix: Tensor, target: Tensor, bias: Tensor | None, weight: Tensor | None,
    ignore_index: int, *_: Any, reduction: str = "none", label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """The loss of a linear map of its inputs, which PyTorch computes by chunks."""
    return nn.functional.cross_entropy(
        nn.functional.linear(inputs, matrix, bias), target, weight, ignore_index=ignore_index,
        reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


def _loss_by_chunks(*given: Any) -> list[Tensor]:
    """Their sum or mean; what comes along are gradients, zeros here, which nobody may read."""
    reduction, ignore_index, label_smoothing = given[5:8]
    loss = _losses_by_chunks(
        *given[:5], ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
    bias = loss.new_zeros(0) if given[3] is None else given[3]
    made = zip((*given[:2], bias), given[12:15], strict=True)
    return [loss, *(x.new_zeros(x.shape if there else [0] * x.ndim) for x, there in made)]


# PyTorch's own operators of which it tells no parts.
OPAQUE: dict[str, Callable[..., Any]] = {
    "torch_nn::_linear_cross_entropy_batch_chunked": _loss_by_chunks,
    "torch_nn::_linear_cross_entropy_batch_chunked_no_reduction": _losses_by_chunks,
}


def decomposition(node: fx.Node) -> fx.GraphModule | None:
    """Finds what computes the same as an operator.

    Args:
        node: an operator of a traced module, with the shapes of its values.

    Returns:
        A graph of other operators, with one placeholder for every input of the node and a list of
        results; None where PyTorch knows none.
    """
    if KEY not in node.meta:
        node.meta[KEY] = _decomposition(node)
    return node.meta[KEY]  # type: ignore[no-any-return]


def has_rule(name: str) -> bool:
    """Whether an operator, or the one of which it is a variant, has a rule."""
    return any(own in RULES for own in variants(name))


def variants(name: str) -> tuple[str, ...]:
    """The names under which the rule of an operator may be found: in place, and as a copy."""
    return name, name.removesuffix("_"), name.removesuffix("_copy")


@cache
def _known(rules: int) -> dict[Any, Callable[..., Any]]:
    """The decompositions of operators that have no rule; `rules` says how many have one."""
    return {
        overload: function
        for overload, function in decomposition_table.items()
        if isinstance(overload, torch._ops.OpOverload) and not has_rule(overload._schema.name)
    }


def _decomposition(node: fx.Node) -> fx.GraphModule | None:
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload) or is_in_place(node):
        return None
    ways: list[Callable[..., Any]] = []
    if operator_name(node) in OPAQUE and all(user.args[1:] in ((), (0,)) for user in node.users):
        ways.append(OPAQUE[operator_name(node)])
    ways += [target.decompose] if target._can_decompose() else []
    ways += [decomposition_table[target]] if target in decomposition_table else []
    values = [n.meta.get("val") for n in node.all_input_nodes]
    mode = next((v.fake_mode for v in values if isinstance(v, FakeTensor)), None)
    if mode is None or any(v is None for v in values):
        return None
    for way in ways:

        def run(*inputs: Any, way: Callable[..., Any] = way) -> list[Any]:
            by_node = dict(zip(node.all_input_nodes, inputs, strict=True))
            args = fx.map_arg(node.args, by_node.__getitem__)
            kwargs = fx.map_arg(dict(node.kwargs), by_node.__getitem__)
            result = way(*args, **kwargs)
            return list(result) if isinstance(result, list | tuple) else [result]

        try:
            with mode, torch.no_grad(), unlogged():
                parts = make_fx(functionalize(run), decomposition_table=_known(len(RULES)))(*values)
        except Exception:  # whatever PyTorch says: then nothing is known of the operator
            continue
        nodes = [n for n in parts.graph.nodes if n.op == "call_function"]
        same = any(operator_name(n) == operator_name(node) for n in nodes)
        if not same and all(_writes_alone(n) for n in nodes if is_in_place(n)):
            return parts
    return None


def _writes_alone(node: fx.Node) -> bool:
    """Whether nothing else sees the memory that an operator writes into."""
    written = node.args[0]
    if not isinstance(written, fx.Node) or written.op != "call_function":
        return False
    if is_in_place(written):
        return _writes_alone(written)
    made = written.args[0] if written.target is operator.getitem else written
    schema = getattr(getattr(made, "target", None), "_schema", None)
    aliases = schema is None or any(value.alias_info is not None for value in schema.returns)
    return not aliases and all(user is node or user > node for user in written.users)
