"""What the figures show, in sentences that follow from the rows alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toroids.report.text import BENDS, apart, label, percent, plain, sentence
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
        self.binary: bool = config["network"]["name"].startswith("binary")
        # the statistic of distances, and the paths before and after symmetries are removed
        self.apart = "hamming" if self.binary else "mean_angle"
        self.raw, self.geodesic = ("flips_raw", "flips") if self.binary else ("raw", "geodesic")

    @property
    def disturbance(self) -> str:
        """The disturbance at which flatness is quoted, in words."""
        if self.binary:
            return f"{100 * self.sigma:g} % of the weights flipped"
        return f"σ = {self.sigma:g}"

    @property
    def has_bends(self) -> bool:
        """Whether bends were trained."""
        return any(row.get("path") in BENDS for row in self.rows)

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
        f"Train error grows at {summary.disturbance} by {_listed(rows, percent)}.",
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
    before = summary.of_solvers(f"{summary.apart}_before")
    after = summary.of_solvers(f"{summary.apart}_after")
    if not after:
        return Finding("Distances between networks", "One network per solver: no pairs.")
    title = f"Aligned, the networks of {label(after[0]['group'])} lie closest together"
    if len(after) > 1 and not apart(after[0], after[1]):
        title += f", not clearly closer than those of {label(after[1]['group'])}"
    measure = "Fraction of weights that differ" if summary.binary else "Mean angle, in radians,"
    return Finding(
        title,
        f"{measure} within a solver: {_listed(before, plain)} before alignment; "
        f"{_listed(after, plain)} after.",
    )


def barriers(summary: Summary) -> Finding:
    """States how high the geodesic barriers within each solver are."""
    rows = summary.of_solvers("barrier", path=summary.geodesic)
    if not rows:
        return Finding("Error along paths", "One network per solver: no pairs.")
    title = f"The barrier on the aligned geodesic is lowest for {label(rows[0]['group'])}"
    for other in rows[1:]:
        verdict = "clearly" if apart(rows[0], other) else "not clearly"
        title += f", {verdict} below {label(other['group'])}"
    detail = f"Mean barrier of train error: {_listed(rows, percent)}."
    if greedy := summary.of_solvers("barrier", path="flips_greedy"):
        detail += f" In an order of flips chosen greedily by error: {_listed(greedy, percent)}."
    return Finding(title, detail)


def removed(summary: Summary) -> Finding:
    """States what removing the symmetries does to the barrier."""
    raw = summary.of_solvers("barrier", path=summary.raw)
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
    where = "In random orders, not aligned" if summary.binary else "On the raw line"
    return Finding(title, f"{where}, to be compared with the geodesic: {_listed(raw, percent)}.")


def bends(summary: Summary) -> Finding:
    """States whether two segments over a trained bend join networks without an error."""
    path = "bend_greedy" if summary.binary else "bend"
    rows = summary.of_solvers("barrier", path=path)
    free = [row for row in rows if row["estimate"] == 0]
    if len(free) == len(rows):
        title = "Two segments over a trained bend join networks of every solver without a barrier"
    elif free:
        names = " and ".join(label(row["group"]) for row in free)
        title = f"Two segments over a trained bend have no barrier between networks of {names} only"
    else:
        title = "Over a trained bend a barrier is left for every solver"
    detail = f"Mean barrier over a trained bend: {_listed(rows, percent)}."
    if summary.binary:
        random = summary.of_solvers("barrier", path="bend")
        detail = (
            f"Mean barrier, each half in a greedy order: {_listed(rows, percent)}; in random "
            f"orders: {_listed(random, percent)}."
        )
    return Finding(title, detail)


def _lowered(raw: Row, summary: Summary) -> bool:
    geodesic = summary.get("barrier", raw["group"], path=summary.geodesic)
    return bool(geodesic and apart(raw, geodesic) and geodesic["estimate"] < raw["estimate"])


def _listed(rows: Sequence[Row], written: Callable[[Row], str]) -> str:
    return "; ".join(f"{label(row['group'])} {written(row)}" for row in rows)
