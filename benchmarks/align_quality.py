"""Compares the methods of alignment on digits networks trained apart.

Run it with `python benchmarks/align_quality.py`, for networks of the middle width; with `--table`
it prints the table of benchmarks/align_quality.md, for all widths and methods. There every figure
is a mean over pairs of networks with its standard error: similarity, the certified gap relative to
the bound, the distance on the toroid, the barrier of train error on the geodesic, how much it is
above that of descent on the same pair, and seconds. Where units are antipodal there is no geodesic;
how many pairs have one is then said.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from harness.networks import for_digits
from harness.result import Result
from harness.script import main
from torch import nn

import toroids as td
from toroids.errors import ParamsError

NETWORKS = 4
MIDDLE = ("fully connected 32", "convolutional 16", "batch norm 16", "residual 16")
METHODS = (
    "none", "greedy", "activations", "descent", "frank-wolfe", "best", "descent, 2 s", "loss"
)  # fmt: skip

COMPARED = (
    ("descent", "none"), ("activations", "descent"), ("best", "descent"), ("loss", "descent")
)  # fmt: skip
SHOWN = {"none": "no alignment"}


def measure(
    make: Callable[[int], nn.Module],
    method: str,
    data: td.data.Dataset,
    pairs: Sequence[tuple[td.Params, td.Params]],
    group: td.SymmetryGroup,
) -> list[tuple[float, ...]]:
    """One row per pair: similarity, gap, distance, barrier (NaN without a geodesic), seconds."""
    model = make(0).eval()
    toroid = td.Toroid(group)
    rows: list[tuple[float, ...]] = []
    probe = td.probe.Probe(model, group, data.train[0])
    landscape = td.Landscape(model, data.train)
    for a, b in pairs:
        begun = time.perf_counter()
        kind, _, budget = method.partition(", ")
        alignment = td.align(
            group, b, to=a, method="descent" if kind == "none" else kind,
            budget=float(budget.split()[0]) if budget else None,
            probe=probe if kind == "activations" else None,
            landscape=landscape if kind == "loss" else None,
        )  # fmt: skip
        seconds = time.perf_counter() - begun
        moved, reached = alignment.params, alignment.similarity
        if kind == "none":
            moved, reached = td.canonicalize(group, b), alignment.similarity_before
        try:
            path = toroid.geodesic(alignment.reference, moved)
            barrier = td.profile(td.Landscape(model, data.train), path, 25).barrier
        except ParamsError:  # antipodal units
            barrier = math.nan
        rows.append((
            reached,
            (alignment.bound - reached) / alignment.bound,
            toroid.distance(alignment.reference, moved),
            barrier,
            0.0 if kind == "none" else seconds,
        ))  # fmt: skip
    return rows


def shown(values: Sequence[float]) -> str:
    """A mean and its standard error over the values that are defined."""
    known = [value for value in values if not math.isnan(value)]
    if len(known) < 2:
        return f"- ({len(known)} of {len(values)})"
    text = f"{statistics.mean(known):.4g} ± {statistics.stdev(known) / len(known) ** 0.5:.1g}"
    return text + (f" ({len(known)} of {len(values)})" if len(known) < len(values) else "")


def trained(
    make: Callable[[int], nn.Module], data: td.data.Dataset, count: int
) -> tuple[td.SymmetryGroup, list[tuple[td.Params, td.Params]]]:
    """The symmetries, and all pairs of so many networks."""
    networks = [td.solvers.SGD().train(make, data.train, seed=seed).params for seed in range(count)]
    group = td.discover(make(0).eval(), data.train[0][:2], output="classifier")
    return group, list(itertools.combinations(networks, 2))


def rows(quick: bool) -> Iterator[Result]:
    """Similarity beside its bound, barriers beside those of descent on the same pairs."""
    data, makers = td.data.digits(train=600), dict(for_digits())
    for name in MIDDLE[:2] if quick else MIDDLE:
        make = makers[name]
        group, pairs = trained(make, data, 2 if quick else NETWORKS)
        found = {
            method: list(zip(*measure(make, method, data, pairs, group), strict=True))
            for method in ("none", "activations", "descent", "best", "loss")
        }
        similarity, gaps, *_ = found["descent"]
        bound = [x / (1 - gap) for x, gap in zip(similarity, gaps, strict=True)]
        note = "one value per pair of networks"
        yield Result(f"{name}: similarity of descent", "", similarity, "bound", bound, note=note)
        for method, beside in COMPARED:
            ours, theirs = (
                [value for value in found[which][3] if not math.isnan(value)]
                for which in (method, beside)
            )
            missing = 2 * len(pairs) - len(ours) - len(theirs)
            yield Result(
                f"{name}: barrier after {method}", "train error",
                ours, SHOWN.get(beside, beside), theirs,
                note=note + (f"; {missing} without a geodesic" if missing else ""),
            )  # fmt: skip


def table() -> None:
    """Prints the table of the page."""
    data = td.data.digits(train=600)
    print(
        "| network | method | similarity | gap / bound | distance | barrier | minus descent's",
        end="",
    )
    print(" | seconds |\n|---|---|---|---|---|---|---|---|")
    for name, make in for_digits():
        group, pairs = trained(make, data, NETWORKS)
        rows = {method: measure(make, method, data, pairs, group) for method in METHODS}
        usual = [row[3] for row in rows["descent"]]
        for method in METHODS:
            *columns, barriers, seconds = zip(*rows[method], strict=True)
            above = [x - y for x, y in zip(barriers, usual, strict=True)]
            cells = [shown(column) for column in (*columns, barriers, above, seconds)]
            print(f"| {name} | {method} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(rows, table=table)
