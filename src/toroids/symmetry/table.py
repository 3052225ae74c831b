"""Spaces as a table that a person reads."""

from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table

from toroids.symmetry.space import Space

WIDTH = 100


def table(spaces: Sequence[Space], below: Sequence[str]) -> str:
    """Lists spaces one per row, with further lines below.

    Args:
        spaces: what to list.
        below: lines under the table, wrapped where they are long.

    Returns:
        Plain text, at most 100 columns wide.
    """
    rows = Table(box=None)
    for name in ("space", "size", "copies", "actions", "written by", "read by"):
        rows.add_column(name, overflow="fold")  # names are wrapped, never cut
    for space in spaces:
        rows.add_row(
            space.name,
            str(space.size),
            str(space.copies),
            ", ".join(sorted(space.actions)),
            _operators(space, "write"),
            _operators(space, "read"),
        )
    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None, markup=False, highlight=False)
    console.print(rows)
    for line in below:
        console.print(line)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _operators(space: Space, role: str) -> str:
    return " ".join(dict.fromkeys(leg.operator for leg in space.legs if leg.role == role))
