"""Rows as tidy tables: one line per value, plain columns, for data frames and spreadsheets."""

from collections.abc import Iterator, Sequence

from toroids.arguments.checked import checked
from toroids.design.task import canonical_json
from toroids.errors import DataError
from toroids.statistics.measured import Result
from toroids.statistics.row import Plain, Row, read
from toroids.study.perform.kind import Kind
from toroids.study.perform.kinds import KINDS

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

    Raises:
        DataError: something else than whole rows.

    Example:
        >>> from toroids.study.tables import make_tables
        >>> row = {"kind": "claim", "claim": "R1", "architecture": "mlp", "effects": []}
        >>> make_tables([row])["claims"][0]["claim"]
        'R1'
    """
    if isinstance(rows, str) or not all("kind" in row for row in rows):
        raise DataError("these are no rows of a run; pass what read_rows(folder) gives.")
    of_kind: dict[str, list[Row]] = {}
    for row in rows:
        of_kind.setdefault(row["kind"], []).append(row)

    def lines(kind: str, *keys: str) -> Table:
        return [_columns(row, keys) for row in of_kind.get(kind, [])]

    tables: dict[str, Table] = {}
    for kind in sorted(KINDS.values(), key=lambda kind: kind.measure is None):
        for name, lines_of in kind.tables.items():
            found = of_kind.get(kind.row.kind if kind.row else kind.name, [])
            table = tables.setdefault(name, [])
            for row in found:
                table += lines_of(_measured(kind, row))
    tables |= {
        "summaries": lines("summary", *_SUMMARY),
        "maps": [line for row in of_kind.get("map", []) for line in _map(row)],
        "claims": lines("claim", "claim", "architecture", "verdict", "statement", "reason"),
        "effects": [
            {"claim": row["claim"], "architecture": row["architecture"]} | effect
            for row in of_kind.get("claim", [])
            for effect in row["effects"]
        ],
        "runs": [_run(row) for row in of_kind.get("run", [])],
    }
    return {name: table for name, table in tables.items() if table}


_SUMMARY = (
    "statistic", "architecture", "group", "path", "t", "sigma", "estimate", "low", "high", "count"
)  # fmt: skip


def _measured(kind: Kind, row: Row) -> Result:
    try:
        result: Result = read(kind.row or kind.result, row)
    except ValueError as error:
        raise DataError(
            f"a row of kind {row['kind']} is not whole; pass what read_rows(folder) gives."
        ) from error
    return result


def _columns(row: Row, keys: Sequence[str]) -> Plain:
    """Some columns of a row; None where it lacks one."""
    return {key: row.get(key) for key in keys}


def _map(row: Row) -> Iterator[Plain]:
    where = _columns(row, ("architecture", "moment", "measure", "stress"))
    for name, x, y in zip(row["names"], row["x"], row["y"], strict=True):
        yield where | {"name": name, "x": x, "y": y}


def _run(row: Row) -> Plain:
    plain = _columns(row, ("study", "machine", "engine", "workers", "seconds", "done", "finished"))
    return plain | {key: canonical_json(row[key]) for key in ("config", "versions", "tasks")}
