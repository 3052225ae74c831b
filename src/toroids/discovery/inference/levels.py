"""Where numbers are made equal that were not: what chooses among them by size then takes the first.

A permutation moves what is chosen among entries that differ. Where some are equal by design, as all
that a ReLU cuts off, their places decide, and no permutation passes.
"""

from torch import fx

from toroids.discovery.inference.ties import ARRANGED, COMPARISONS
from toroids.discovery.tracing.program import short_name

# Operators that choose places by the size of what is there.
CHOOSING = {
    "argmax", "argmin", "max", "min", "median", "nanmedian", "mode", "kthvalue", "topk", "sort",
    "argsort", "msort",
}  # fmt: skip
# Functions with steps, or flat on both sides of one number; what they give is often equal.
LEVELLING = COMPARISONS | {
    "relu", "relu6", "clamp", "clip", "clamp_min", "clamp_max", "hardtanh", "hardsigmoid",
    "threshold", "hardshrink", "softshrink", "round", "floor", "ceil", "trunc", "fix", "sign",
    "heaviside", "constant_pad_nd",
}  # fmt: skip
# What keeps equal numbers equal: other shapes, other types, functions of single entries.
KEEPING = ARRANGED | {
    "exp", "log", "log1p", "sqrt", "square", "sigmoid", "tanh", "softplus", "softmax", "_softmax",
    "log_softmax", "_log_softmax", "cat", "stack", "expand", "getitem",
}  # fmt: skip
WITH_NUMBERS = {"add", "sub", "rsub", "mul", "div", "pow"}


def levelling(node: fx.Node) -> str | None:
    """The operator that makes numbers equal among which one chooses.

    Args:
        node: an operator.

    Returns:
        The other one's name; None where `node` chooses nothing, or among numbers that differ.
    """
    if short_name(node).removesuffix("_") not in CHOOSING:
        return None
    ahead, done = [*node.all_input_nodes[:1]], set[fx.Node]()
    while ahead:
        current = ahead.pop()
        if current in done or current.op != "call_function":
            continue
        done.add(current)
        name = short_name(current).removesuffix("_")
        if name in LEVELLING:
            return name
        inputs = current.all_input_nodes
        if name in KEEPING or (name in WITH_NUMBERS and len(inputs) == 1):
            ahead += inputs
    return None
