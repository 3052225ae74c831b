"""Parameters that are read plus a number, as gains 1 + w: the sum is what scales and flips.

A forward that adds a number to a parameter wherever it reads it has the symmetries of one that
reads the sum. So the sum is treated as the parameter, and the parameter's legs say what is added.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import fx

from toroids.discovery.inference.computed_gains import computed_gains
from toroids.discovery.tracing.operators import operator_name
from toroids.discovery.tracing.program import Program

# What may stand between a parameter and the sum: the same numbers, in another type or shape.
CONVERSIONS = {
    f"aten::{name}"
    for name in (
        "to", "_to_copy", "view", "reshape", "_unsafe_view", "unsqueeze", "squeeze", "flatten",
        "clone", "contiguous", "detach", "alias", "lift_fresh_copy",
    )
}  # fmt: skip


# What is added to every entry of a parameter, by its first name.
Offsets = Mapping[str, NDArray[np.float64]]


def offsets_of(programs: Sequence[Program]) -> dict[str, NDArray[np.float64]]:
    """Finds the parameters to which the same numbers are added wherever they are read.

    Args:
        programs: one module, as it was traced.

    Returns:
        The numbers, by the parameters' first names; only of parameters with a single axis, so that
        one number of every unit is what a scale acts on.
    """
    found: dict[str, set[float]] = {}
    sizes: dict[str, int] = {}
    for program in programs:
        for node in program.graph.graph.nodes:
            source = program.sources.get(node.name) if node.op == "placeholder" else None
            if source is None or source.kind != "parameter":
                continue
            single = sum(size > 1 for size in source.value.shape) <= 1
            numbers = {number for _, number in _sums(node)} if single else {0.0}
            found[source.name] = found.get(source.name, set()) | numbers
            sizes[source.name] = source.value.numel()
    plain = {n: np.full(sizes[n], min(x)) for n, x in found.items() if _is_offset(x)}
    first, *others = (computed_gains(program)[0] for program in programs)
    alike = {
        name: numbers for name, numbers in first.items()
        if all(name in own and (own[name] == numbers).all() for own in others)
    }  # fmt: skip
    return plain | alike


def _is_offset(numbers: set[float]) -> bool:
    return len(numbers) == 1 and 0.0 not in numbers and math.isfinite(min(numbers))


def sums_with(program: Program, offsets: Offsets) -> set[fx.Node]:
    """The operators of a program that add the offsets, to parameters or to what has a bias."""
    if not offsets:
        return set()
    plain = {
        total
        for node in program.graph.graph.nodes
        if node.op == "placeholder" and program.sources[node.name].name in offsets
        for total, number in _sums(node)
        if number
    }
    return plain | {node for node, name in computed_gains(program)[1].items() if name in offsets}


def _sums(node: fx.Node) -> Iterator[tuple[fx.Node, float]]:
    """Who reads a parameter, and what number is added there; 0 for who reads it as it is."""
    for user in node.users:
        name = operator_name(user) if user.op == "call_function" else ""
        checks = user.op == "call_function" and user.meta.get("val") is None
        if name in CONVERSIONS:
            yield from _sums(user)
        elif not checks and not name.startswith("aten::sym_"):  # looks at no number
            yield user, _added(user, name)


def _added(node: fx.Node, name: str) -> float:
    if name not in ("aten::add", "aten::sub") or node.kwargs.get("alpha", 1) != 1:
        return 0.0
    first, second = node.args
    if isinstance(second, int | float):
        return -float(second) if name == "aten::sub" else float(second)
    return float(first) if isinstance(first, int | float) and name == "aten::add" else 0.0
