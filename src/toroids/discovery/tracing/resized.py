"""A trace at sizes that it was not made at, from two traces that differ in numbers only.

A number of the graph that differs between the two is taken for a length, a product of two lengths,
a multiple or a part of such, or one that is a little more or less. What this gives at a third size
is compared with the module by who asks; where the numbers leave several readings there is no trace.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

from torch import fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from toroids.discovery.tracing.example import Example
from toroids.discovery.tracing.program import Program

NEAR = 2  # how much more or less than a length a number may be
Lengths = tuple[int, int, int]  # at the size of a trace, at that of its twin, at the new one


def resized(program: Program, example: Example) -> Program | None:
    """Reads off two traces what a third one would be.

    Args:
        program: a trace with a twin.
        example: inputs of the same structure, of other sizes.

    Returns:
        The trace with the numbers that it has there; None where they are not known.
    """
    if program.twin is None or program.twin.constants or program.lengths:
        return None
    lengths = list(_lengths(program, program.twin.program, example))
    numbers: dict[fx.Node, dict[int, int]] = {}
    for (node, position), (one, other) in program.twin.numbers.items():
        found = _read(one, other, lengths) if type(one) is type(other) is int else None
        if found is None or node.graph is not program.graph.graph:
            return None
        numbers.setdefault(node, {})[position] = found
    graph = _with(program.graph, numbers)
    return replace(program, graph=graph, example=example, twin=None, origin=program)


def _lengths(program: Program, twin: Program, example: Example) -> Iterator[Lengths]:
    """The lengths that differ between two traces, and the products of two lengths that do."""
    sizes = [(program.example.size(a), twin.example.size(a), example.size(a)) for a in example.axes]
    products = [(a[0] * b[0], a[1] * b[1], a[2] * b[2]) for a, b in combinations(sizes, 2)]
    yield from dict.fromkeys(x for x in [*sizes, *products] if x[0] != x[1])


def _read(one: int, other: int, lengths: list[Lengths]) -> int | None:
    """What a number is elsewhere; None where the lengths do not tell."""
    found = set[int]()
    for here, there, elsewhere in lengths:
        share = Fraction(one, here)
        simple = share == Fraction(other, there) and 1 in (share.numerator, share.denominator)
        if simple and (elsewhere * share).denominator == 1:
            found.add(int(elsewhere * share))
        if one - here == other - there and 0 < abs(one - here) <= NEAR:
            found.add(elsewhere + one - here)
    return found.pop() if len(found) == 1 else None


def _with(graph: fx.GraphModule, numbers: dict[fx.Node, dict[int, int]]) -> fx.GraphModule:
    """A copy of a graph with other numbers among the arguments of its operators."""
    copied, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    copied.output(copied.graph_copy(graph.graph, copies))
    for node, own in numbers.items():
        leaves, form = tree_flatten((copies[node].args, dict(copies[node].kwargs)))
        for position, number in own.items():
            leaves[position] = number
        copies[node].args, copies[node].kwargs = tree_unflatten(leaves, form)
    return fx.GraphModule(graph, copied)
