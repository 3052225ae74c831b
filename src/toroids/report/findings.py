"""What the figures show, in sentences that follow from the rows alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toroids.report.text import apart, label, percent, plain, sentence
from toroids.study.store import Row


class Summary:
    """The summary rows of a run, looked up by statistic and group."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Indexes the rows of kind "summary"."""
        self.rows = [row for row in rows if row["kind"] == "summary"]
        networks = [row for row in rows if row["kind"] == "network"]
        self.solvers = list(dict.fromkeys(row["solver"] for row in networks))
        config = next(row["config"] for row in rows if row["kind"] == "run")
        self.sigma: float = config["flatness"]["reference"]

    def get(self, statistic: str, group: str, **labels: Any) -> Row | None:
        """Finds the row of one statistic, or None where it was not measured."""
        return next(iter(self.all(statistic, group, **labels)), None)

    def all(self, statistic: str, group: str, **labels: Any) -> list[Row]:
        """Lists the rows of one statistic."""
        wanted = {"statistic": statistic, "group": group, **labels}
        return [row for row in self.rows if wanted.items() <= row.items()]

    def of_solvers(self, statistic: str, **labels: Any) -> list[Row]:
        """Lists one statistic of every solver, smallest first."""
        found = [self.get(statistic, solver, **labels) for solver in self.solvers]
        return sorted((row for row in found if row), key=lambda row: row["estimate"])


@dataclass(frozen=True)
class Finding:
    """What one figure shows.

    Attributes:
        title: the observation, in words.
        detail: the numbers behind it, with 95 % intervals.
    """

    title: str
    detail: str


def flatness(summary: Summary) -> Finding:
    """States which solver's minima are flattest."""
    rows = summary.of_solvers("increase", sigma=summary.sigma)
    title = f"{sentence(rows[0]['group'])} finds the flattest minima"
    if len(rows) > 1 and not apart(rows[0], rows[1]):
        title += f", not clearly apart from {label(rows[1]['group'])}"
    return Finding(
        title,
        f"Train error grows at σ = {summary.sigma:g} by {_listed(rows, percent)}.",
    )


def test_error(summary: Summary) -> Finding:
    """States whether flatness goes with test error."""
    row = summary.get("flatness_test_correlation", "all")
    if row is None or row["estimate"] is None or row["low"] is None:
        return Finding("Flatness against test error", "Too few networks for a rank correlation.")
    if row["low"] > 0:
        title = "Flatter minima have the lower test error"
    elif row["high"] < 0:
        title = "Flatter minima have the higher test error"
    else:
        title = "Flatness and test error show no clear relation"
    return Finding(
        title, f"Spearman rank correlation {plain(row)} over all {row['count']} networks."
    )


def distances(summary: Summary) -> Finding:
    """States how much alignment brings networks together."""
    before = summary.of_solvers("mean_angle_before")
    after = summary.of_solvers("mean_angle_after")
    if not after:
        return Finding("Distances between networks", "One network per solver: no pairs.")
    title = f"Aligned, the networks of {label(after[0]['group'])} lie closest together"
    if len(after) > 1 and not apart(after[0], after[1]):
        title += f", not clearly closer than those of {label(after[1]['group'])}"
    return Finding(
        title,
        f"Mean angle within a solver, in radians: {_listed(before, plain)} before alignment; "
        f"{_listed(after, plain)} after.",
    )


def barriers(summary: Summary) -> Finding:
    """States how high the geodesic barriers within each solver are."""
    rows = summary.of_solvers("barrier", path="geodesic")
    if not rows:
        return Finding("Error along paths", "One network per solver: no pairs.")
    title = f"The barrier on the aligned geodesic is lowest for {label(rows[0]['group'])}"
    for other in rows[1:]:
        verdict = "clearly" if apart(rows[0], other) else "not clearly"
        title += f", {verdict} below {label(other['group'])}"
    return Finding(title, f"Mean barrier of train error: {_listed(rows, percent)}.")


def removed(summary: Summary) -> Finding:
    """States what removing the symmetries does to the barrier."""
    raw = summary.of_solvers("barrier", path="raw")
    if not raw:
        return Finding("Barriers by path", "One network per solver: no pairs.")
    lowered = [row for row in raw if _lowered(row, summary)]
    if len(lowered) == len(raw):
        title = "Removing the symmetries lowers the barrier for every solver"
    elif lowered:
        names = " and ".join(label(row["group"]) for row in lowered)
        title = f"Removing the symmetries lowers the barrier clearly for {names} only"
    else:
        title = "Removing the symmetries lowers the barrier for no solver clearly"
    return Finding(
        title, f"On the raw line, to be compared with the geodesic: {_listed(raw, percent)}."
    )


def _lowered(raw: Row, summary: Summary) -> bool:
    geodesic = summary.get("barrier", raw["group"], path="geodesic")
    return bool(geodesic and apart(raw, geodesic) and geodesic["estimate"] < raw["estimate"])


def _listed(rows: Sequence[Row], written: Callable[[Row], str]) -> str:
    return "; ".join(f"{label(row['group'])} {written(row)}" for row in rows)
