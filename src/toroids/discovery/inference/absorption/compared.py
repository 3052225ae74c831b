"""Which parameters are only compared with each other: what is followed to a softmax."""

from collections.abc import Iterator
from operator import getitem

from torch import fx

from toroids.discovery.inference.absorption.run import ARRANGING, KEEPING
from toroids.discovery.inference.absorption.tables import MOST
from toroids.discovery.tracing.operators import operator_name, short_name
from toroids.discovery.tracing.program import Program

COMPARING = ("softmax", "log_softmax", "_softmax", "_log_softmax", "_safe_softmax")
SCALING = ("mul", "div", "neg")
# These put numbers where a mask says so, and which argument is kept elsewhere.
MASKING = {"where": 1, "masked_fill": 0}
CONVOLUTIONS = tuple(f"conv{n}d" for n in (1, 2, 3))
TRANSPOSED = tuple(f"conv_transpose{n}d" for n in (1, 2, 3))
# Operators with a bias, and where among their arguments it is.
BIASED = {"linear": 2, "addmm": 0, **dict.fromkeys((*CONVOLUTIONS, *TRANSPOSED), 2)}
# Maps, where among their arguments their weight is, and along which of its axes it writes.
WEIGHED = {
    **dict.fromkeys(("linear", *CONVOLUTIONS), (1, 0)),
    **dict.fromkeys(("matmul", "mm", *TRANSPOSED), (1, 1)),
    "addmm": (2, 1),
}
ADDING = ("add", "sub", "rsub")
# What takes up what is added to all that it reduces.
REDUCING = ("mean", "amax", "amin", "logsumexp")


def candidates(program: Program) -> Iterator[tuple[str, int | None]]:
    """Parameters that are only arranged, scaled and added to others before they are compared.

    Args:
        program: a traced module.

    Yields:
        The name, and of a weight that writes what is compared the axis along which it does.
    """
    for node in program.graph.graph.nodes:
        source = program.sources.get(node.name) if node.op == "placeholder" else None
        if source is None or source.kind != "parameter" or source.name in program.mutated:
            continue
        if 1 < source.value.numel() <= MOST and node.users and _is_compared(node):
            writes = {written_axis(user, node) for user in node.users}
            if len(writes) == 1:
                yield source.name, writes.pop()


def written_axis(user: fx.Node, node: fx.Node) -> int | None:
    """The axis along which a parameter, as the weight of an operator, writes its result."""
    if user.op != "call_function" or node.op != "placeholder" or user.kwargs:
        return None
    name = operator_name(user).removeprefix("aten::")
    position, axis = WEIGHED.get(name, (-1, 0))
    held = [at for at, given in enumerate(user.args) if given is node]
    groups = user.args[6] if name.startswith("conv") and len(user.args) > 6 else 1
    plain = groups == 1 and (name != "matmul" or node.meta["val"].ndim == 2)
    return axis if held == [position] and plain else None


def _is_reduced(node: fx.Node) -> bool:
    return node.op == "call_function" and short_name(node) in REDUCING


def _is_compared(node: fx.Node) -> bool:
    for user in node.users:
        name = operator_name(user) if user.op == "call_function" else ""
        short = name.removeprefix("aten::")
        if short in COMPARING or (short in ADDING and any(map(_is_reduced, user.all_input_nodes))):
            continue
        passes = name in ARRANGING | KEEPING or user.target is getitem
        passes = passes or short in SCALING + ADDING + REDUCING
        if short in BIASED:
            held = [at for at, given in enumerate(user.args) if given is node]
            named = [key for key, given in user.kwargs.items() if given is node]
            passes = (held, named) in (([BIASED[short]], []), ([], ["bias"]))
        passes = passes or written_axis(user, node) is not None or masks(user, node)
        if not (passes and user.users and _is_compared(user)):
            return False
    return True


def masks(user: fx.Node, node: fx.Node) -> bool:
    """Whether an operator masks a value of which only softmaxes look at the rest."""
    position = MASKING.get(short_name(user)) if user.op == "call_function" else None
    held = [at for at, given in enumerate(user.args) if given is node]
    return held == [position] and all(map(_only_compares, user.users))


def _only_compares(node: fx.Node) -> bool:
    if node.op != "call_function":
        return False
    arranges = operator_name(node) in ARRANGING and bool(node.users)
    return short_name(node) in COMPARING or (arranges and all(map(_only_compares, node.users)))
