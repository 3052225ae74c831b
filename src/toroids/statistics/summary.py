"""Means over networks and pairs by solver, with intervals that respect that pairs share networks.

The intervals are those of `resampling`; where no value is negative, neither is the interval. The
rank correlation, over all networks of an architecture together, has the bootstrap's percentiles.
Values that are not finite (null) are left out and not counted.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from toroids.statistics.correlation import rank_correlation
from toroids.statistics.resampling import Floats, Interval, Owner, Sample, means
from toroids.statistics.row import Row

MEASURES = ("mean_angle", "distance", "hamming")
# What is never above 1, and neither is its interval.
FRACTIONS = ("train_error", "test_error", "path_error", "hamming_before", "hamming_after")


def summarise(rows: Sequence[Row], sigma: float) -> list[Row]:
    """Computes what the report states: means by solver and by pair of solvers, with intervals.

    Args:
        rows: the measurements of networks, pairs and bends, of one or more architectures.
        sigma: noise at which flatness is compared with the test error.

    Returns:
        Rows of kind "summary": `statistic`, `architecture`, `group` (a solver, or two joined by
        " / "), `path`, `t` or `sigma` where they apply, `estimate`, `low`, `high` and `count`.
    """
    networks = [row for row in rows if row["kind"] == "network"]
    architectures = dict.fromkeys(row["architecture"] for row in networks)
    return [
        {"kind": "summary", "architecture": architecture, **found}
        for architecture in architectures
        for found in _of_architecture(
            [row for row in rows if row.get("architecture") == architecture], sigma
        )
    ]


def _of_architecture(rows: Sequence[Row], sigma: float) -> Iterator[Row]:
    networks = [row for row in rows if row["kind"] == "network"]
    solvers = list(dict.fromkeys(row["solver"] for row in networks))
    for solver in solvers:
        yield from _of_solver([row for row in networks if row["solver"] == solver], solver)
    for a, b in itertools.combinations_with_replacement(solvers, 2):
        group = a if a == b else f"{a} / {b}"
        for kind in ("pair", "bend"):
            members = [
                row
                for row in rows
                if row["kind"] == kind and (row["solver_a"], row["solver_b"]) in ((a, b), (b, a))
            ]
            yield from _of_distances(members, group)
            yield from _of_paths(members, group)
    yield from _flatness_against_test_error(networks, sigma)


def owner(network: Row) -> Owner:
    """Names the network of a row of kind "network" for a sample."""
    return network["solver"], network["name"]


def owners(pair: Row) -> tuple[Owner, Owner]:
    """Names the two networks of a row of kind "pair" or "bend" for a sample."""
    return (pair["solver_a"], pair["a"]), (pair["solver_b"], pair["b"])


def increase_at(network: Row, sigma: float) -> float | None:
    """Reads off by how much the train error of a network grows at one disturbance.

    Args:
        network: a row of kind "network".
        sigma: the disturbance.

    Returns:
        The increase, None where it was not measured or is not finite.
    """
    flatness = network["flatness"]
    found = dict(zip(flatness["sigma"], flatness["increase"], strict=True)).get(sigma)
    return None if found is None else float(found)


def _of_solver(members: Sequence[Row], solver: str) -> Iterator[Row]:
    who = [(owner(row),) for row in members]
    for statistic in ("train_error", "test_error"):
        values = [[row[statistic]] for row in members]
        yield from _rows(statistic, solver, values, who, [{}])
    sigmas = members[0]["flatness"]["sigma"]
    values = [[increase_at(row, sigma) for sigma in sigmas] for row in members]
    yield from _rows("increase", solver, values, who, [{"sigma": sigma} for sigma in sigmas])


def _of_distances(members: Sequence[Row], group: str) -> Iterator[Row]:
    for measure in MEASURES:
        measured = [row for row in members if measure in row]
        who = [owners(row) for row in measured]
        for moment in ("before", "after"):
            values = [[row[measure][moment]] for row in measured]
            yield from _rows(f"{measure}_{moment}", group, values, who, [{}])


def _of_paths(members: Sequence[Row], group: str) -> Iterator[Row]:
    for path in dict.fromkeys(path for row in members for path in row["profiles"]):
        profiled = [row for row in members if path in row["profiles"]]
        profiles = [row["profiles"][path] for row in profiled]
        who = [owners(row) for row in profiled]
        barriers = [[profile["barrier"]] for profile in profiles]
        yield from _rows("barrier", group, barriers, who, [{"path": path}])
        labels = [{"path": path, "t": t} for t in profiles[0]["t"]]
        errors = [profile["error"] for profile in profiles]
        yield from _rows("path_error", group, errors, who, labels)


def _rows(
    statistic: str,
    group: str,
    values: Sequence[Sequence[float | None]],
    who: Sequence[tuple[Owner, ...]],
    labels: Sequence[Row],
) -> Iterator[Row]:
    """Rows of several quantities; values by network or pair, then by quantity."""
    if not values:
        return
    table = np.array(values, dtype=float).T  # null becomes NaN
    if np.isfinite(table).all():
        found = means(Sample(table, tuple(who)))
    else:  # every quantity has networks of its own
        found = [_mean_of_finite(row, who) for row in table]
    for label, interval in zip(labels, found, strict=True):
        if interval.estimate is not None:
            row = {"statistic": statistic, "group": group, **label, **_plain(interval)}
            if statistic in FRACTIONS and row["high"] is not None:
                row["high"] = min(row["high"], 1.0)
            yield row


def _mean_of_finite(values: Floats, who: Sequence[tuple[Owner, ...]]) -> Interval:
    kept = np.flatnonzero(np.isfinite(values)).tolist()
    return means(Sample(values[kept], tuple(who[number] for number in kept)))[0]


def _plain(interval: Interval) -> Row:
    return {
        "estimate": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "count": interval.values,
    }


def _flatness_against_test_error(networks: Sequence[Row], sigma: float) -> Iterator[Row]:
    measured = [row for row in networks if increase_at(row, sigma) is not None]
    measured = [row for row in measured if row["test_error"] is not None]
    if not measured:
        return
    increase = np.array([increase_at(row, sigma) for row in measured], dtype=float)
    test = np.array([row["test_error"] for row in measured])
    found = rank_correlation(increase, test, [row["solver"] for row in measured])
    labels = {"statistic": "flatness_test_correlation", "group": "all", "sigma": sigma}
    yield {**labels, **_plain(found)}
