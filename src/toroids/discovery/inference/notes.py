"""What a person is told of a module's spaces: what was given up, why, and what it costs."""

from collections.abc import Sequence

import numpy as np

from toroids.discovery.axes import SCALE, SIGN
from toroids.discovery.axes.constraints import Ids
from toroids.discovery.inference.assemble import Assembly
from toroids.discovery.inference.in_place import is_expected, kept_in_place
from toroids.symmetry.space import Space


def notes_of(assembly: Assembly, spaces: Sequence[Space]) -> list[str]:
    """What was given up and what it costs.

    Args:
        assembly: what is known of a module.
        spaces: all that moves.

    Returns:
        Sentences, each once.
    """
    orbits, inference, program = assembly.orbits, assembly.inference, assembly.program
    c = inference.constraints

    def innermost(places: Ids) -> set[int]:
        """The cells that move places, without those around them."""
        cells = np.unique(orbits.cell[orbits.unit[places]]).tolist()
        return {orbits.chain[cell][-1] for cell in cells if cell >= 0}

    notes = list(dict.fromkeys(orbits.pinned))
    unit = orbits.unit
    costs: dict[str, int] = {}
    for loss in [*c.losses, *(order for order in c.orders if not is_expected(order.reason))]:
        lost = np.unique(unit[loss.places])
        touched = 0
        for value in inference.parameters.values():
            touches = any(np.isin(unit[b.places], lost).any() for b in value.bundles)
            touched += int(np.prod(value.shape, dtype=np.int64)) if touches else 0
        costs[loss.reason] = max(costs.get(loss.reason, 0), touched)
    notes += [
        f"pinned: {reason}; this keeps {count} parameters from moving along what it reads"
        for reason, count in costs.items()
        if count
    ]
    notes += [
        f"a space of {orbits.size[cell]} units has {count} families of scales, flips or "
        "shifts, each on entries of its own; they are left in place, only permutations are told"
        for cell, count in assembly.many.items()
    ]
    notes += [
        f"in place: {len(held)} positions along axis {axis} of `{name}` meet nothing but zeros"
        for (name, axis, _), held in assembly.idle.items()
    ]
    turned = {(leg.tensor, leg.axis) for s in spaces if s.of("phase") for leg in s.legs}
    notes += kept_in_place(program, inference, orbits, costs, turned)
    tied = {x for places in c.ties for x in innermost(places)}
    notes += [
        f"no flips of `{name}`: sums before its sign may be exactly zero, whose sign stays; "
        "an odd number of signs, or a learned real threshold, never is"
        for name, cell in assembly.cells.items()
        if cell in tied
    ]
    stopped = [(x.reason, innermost(x.places)) for x in c.stopped]
    notes += dict.fromkeys(
        f"no rescaling of `{name}`: {reason}"
        for name, cell in assembly.cells.items()
        for reason, cells in stopped
        if cell in cells and not assembly.found[cell][SCALE]
    )
    given = [(g.reason, innermost(g.places)) for g in c.given]
    notes += dict.fromkeys(
        f"flips of `{name}` are granted where {reason}"
        for name, cell in assembly.cells.items()
        for reason, cells in given
        if cell in cells and assembly.found[cell][SIGN]
    )
    chosen = [(x.reason, innermost(x.places)) for x in c.chosen]
    notes += dict.fromkeys(
        f"permutations of `{name}` are granted where no two of the numbers by which {reason} "
        "chooses are equal"
        for name, cell in assembly.cells.items()
        for reason, cells in chosen
        if cell in cells
    )
    used = {name for first in inference.parameters for name in program.aliases.get(first, (first,))}
    idle = sorted(program.parameters - used)
    if idle:
        shown = ", ".join(f"`{name}`" for name in idle[:5])
        more = f" and {len(idle) - 5} more" if len(idle) > 5 else ""
        notes.append(f"unused in evaluation: {shown}{more}")
    return notes
