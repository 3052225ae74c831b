"""Spaces of rotary pairs: features of queries and keys that positions turn two by two.

A rotary embedding multiplies pairs of entries, as complex numbers, by exp(i w t) at position t, and
scores are real parts of q conj(k). They see no complex number z per pair that queries are
multiplied by and keys are divided by, conjugated. How pairs lie, and how the angles come about,
does not matter: pairs are found in the sparse linear maps that a module makes of its projections
(`linear_values`, `pairs`).
"""

import operator
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import guard_or_false

from toroids.discovery.matrices.linear_rules import RULES
from toroids.discovery.matrices.linear_values import Failed, Meetings, Walk
from toroids.discovery.matrices.maps import Features
from toroids.discovery.matrices.pair_spaces import PairSpaces
from toroids.discovery.matrices.pairs import units_of
from toroids.discovery.tracing.draws import drawn_inputs, drawn_params
from toroids.discovery.tracing.example import Example
from toroids.discovery.tracing.explore import Explored
from toroids.discovery.tracing.operators import attribute, body, is_block, operator_name
from toroids.discovery.tracing.program import Program
from toroids.symmetry.space import Space

POINTS = 4  # sizes of the inputs at which every program is followed, of the smallest ones
# Operators that multiply entry by entry.
MULTIPLYING = ("aten::mul", "aten::addcmul", "aten::div", "aten::multiply")
FAR = 4096  # positions that no example has are drawn up to here


@dataclass(frozen=True)
class RotaryPairs:
    """What rotary pairs add to a group.

    Attributes:
        spaces: all, those of pairs last; what pairs say already is said nowhere else.
        conditions: buffers whose numbers make rotations of what would be none otherwise.
        notes: what was left in place.
    """

    spaces: tuple[Space, ...]
    conditions: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def rotary_pairs(explored: Explored, spaces: Sequence[Space]) -> RotaryPairs:
    """Finds the pairs of features that may be turned and scaled against each other.

    Args:
        explored: a traced module.
        spaces: what else acts on it.

    Returns:
        All spaces; those of pairs are within the ones that permute the heads of their keys.
    """
    generator = torch.Generator().manual_seed(0)
    features = Features()
    own, drawn = Meetings(features), Meetings(features)
    for program in explored.programs:
        learned = {n for n, source in program.sources.items() if source.kind == "parameter"}
        if not _multiplies(program.graph, learned):
            continue  # no rotation without cosines, which saves the walk
        for number, example in enumerate(_examples(explored, program)):
            _follow(program, example, (own, drawn), generator, often=number == 0)
    found = units_of(own)
    if not found:
        return RotaryPairs(tuple(spaces))
    drawn.add(own)
    always = set(units_of(drawn))
    rest = [unit for unit in found if unit not in always]
    fed = {name for unit in rest for pair in unit for name in own.fed.get(pair.holder, ())}
    moved = sorted(fed & {leg.tensor for space in spaces for leg in space.legs})
    if moved:  # what exchanges pairs in such a buffer as well says less than phases do
        still = _without(spaces, moved)
        made = PairSpaces(explored.main, still)
        made.add([unit for unit in found if unit in always])
        made.add(rest)
        if not made.notes and still:
            return RotaryPairs(tuple(made.all()), frozenset(fed))
    made = PairSpaces(explored.main, spaces)
    made.add([unit for unit in found if unit in always])
    if moved:
        made.notes.append(
            f"pairs that turn as long as `{moved[0]}` holds the same numbers stay in place, for "
            "other symmetries move these"
        )
        return RotaryPairs(tuple(made.all()), notes=tuple(made.notes))
    made.add(rest)
    return RotaryPairs(tuple(made.all()), frozenset(fed), tuple(made.notes))


def _without(spaces: Sequence[Space], tensors: Collection[str]) -> list[Space]:
    """Spaces that leave tensors as they are; none where others lie within those that do not."""
    still = [s for s in spaces if not any(leg.tensor in tensors for leg in s.legs)]
    names = {space.name for space in still}
    return still if all(names.issuperset(space.within) for space in still) else []


def _multiplies(graph: fx.GraphModule, learned: Collection[str]) -> bool:
    """Whether a graph multiplies what parameters write by numbers that may turn it.

    Args:
        graph: operators.
        learned: names of the placeholders that depend on parameters.

    Returns:
        Whether it does.
    """
    return any(_multiplied(graph, learned, []))


def _multiplied(
    graph: fx.GraphModule, learned: Collection[str], outputs: list[bool]
) -> Iterator[bool]:
    """For every product whether it may turn; says which outputs depend on parameters."""
    writes: set[fx.Node] = set()
    blocks: dict[fx.Node, list[bool]] = {}
    for node in graph.graph.nodes:
        if node.op == "placeholder" and node.name in learned:
            writes.add(node)
        elif node.op == "output":
            outputs += [x in writes for x in node.args[0]]
        elif node.op != "call_function" or writes.isdisjoint(node.all_input_nodes):
            continue
        elif is_block(node):
            whole = [
                attribute(graph, a.target) if isinstance(a, fx.Node) and a.op == "get_attr" else a
                for a in node.args
            ]
            inner, given = body(whole)
            names = [n.name for n in inner.graph.nodes if n.op == "placeholder"]
            own = {n for n, x in zip(names, given, strict=True) if x in writes}
            blocks[node] = []
            yield from _multiplied(inner, own, blocks[node])
            writes.add(node)
        elif node.args[0] in blocks and node.target is operator.getitem:
            if blocks[node.args[0]][node.args[1]]:
                writes.add(node)
        else:
            writes.add(node)
            if operator_name(node).rstrip("_") in MULTIPLYING:
                others = [n for n in node.all_input_nodes if n not in writes]
                yield any(_varies(n.meta.get("val")) for n in others)


def _varies(value: Any) -> bool:
    """Whether numbers may turn what they multiply: all that are not one for everything."""
    return isinstance(value, Tensor) and not all(guard_or_false(s == 1) for s in value.shape)


def _examples(explored: Explored, program: Program) -> list[Example]:
    points = [point.example for point in explored.points if point.program is program]
    points = points or [program.example]
    points.sort(key=operator.attrgetter("entries"))
    return points[:POINTS][::-1]


def _follow(
    program: Program,
    example: Example,
    found: tuple[Meetings, Meetings],
    generator: torch.Generator,
    often: bool,
) -> None:
    """Follows a program at inputs and buffers as they are, like them, and far."""
    own, drawn = found
    near = example.with_tensors(drawn_inputs(example.tensors, generator))
    for inputs in (example, near) if often else (example,):
        Walk(program, inputs, {}, own, RULES, generator)
    if not own.verdicts:
        return
    values = {s.name: s.value for s in program.sources.values() if s.kind == "buffer"}
    buffers = drawn_params(values, {}, (), generator)
    Walk(program, near, buffers, drawn, RULES, generator)
    if not often:
        return
    far = [
        x if x.is_floating_point() or x.dtype == torch.bool
        else torch.randint(FAR, x.shape, generator=generator).to(x.dtype)
        for x in near.tensors
    ]  # fmt: skip
    trial = Meetings(own.features)
    try:
        Walk(program, example.with_tensors(far), buffers, trial, RULES, generator, strict=True)
    except Failed:  # as at a position that is no row of a table
        return
    drawn.add(trial)
