"""Spaces as a table that a person reads."""

import os
from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table

from toroids.symmetry.space import Space

WIDTH = 100
SHOWN = 3  # layers named in one cell; a residual stream is written by dozens


def table(spaces: Sequence[Space], below: Sequence[str]) -> str:
    """Lists spaces one per row, with further lines below.

    Args:
        spaces: what to list.
        below: lines under the table, wrapped where they are long.

    Returns:
        Plain text, at most 100 columns wide. In a row, "." stands for what all its names begin
        with.
    """
    rows = Table(box=None)
    for name in ("space", "size", "copies", "actions", "written by", "read by"):
        rows.add_column(name, overflow="fold")  # names are wrapped, never cut
    for space in spaces:
        prefix = _common_prefix([leg.operator for leg in space.legs])
        rows.add_row(
            space.name,
            str(space.size),
            str(space.copies),
            _actions(space),
            _operators(space, "write", prefix),
            _operators(space, "read", prefix),
        )
    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None, markup=False, highlight=False)
    console.print(rows)
    for line in below:
        console.print(line)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _common_prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to a dot; nothing where a name would vanish."""
    return os.path.commonprefix(list(names)).rpartition(".")[0]


def _actions(space: Space) -> str:
    """The actions; several generators of one are counted."""
    parts = []
    for action in sorted(space.actions):
        count = len([g for g in space.generators if g.action == action])
        parts.append(f"{action} x{count}" if count > 1 else action)
    return ", ".join(parts)


def _operators(space: Space, role: str, prefix: str) -> str:
    names = list(dict.fromkeys(leg.operator for leg in space.legs if leg.role == role))
    shown = [name.removeprefix(prefix) for name in names[:SHOWN]]
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return " ".join([*shown, *more])
