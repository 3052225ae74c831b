"""Greedy alignment, the published method: layer by layer from the input, one pass.

For every space in topological order, with u_i and v_j the incoming vectors of the two networks'
units (the inputs of v already permuted by the spaces before), the permutation maximises the
summed cosine similarities

    sum_i <u_i, v_p(i)> / (||u_i|| ||v_p(i)||)

by a linear assignment. What reads a unit is not looked at: that is why one pass is fast and weak.
Where a unit can change its sign together with the gain of a norm behind it, the gain counts as one
more entry: two filters that are alike up to a sign differ in what they let through. So do weights
that take a sign of the unit's which its writer does not take, as those behind a gate.
Where what writes a space depends on spaces that come later, as in recurrent layers and residual
streams with tied embeddings, the weights that meet no such space count instead, and spaces that
have none wait for the others. Where phases turn what heads hold, keys tell the phases first, and
then queries the heads.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TypeAlias

from toroids.align.block import (
    Block,
    Part,
    Pattern,
    Rows,
    Table,
    blocks,
    cosines,
    products,
    rows_of,
)
from toroids.align.choose import Choice, choose
from toroids.align.position import Position
from toroids.align.problem import Found, Problem
from toroids.align.sketch import is_sketched, sketched
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Leg, Space, carried_twice, overlap

Meets: TypeAlias = Mapping[Leg, set[str]]  # for every leg the names of the spaces on its entries


def greedy(problem: Problem) -> Found:
    """Finds the element that brings a network close to another in one pass.

    Args:
        problem: the two networks.

    Returns:
        An element of permutations, signs and orthogonal matrices; it can be worse than none.
    """
    position, done = walked(problem)
    return Found(position.element, 1, done, "greedy")


def walked(
    problem: Problem, position: Position | None = None, held: Set[str] = frozenset()
) -> tuple[Position, bool]:
    """Where greedy alignment leads.

    Args:
        problem: the two networks.
        position: where to begin; it is moved. At the start when None.
        held: names of spaces that are taken to be right, and left.

    Returns:
        The network that has moved, and whether the walk got to its end.
    """
    group, effort = problem.group, problem.effort
    position = problem.position() if position is None else position
    all_blocks = [block for block in blocks(group) if block.space.name not in held]
    moving = {s.name for block in all_blocks for s in block.spaces}
    known = {space.name for space in group.spaces} - moving
    meets = _meetings(group, all_blocks)
    waits = list(all_blocks)
    while waits:
        if effort.over:
            return position, False
        effort.tell("greedy", len(all_blocks) - len(waits), len(all_blocks))
        block = next((b for b in waits if _is_told(group, meets, b, known)), waits[0])
        waits.remove(block)
        known |= {space.name for space in block.spaces}
        later = _beside_phases(block)
        for waiting in (later, set[str]()) if later else (later,):
            rows = rows_of(problem.reference, position.tensors)
            choice = _clear(group, meets, block, known, rows) if is_sketched(block) else None
            if choice is None:
                choice = choose(block, _tables(group, meets, block, known, waiting, rows))
            for space, step in choice.steps:
                position.move(space, step)
    return position, True


def _meetings(group: SymmetryGroup, all_blocks: Sequence[Block]) -> Meets:
    """For every leg that counts which spaces move any of its entries."""
    on: dict[str, list[tuple[str, Leg]]] = {}
    for space in group.spaces:
        for leg in space.legs:
            on.setdefault(leg.tensor, []).append((space.name, leg))
    counted = {leg for block in all_blocks for legs in block.legs.values() for leg in legs}
    return {
        x: {name for name, leg in on[x.tensor] if overlap(x, leg, group.shapes)} for x in counted
    }


def _is_told(group: SymmetryGroup, meets: Meets, block: Block, known: set[str]) -> bool:
    """Whether every space of a block has weights that meet no space but known ones and its own."""
    known = known | {space.name for space in block.spaces}
    return all(_settled(group, meets, block, space, known) for space in block.spaces)


def _tables(
    group: SymmetryGroup, meets: Meets, block: Block, known: set[str], waiting: set[str], rows: Rows
) -> dict[str, Table]:
    """What tells the units of a block apart, but for spaces that wait."""
    tables: dict[str, Table] = {}
    beside = [leg for name in _beside_phases(block) for leg in block.legs[name]]
    for space in block.spaces:
        telling = [] if space.name in waiting else _telling(group, meets, block, space, known)
        if space.of("phase"):  # told by keys: of queries one knows the places after the phases only
            keys = [
                x
                for x in block.legs[space.name]
                if not any(overlap(x, y, group.shapes) for y in beside)
            ]
            telling = [leg for leg in telling if leg in keys] or keys
        parts = [(block.legs[space.name][leg], *rows(space, leg)) for leg in telling]
        turns, inner = bool(space.matrix or space.of("phase")), space is not block.space
        # of one number per unit, as a bias, the cosine is a sign, by which units tie
        single = sum(a.shape[2] for _, a, _ in parts) == 1
        plain = turns or inner or single
        tables[space.name] = products(parts, inner) if plain else cosines(parts)
    return tables


def _clear(
    group: SymmetryGroup, meets: Meets, block: Block, known: set[str], rows: Rows
) -> Choice | None:
    """The best choice on one space of many units, if sketches tell it."""
    space = block.space
    telling = _telling(group, meets, block, space, known)

    def parts() -> Iterator[Part]:
        return ((block.legs[space.name][leg], *rows(space, leg)) for leg in telling)

    return sketched(block, parts, cosine=True)


def _beside_phases(block: Block) -> set[str]:
    """The spaces of a block that permute what phases turn: queries, while keys tell the phases."""
    turned = {x.tensor for s in block.spaces if s.of("phase") for x in block.legs[s.name]}
    return {
        space.name
        for space in block.spaces
        if space is not block.space and not space.matrix and not space.of("phase")
        and turned & {leg.tensor for leg in block.legs[space.name]}
    }  # fmt: skip


def _telling(
    group: SymmetryGroup, meets: Meets, block: Block, space: Space, known: set[str]
) -> Sequence[Leg]:
    """The legs that count: what writes the units, or what meets no space but known ones."""
    legs = block.legs[space.name]
    settled = _settled(group, meets, block, space, known)
    if space.of("rotate"):  # a matrix takes as many weights as there are to be determined
        return settled or list(legs)
    writer = [leg for leg in space.writer if leg in legs]
    # gains of a norm, one number per unit, tell units apart less well than an embedding behind it
    telling = any(len(group.shapes[leg.tensor]) > 1 for leg in writer)
    if telling and set(writer) <= set(settled):
        return [*writer, *_telling_signs(space, legs, writer, settled)]
    return settled or writer or list(legs)


def _telling_signs(
    space: Space, legs: Mapping[Leg, Pattern], writer: Sequence[Leg], settled: Sequence[Leg]
) -> list[Leg]:
    """What else tells signs: the gains of norms, and whatever takes those that no writer takes."""
    gains = {norm.weight for norm in space.norms}
    untold = [i for i in range(len(space.of("flip"))) if not any(legs[x][i] for x in writer)]
    return [
        leg
        for leg in settled
        if leg not in writer
        and any(legs[leg][i] for i in (range(len(legs[leg])) if leg.tensor in gains else untold))
    ]


def _settled(
    group: SymmetryGroup, meets: Meets, block: Block, space: Space, known: set[str]
) -> list[Leg]:
    """The legs of weights that meet no space but known ones, and this one once."""
    twice = carried_twice(space, group.shapes)
    legs = block.legs[space.name]
    return [x for x in legs if meets[x] <= known and x.tensor not in twice]
