"""Which legs write the outputs, and whether what their reader cannot see may be removed."""

from collections.abc import Sequence
from typing import Any

from torch import fx

from toroids.discovery.tracing.operators import SIGNS, operator_name
from toroids.discovery.tracing.program import Program
from toroids.symmetry.space import Leg, Output, OutputMode

# What may stand between the last layer and the outputs: linear in the logits, class by class.
POOLING = (
    "aten::view", "aten::reshape", "aten::flatten", "aten::squeeze", "aten::mean", "aten::dropout",
    "aten::adaptive_avg_pool2d", "aten::avg_pool2d", "aten::adaptive_avg_pool1d", "aten::clone",
    "aten::contiguous", "aten::softmax", "aten::log_softmax", "aten::to", "aten::_to_copy",
)  # fmt: skip


def output_of(programs: Sequence[Program], mode: OutputMode) -> tuple[Output, tuple[str, ...]]:
    """Finds the layer that writes the outputs.

    Args:
        programs: the module, as it was traced.
        mode: what the reader of the outputs cannot see.

    Returns:
        The output and, where nothing may be removed, a note that says why.
    """
    if mode == "values":
        return Output(), ()
    found = [_writers(program) for program in programs]
    legs, why = next((f for f in found if not f[0]), found[0])
    if any(f[0] != legs for f in found):
        legs, why = (), "another layer writes them on inputs of other sizes"
    if not legs:
        return Output(), (f"output: nothing is removed for {mode!r}, because {why}",)
    return Output(mode, legs), ()


def _writers(program: Program) -> tuple[tuple[Leg, ...], str]:
    nodes: list[Any] = list(program.graph.graph.nodes)
    returned = [
        node
        for node, name in zip(nodes[-1].args[0], program.outputs, strict=True)
        if name is not None and isinstance(node, fx.Node)
    ]
    if len(returned) != 1:
        return (), f"the module returns {len(returned)} tensors (name one with output_key)"
    node: Any = returned[0]
    while node.op == "call_function" and operator_name(node) in POOLING:
        node = node.args[0]
    if _of_signs(node):
        return (), "only the signs of the weights that write the outputs are read"
    names = ("aten::linear", "aten::addmm", "aten::conv1d", "aten::conv2d")
    if node.op != "call_function" or operator_name(node) not in names:
        what = operator_name(node) if node.op == "call_function" else "an input"
        return (), f"the outputs are written by {what}, not by a linear layer"
    product = operator_name(node) == "aten::addmm"
    held = (node.args[2], node.args[0]) if product else node.args[1:3]
    legs = []
    for position, tensor in enumerate(held):
        if tensor is None:
            continue
        transposed = product and position == 0
        if transposed and tensor.op == "call_function":
            tensor, transposed = tensor.args[0], False
        source = program.sources.get(tensor.name)
        if source is None or source.kind != "parameter" or len(tensor.users) != 1:
            return (), "what writes the outputs is no parameter, or something else reads it too"
        if source.name in program.aliases:
            return (), f"`{source.name}` is tied to another parameter"
        shape = program.shapes[source.name]
        axis = 1 if transposed else 0
        if shape[axis] < 2:
            return (), f"it needs two or more classes, got {shape[axis]}"
        legs.append(Leg(source.name, axis, "write", source.name.rpartition(".")[0] or source.name))
    return tuple(legs), ""


def _of_signs(node: Any) -> bool:
    """Whether a layer whose weights are signs writes a value, up to a factor."""
    while node.op == "call_function" and operator_name(node) in ("aten::mul", "aten::div"):
        node = node.args[0]
    read = node.all_input_nodes[1:] if node.op == "call_function" else []
    return any(n.op == "call_function" and operator_name(n) in SIGNS for n in read)
