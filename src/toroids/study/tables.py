"""Rows as tidy tables: one line per value, plain columns, for data frames and spreadsheets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toroids.arguments import checked
from toroids.design.task import canonical_json
from toroids.errors import DataError
from toroids.statistics.row import Row

Table = list[dict[str, Any]]


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
        DataError: something else than rows.

    Example:
        >>> from toroids.study.tables import make_tables
        >>> row = {"kind": "symmetry", "architecture": "mlp", "dimension": 3, "seconds": 0.5}
        >>> make_tables([row])["symmetries"][0]["dimension"]
        3
    """
    if isinstance(rows, str) or not all("kind" in row for row in rows):
        raise DataError("these are no rows of a run; pass what read_rows(folder) gives.")
    of_kind: dict[str, list[Row]] = {}
    for row in rows:
        of_kind.setdefault(row["kind"], []).append(row)

    def lines(kind: str, *keys: str) -> Table:
        return [_columns(row, keys) for row in of_kind.get(kind, [])]

    between = [*of_kind.get("pair", []), *of_kind.get("bend", [])]
    networks = of_kind.get("network", [])
    tables = {
        "networks": [_network(row) for row in networks],
        "training": [_who(row) | epoch for row in networks for epoch in row["history"]],
        "flatness": [line for row in networks for line in _flatness(row)],
        "pairs": [_pair(row) for row in of_kind.get("pair", [])],
        "layers": [
            _sides(row) | layer for row in of_kind.get("pair", []) for layer in row["layers"]
        ],
        "barriers": [line for row in between for line in _barriers(row)],
        "profiles": [line for row in between for line in _profiles(row)],
        "sections": [line for row in of_kind.get("section", []) for line in _section(row)],
        "trajectories": [x for row in of_kind.get("trajectory", []) for x in _trajectory(row)],
        "summaries": lines("summary", *_SUMMARY),
        "maps": [line for row in of_kind.get("map", []) for line in _map(row)],
        "claims": lines("claim", "claim", "architecture", "verdict", "statement", "reason"),
        "effects": [
            {"claim": row["claim"], "architecture": row["architecture"]} | effect
            for row in of_kind.get("claim", [])
            for effect in row["effects"]
        ],
        "symmetries": lines("symmetry", *_SYMMETRY),
        "runs": [_run(row) for row in of_kind.get("run", [])],
    }
    return {name: table for name, table in tables.items() if table}


_SUMMARY = (
    "statistic", "architecture", "group", "path", "t", "sigma", "estimate", "low", "high", "count"
)  # fmt: skip
_SYMMETRY = (
    "architecture", "binary", "parameters", "dimension", "log10_order", "deviation", "seconds"
)  # fmt: skip


def _columns(row: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: row.get(key) for key in keys}


def _who(row: Row) -> dict[str, Any]:
    return _columns(row, ("name", "architecture", "solver", "seed"))


def _network(row: Row) -> dict[str, Any]:
    settings = _columns(row["config"], ("method", "lr", "batch_size", "weight_decay"))
    measured = ("ended", "epochs", "gradient_steps", "train_error", "train_loss", "test_error")
    errors = ("test_error_stderr", "test_loss", "seconds", "measure_seconds")
    notes = {"notes": "; ".join(row["notes"])}
    return _who(row) | settings | _columns(row, measured + errors) | notes


def _flatness(row: Row) -> Iterator[dict[str, Any]]:
    flatness = row["flatness"]
    for line in _along(flatness, ("sigma", "increase", "stderr")):
        yield _who(row) | line | {"samples": flatness["samples"]}


def _sides(row: Row) -> dict[str, Any]:
    return _columns(row, ("a", "b", "architecture", "solver_a", "solver_b"))


def _pair(row: Row) -> dict[str, Any]:
    moments = {
        f"{measure}_{moment}": row[measure][moment]
        for measure in ("similarity", "distance", "mean_angle", "hamming")
        if measure in row
        for moment in ("before", "after")
    }
    return _sides(row) | {"method": row["method"]} | moments | {"seconds": row["seconds"]}


def _barriers(row: Row) -> Iterator[dict[str, Any]]:
    for path, curve in row["profiles"].items():
        yield _sides(row) | {"path": path, "barrier": curve["barrier"]}


def _profiles(row: Row) -> Iterator[dict[str, Any]]:
    for path, curve in row["profiles"].items():
        for line in _along(curve, ("t", "error", "error_stderr", "loss")):
            yield _sides(row) | {"path": path} | line


def _section(row: Row) -> Iterator[dict[str, Any]]:
    networks = dict(zip("abc", row["networks"], strict=True))
    who = {"architecture": row["architecture"], **networks}
    if "faces" in row:
        for face, ((i, j), errors) in enumerate(zip(row["faces"], row["error"], strict=True)):
            across, up = row["distances"][i], row["distances"][j]
            for x, column in zip(across, errors, strict=True):
                for y, error in zip(up, column, strict=True):
                    yield who | {"face": face, "x": x, "y": y, "error": error}
        return
    for y, *values in zip(row["y"], row["error"], row["error_stderr"], row["loss"], strict=True):
        for x, error, stderr, loss in zip(row["x"], *values, strict=True):
            yield who | {"x": x, "y": y, "error": error, "error_stderr": stderr, "loss": loss}


def _trajectory(row: Row) -> Iterator[dict[str, Any]]:
    columns = (row[key] for key in ("epochs", "points", "away", "errors"))
    for epoch, (x, y), away, error in zip(*columns, strict=True):
        yield _who(row) | {"epoch": epoch, "x": x, "y": y, "away": away, "error": error}


def _map(row: Row) -> Iterator[dict[str, Any]]:
    where = _columns(row, ("architecture", "moment", "measure", "stress"))
    for name, x, y in zip(row["names"], row["x"], row["y"], strict=True):
        yield where | {"name": name, "x": x, "y": y}


def _run(row: Row) -> dict[str, Any]:
    plain = _columns(row, ("study", "machine", "engine", "workers", "seconds", "done", "finished"))
    return plain | {key: canonical_json(row[key]) for key in ("config", "versions", "tasks")}


def _along(curve: Mapping[str, Any], keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One line per point of a curve."""
    for values in zip(*(curve[key] for key in keys), strict=True):
        yield dict(zip(keys, values, strict=True))
