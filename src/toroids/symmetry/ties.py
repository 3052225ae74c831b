"""Whether what a sign looks at can ever be exactly zero, where flipping a unit is no symmetry.

The sign of the library has no zero: +1 stands for a sum that cancels, whichever way its terms were
flipped. A sum of an odd number of odd integers never cancels; neither does one that a learned real
threshold moves, as almost no threshold hits it. Nothing else is taken for granted.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor, fx

from toroids.symmetry.trace import Source, operator_name

# Every entry is an odd integer; an even one; or not zero, for almost all parameters.
Kind: TypeAlias = Literal["odd", "even", "nonzero"]

ARRANGED = {
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "unsqueeze", "squeeze",
    "clone", "contiguous", "dropout", "alias", "detach", "select", "slice", "expand", "t", "neg",
    "max_pool1d", "max_pool2d", "index_select", "to", "_to_copy", "_unsafe_view",
}  # fmt: skip
CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"}
NORMS = {"batch_norm": 2, "layer_norm": 3, "group_norm": 3}


def never_zero(node: fx.Node, sources: Mapping[fx.Node, Source]) -> bool:
    """Whether no entry of a node's value is zero, for all inputs like the example.

    Args:
        node: of a traced graph.
        sources: what the placeholders of the outermost graph stand for.

    Returns:
        Whether that is certain, up to a null set of real parameters.
    """
    return _kind(node, sources) in ("odd", "nonzero")


def _kind(node: object, sources: Mapping[fx.Node, Source]) -> Kind | None:
    if isinstance(node, int | float):
        return _of_numbers(torch.tensor(node))
    if not isinstance(node, fx.Node):
        return None
    if node.op == "placeholder":
        return _of_source(sources.get(node))
    if node.op != "call_function":
        return None
    library, _, name = operator_name(node).partition("::")
    name = name.removesuffix("_")
    if name == "sign" and library == "toroids":
        return "odd"
    inputs = [_kind(a, sources) for a in node.args]
    first = inputs[0] if inputs else None
    if library != "aten":
        return None
    if name in ("sign", "sgn"):
        return "odd" if first in ("odd", "nonzero") else None
    if name in ARRANGED:
        return first
    if name in ("linear", "matmul", "mm", "bmm") or name in CONVOLUTIONS:
        return _of_contraction(node, name, sources)
    if name in ("add", "sub"):
        return _of_sum(node, inputs, sources)
    if name == "mul":
        return _of_product(inputs)
    if name == "div":
        return "nonzero" if first in ("odd", "nonzero") and inputs[1] is not None else None
    if name == "sum":
        return _repeated(first, _size(node.args[0]) // max(_size(node), 1))
    if name == "cat":
        parts = node.args[0]
        kinds = {_kind(part, sources) for part in parts} if isinstance(parts, list | tuple) else {}
        return kinds.pop() if isinstance(kinds, set) and len(kinds) == 1 else None
    if name in NORMS and len(node.args) > NORMS[name]:
        return "nonzero" if _is_parameter(node.args[NORMS[name]], sources) else None
    return None


def _of_source(source: Source | None) -> Kind | None:
    if source is None or not isinstance(source.value, Tensor):
        return None
    if source.kind == "parameter":
        return "nonzero"
    return _of_numbers(source.value)


def _of_numbers(values: Tensor) -> Kind | None:
    """What known numbers, or the example of an input, show."""
    if values.numel() == 0 or values.is_complex():
        return None
    rest = values.detach().double().remainder(2)
    if bool((rest == 1).all()):
        return "odd"
    if bool((rest == 0).all()):
        return "even"
    return "nonzero" if values.numel() == 1 else None  # a factor; not a hidden value


def _of_contraction(node: fx.Node, name: str, sources: Mapping[fx.Node, Source]) -> Kind | None:
    a, b = (_kind(x, sources) for x in node.args[:2])
    bias = node.args[2] if len(node.args) > 2 else None
    if bias is not None and _is_parameter(bias, sources):
        return "nonzero"  # a real threshold
    shape = node.args[1].meta["val"].shape  # type: ignore[union-attr]
    if name in CONVOLUTIONS:
        padding = node.args[4] if len(node.args) > 4 else node.kwargs.get("padding", 0)
        if padding not in (0, "valid") and any(padding):  # type: ignore[arg-type]
            return None  # zeros at the border
        fan_in = int(torch.Size(shape[1:]).numel())
    else:
        fan_in = int(shape[-1] if name == "linear" else shape[-2])
    integers = ("odd", "even")
    if a in integers and b in integers:
        total = _repeated("odd" if a == b == "odd" else "even", fan_in)
    else:
        total = "nonzero" if a == "odd" and b == "nonzero" else None
    if bias is None:
        return total
    return _parity(total, _kind(bias, sources))


def _of_sum(
    node: fx.Node, inputs: list[Kind | None], sources: Mapping[fx.Node, Source]
) -> Kind | None:
    if node.kwargs.get("alpha", 1) != 1 or len(inputs) < 2:
        return None
    if any(_is_parameter(a, sources) for a in node.args[:2]):
        return "nonzero"
    return _parity(inputs[0], inputs[1])


def _of_product(inputs: list[Kind | None]) -> Kind | None:
    if None in inputs:
        return None
    if "nonzero" in inputs:
        return None if "even" in inputs else "nonzero"
    return "even" if "even" in inputs else "odd"


def _parity(a: Kind | None, b: Kind | None) -> Kind | None:
    if a not in ("odd", "even") or b not in ("odd", "even"):
        return None
    return "even" if a == b else "odd"


def _repeated(kind: Kind | None, times: int) -> Kind | None:
    """The sum of so many entries."""
    if kind == "odd":
        return "odd" if times % 2 else "even"
    return "even" if kind == "even" else None


def _is_parameter(node: object, sources: Mapping[fx.Node, Source]) -> bool:
    """Whether a node is a real parameter as it stands."""
    source = sources.get(node) if isinstance(node, fx.Node) else None
    return source is not None and source.kind == "parameter"


def _size(node: object) -> int:
    return int(node.meta["val"].numel()) if isinstance(node, fx.Node) else 1
