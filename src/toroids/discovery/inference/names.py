"""What operators leave of numbers that name places along an axis, and of what shifts have added."""

from dataclasses import replace
from typing import Any

from toroids.discovery import axes
from toroids.discovery.axes import Value
from toroids.discovery.axes.constraints import Constraints

# Operators whose rules pass on what shifts have added, for a softmax that may not see it.
CARRIES_LOOSE = {
    f"aten::{name}"
    for name in (
        "add", "sub", "rsub", "mul", "div", "linear", "matmul", "mm", "bmm", "einsum", "baddbmm",
        "addmm", "view", "reshape", "flatten", "unflatten", "permute",
        "transpose", "unsqueeze", "squeeze", "to", "_to_copy", "clone", "contiguous", "dropout",
        "expand", "where", "masked_fill", "softmax", "_softmax", "log_softmax", "_log_softmax",
        "_safe_softmax", "neg", "_unsafe_view", "scaled_dot_product_attention", "detach", "alias",
        "movedim", "swapaxes", "t", "mT", "numpy_T", "topk", "sort",
    )
}  # fmt: skip
# Operators that give the same entries in another shape.
ARRANGED = {
    f"aten::{name}"
    for name in (
        "view", "reshape", "_unsafe_view", "flatten", "unflatten", "permute", "transpose", "t",
        "numpy_T", "mT", "movedim", "unsqueeze", "squeeze", "clone", "contiguous", "detach",
        "alias", "to", "_to_copy", "sort", "argsort",
    )
}  # fmt: skip
SHAPED = {
    f"aten::{name}"
    for name in ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze")
}
COPIED = {f"aten::{name}" for name in ("clone", "contiguous", "detach", "alias", "to", "_to_copy")}
# Operators whose rules know that numbers name places along an axis.
KNOWS_NAMES = ARRANGED | {"transformers::grouped_mm_fallback"} | {
    f"aten::{name}"
    for name in (
        "expand", "slice", "select", "split", "split_with_sizes", "chunk", "unbind", "narrow",
        "index", "index_select", "gather", "scatter", "scatter_add", "index_add", "index_copy",
        "index_put", "one_hot", "eq", "histc", "_grouped_mm", "cat", "concat", "concatenate",
        "embedding",
    )
}  # fmt: skip
MAKES_NAMES = {
    f"aten::{name}" for name in ("sort", "argsort", "arange", "cumsum", "index_put", "scatter")
}


def renamed(c: Constraints, name: str, value: Any) -> Any:
    """What an operator leaves of what is known of names and counts of them."""
    if not isinstance(value, Value):
        return value
    value = axes.keep_rows(c, value)
    name = name.removesuffix("_")
    if value.counts is not None and name not in COPIED | {"aten::histc"}:
        value = replace(value, counts=None)
    if value.names is None or name in MAKES_NAMES or name in COPIED:
        return value
    kind = "index" if value.names.kind == "order" else value.names.kind
    key = value.names.key if name in ARRANGED else object()
    rows = value.names.rows if name in SHAPED else object()
    return replace(value, names=replace(value.names, kind=kind, key=key, rows=rows))
