"""Rows as tidy tables: one line per value, plain columns, for data frames and spreadsheets."""

from collections.abc import Iterator, Sequence
from typing import Any

from toroids.arguments.checked import checked
from toroids.design.task import canonical_json
from toroids.statistics.claims.verdict import Claim
from toroids.statistics.map import Map
from toroids.statistics.row import Plain, Row, plain
from toroids.study.perform.kinds import KINDS
from toroids.study.rows import Run

Table = list[Plain]


@checked
def make_tables(rows: Sequence[Row]) -> dict[str, Table]:
    """Sorts the rows of a run into tables.

    Args:
        rows: as `read_rows` gives them.

    Returns:
        By name, each a list of lines with the same columns: "networks", "training" (by epoch),
        "flatness" (by noise level), "pairs", "layers" (distances by layer), "profiles" (by
        position), "barriers" (by path), "sections" (by point), "trajectories" (by epoch),
        "summaries", "maps", "claims", "effects" (what the claims rest on), "symmetries" and "runs".
        A table without lines is left out.

    Example:
        >>> from toroids.study.complete import Failure
        >>> from toroids.study.tables import make_tables
        >>> make_tables([Failure(task="a", task_kind="bend", label="of a pair", note="no memory")])
        {}
    """
    of_kind: dict[str, list[Any]] = {}
    for row in rows:
        of_kind.setdefault(row.kind, []).append(row)
    tables: dict[str, Table] = {}
    for kind in sorted(KINDS.values(), key=lambda kind: kind.measure is None):
        for name, lines_of in kind.tables.items():
            table = tables.setdefault(name, [])
            for row in of_kind.get(kind.row.kind if kind.row else kind.name, []):
                table += lines_of(row)
    claims: list[Claim] = of_kind.get("claim", [])
    tables |= {
        "summaries": [row.columns(*_SUMMARY) for row in of_kind.get("summary", [])],
        "maps": [line for row in of_kind.get("map", []) for line in _map(row)],
        "claims": [row.columns(*_CLAIM) for row in claims],
        "effects": [
            {**row.columns("claim", "architecture"), **plain(effect)}
            for row in claims
            for effect in row.effects
        ],
        "runs": [_run(row) for row in of_kind.get("run", [])],
    }
    return {name: table for name, table in tables.items() if table}


_SUMMARY = (
    "statistic", "architecture", "group", "path", "t", "sigma", "estimate", "low", "high", "count"
)  # fmt: skip
_CLAIM = ("claim", "architecture", "verdict", "statement", "reason")
_RUN = ("study", "machine", "engine", "workers", "seconds", "done", "finished")


def _map(row: Map) -> Iterator[Plain]:
    where = row.columns("architecture", "moment", "measure", "stress")
    for name, x, y in zip(row.names, row.x, row.y, strict=True):
        yield where | {"name": name, "x": x, "y": y}


def _run(row: Run) -> Plain:
    texts = {key: canonical_json(getattr(row, key)) for key in ("config", "versions", "tasks")}
    return row.columns(*_RUN) | texts
