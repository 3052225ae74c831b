"""What to take out of which value of a traced module so that every space of a group is seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from toroids.discovery.inference.assemble import Assembly
from toroids.discovery.inference.examine import examine
from toroids.discovery.inference.infer import stacks_in
from toroids.discovery.inference.state import Inference
from toroids.discovery.tracing.program import Program
from toroids.errors import ToroidsError
from toroids.probe.choose import Chosen, choose
from toroids.probe.correspond import Match, correspond
from toroids.probe.gather import Layout, layout
from toroids.probe.sightings import sightings
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Space


@dataclass(frozen=True, eq=False)
class Look:
    """What to take out of one value while the graph runs.

    Attributes:
        space: whose units are seen.
        node: gives the value.
        entries: (units, entries) where the units lie in the flattened value.
        columns: what to add to those for every further position.
        signs: for every flip of the space the power that the value takes of it.
        moved_by: other spaces of the group that move the value.
    """

    space: Space
    node: fx.Node
    entries: Tensor
    columns: Tensor
    signs: tuple[float, ...]
    moved_by: frozenset[str]


def looks_of(
    program: Program, group: SymmetryGroup, observations: int
) -> dict[fx.Node, list[Look]]:
    """Plans what to take while a traced module runs.

    Args:
        program: the module.
        group: the group whose spaces are to be seen.
        observations: how many to take per unit, about.

    Returns:
        What to take, by the operator before which it is taken.

    Raises:
        ToroidsError: a space is not found in the module, or no value shows its units.
    """
    inference, assembly, matches = _matched(program, group)
    acting: dict[int, set[str]] = {}
    for name, match in matches.items():
        acting.setdefault(assembly.cells[match.name], set()).add(name)
    seen = sightings(inference, assembly)
    looks: dict[fx.Node, list[Look]] = {}
    for space in (space for space in group.spaces if space.name in matches):
        match = matches[space.name]
        cell = assembly.cells[match.name]
        chosen = choose(cell, seen.get(cell, []), assembly, set(acting))
        for before, look in _looks_at(space, match, chosen, assembly, acting, observations):
            looks.setdefault(before, []).append(look)
    return looks


def _matched(
    program: Program, group: SymmetryGroup
) -> tuple[Inference, Assembly, dict[str, Match]]:
    """What is inferred of a module, and which of its spaces are those of a group, by name."""
    failed: ToroidsError | None = None
    for inference, assembly, traced in _inferred(program):
        try:
            found = ((s.name, correspond(s, traced, program.shapes)) for s in group.spaces)
            return inference, assembly, {name: match for name, match in found if match is not None}
        except ToroidsError as error:
            failed = failed or error
    assert failed is not None
    raise failed


def _inferred(program: Program) -> Iterator[tuple[Inference, Assembly, list[Space]]]:
    """The spaces of a module, and those that it has where the members of stacks move alone."""
    assembly, traced = examine([program])
    inference = assembly.inference
    yield inference, assembly, traced
    for stacks in stacks_in([program], inference, assembly.orbits, traced):
        assembly, traced = examine([program], stacks)
        yield assembly.inference, assembly, traced


def _looks_at(
    space: Space,
    match: Match,
    chosen: Sequence[Chosen],
    assembly: Assembly,
    acting: dict[int, set[str]],
    observations: int,
) -> list[tuple[fx.Node, Look]]:
    layouts = [layout(c.sighting, assembly.orbits, match.units) for c in chosen]
    found = [(c, lay) for c, lay in zip(chosen, layouts, strict=True) if lay is not None]
    if not found:
        raise ToroidsError(
            f"no value of the traced model shows the units of space `{space.name}` each on its "
            "own; leave the space out of the group."
        )
    shares = _shares([lay for _, lay in found], observations)
    return [
        (
            c.sighting.before,
            Look(
                space=space,
                node=c.sighting.node,
                entries=torch.from_numpy(lay.entries),
                columns=torch.from_numpy(lay.columns(share)),
                signs=match.signs(c.signs),
                moved_by=frozenset(name for cell in c.moved_by for name in acting[cell]),
            ),
        )
        for (c, lay), share in zip(found, shares, strict=True)
    ]


def _shares(layouts: Sequence[Layout], observations: int) -> list[int]:
    """Divides observations evenly; what a small value does not need goes to the others."""
    shares = [0] * len(layouts)
    left = observations
    by_size = sorted(range(len(layouts)), key=lambda i: layouts[i].observations)
    for done, number in enumerate(by_size):
        fair = left // (len(layouts) - done)
        shares[number] = max(min(layouts[number].observations, fair), 1)
        left = max(left - shares[number], 0)
    return shares
