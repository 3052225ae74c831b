"""A symmetry group as a table that a person reads."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from toroids.symmetry.group import Space, SymmetryGroup

WIDTH = 100


def table(group: SymmetryGroup) -> str:
    """Lists the spaces of `group`, then its notes, then the totals.

    Args:
        group: the group to show.

    Returns:
        Plain text, at most 100 columns wide.
    """
    rows = Table("space", "size", "copies", "actions", "written by", "read by", box=None)
    for space in group.spaces:
        rows.add_row(
            space.name,
            str(space.size),
            str(space.copies),
            ", ".join(sorted(space.actions)),
            _operators(space, "write"),
            _operators(space, "read"),
        )
    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None)
    console.print(rows)
    for note in group.notes:
        console.print(f"note: {note}", markup=False)
    console.print(
        f"output: {group.output.mode}; discrete order 10^{group.log10_order:.1f}; "
        f"continuous dimension {group.dimension}",
        markup=False,
    )
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _operators(space: Space, role: str) -> str:
    return " ".join(dict.fromkeys(leg.operator for leg in space.legs if leg.role == role))
