"""Means over networks and pairs, with intervals that respect that pairs share networks.

The standard error of a mean comes from a bootstrap over networks: networks are drawn with
replacement within their solver, and a pair counts as often as the product of its two networks'
draws, so that examples and pairs are never resampled as if they were independent. With n networks
a bootstrap's variance is (n - 1) / n of what it should be, and n is small: the 95 % interval is

    mean +- t(n - 1) sqrt(n / (n - 1)) bootstrap standard error,

t(n - 1) the 97.5 % quantile of Student's distribution; for a mean over networks this is the usual t
interval. Where no value is negative, neither is the interval. The rank correlation, over all
networks together, has the bootstrap's percentiles.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from scipy.stats import t as student

from toroids.study.store import Row

RESAMPLES = 2000  # the interval's ends then move by about 2 % of its width from seed to seed
Floats = NDArray[np.float64]


def summarise(rows: Sequence[Row], sigma: float) -> list[Row]:
    """Computes what the report states: means by solver and by pair of solvers, with intervals.

    Args:
        rows: the measurements of networks and pairs.
        sigma: noise at which flatness is compared with the test error.

    Returns:
        Rows of kind "summary": `statistic`, `group` (a solver, or two joined by " / "), `path`, `t`
        or `sigma` where they apply, `estimate`, `low`, `high` and `count`.
    """
    networks = [row for row in rows if row["kind"] == "network"]
    pairs = [row for row in rows if row["kind"] == "pair"]
    solvers = list(dict.fromkeys(row["solver"] for row in networks))
    draws = _draws(networks, solvers)
    summary = [row for solver in solvers for row in _of_solver(networks, solver, draws)]
    for a, b in itertools.combinations_with_replacement(solvers, 2):
        members = [row for row in pairs if (row["solver_a"], row["solver_b"]) == (a, b)]
        summary += _of_pairs(members, a if a == b else f"{a} / {b}", draws)
    return [*summary, _flatness_against_test_error(networks, sigma, draws)]


def _draws(networks: Sequence[Row], solvers: Sequence[str]) -> dict[str, Floats]:
    """Draws how often every network occurs in every resample; by name, shape (RESAMPLES,)."""
    generator = np.random.default_rng(0)
    draws: dict[str, Floats] = {}
    for solver in solvers:
        names = [row["name"] for row in networks if row["solver"] == solver]
        counts = generator.multinomial(len(names), [1 / len(names)] * len(names), RESAMPLES)
        draws |= dict(zip(names, counts.T.astype(float), strict=True))
    return draws


def _of_solver(networks: Sequence[Row], solver: str, draws: dict[str, Floats]) -> list[Row]:
    members = [row for row in networks if row["solver"] == solver]
    weights = np.stack([draws[row["name"]] for row in members])
    rows = []
    for statistic in ("train_error", "test_error"):
        values = np.array([row[statistic] for row in members])
        rows.append(_row(statistic, solver, values, weights, len(members)))
    for position, sigma in enumerate(members[0]["flatness"]["sigma"]):
        values = np.array([row["flatness"]["increase"][position] for row in members])
        rows.append(_row("increase", solver, values, weights, len(members), sigma=sigma))
    return rows


def _of_pairs(members: Sequence[Row], group: str, draws: dict[str, Floats]) -> list[Row]:
    rows = []
    measures = ("mean_angle", "distance", "hamming")
    for statistic in (name for name in measures if members and name in members[0]):
        for moment in ("before", "after"):
            values = [row[statistic][moment] for row in members]
            rows += _pair_row(f"{statistic}_{moment}", group, members, values, draws)
    paths = dict.fromkeys(path for row in members for path in row["profiles"])
    for path in paths:
        profiled = [row for row in members if path in row["profiles"]]
        barriers = [row["profiles"][path]["barrier"] for row in profiled]
        rows += _pair_row("barrier", group, profiled, barriers, draws, path=path)
        for position, t in enumerate(profiled[0]["profiles"][path]["t"]):
            errors = [row["profiles"][path]["error"][position] for row in profiled]
            rows += _pair_row("path_error", group, profiled, errors, draws, path=path, t=t)
    return rows


def _pair_row(
    statistic: str,
    group: str,
    members: Sequence[Row],
    values: Sequence[float],
    draws: dict[str, Floats],
    **labels: float | str,
) -> list[Row]:
    if not members:
        return []
    weights = np.stack([draws[row["a"]] * draws[row["b"]] for row in members])
    sides = {row["a"] for row in members}, {row["b"] for row in members}
    within = members[0]["solver_a"] == members[0]["solver_b"]
    count = len(sides[0] | sides[1]) if within else min(map(len, sides))
    return [_row(statistic, group, np.array(values), weights, count, **labels)]


def _row(
    statistic: str,
    group: str,
    values: Floats,
    weights: Floats,
    networks: int,
    **labels: float | str,
) -> Row:
    totals = weights.sum(axis=0)  # a resample may draw no pair at all
    means = (values @ weights)[totals > 0] / totals[totals > 0]
    return {
        "kind": "summary",
        "statistic": statistic,
        "group": group,
        **labels,
        "estimate": float(values.mean()),
        **_interval(values, means, networks),
        "count": len(values),
    }


def _interval(values: Floats, resampled: Floats, networks: int) -> dict[str, float | None]:
    """Computes the module's interval for the mean of `values`; one value alone has none."""
    if len(values) < 2 or networks < 2:
        return {"low": None, "high": None}
    stderr = math.sqrt(networks / (networks - 1)) * resampled.std()
    reach = student.ppf(0.975, networks - 1) * stderr
    low, high = values.mean() - reach, values.mean() + reach
    return {"low": float(max(low, 0.0) if values.min() >= 0 else low), "high": float(high)}


def _percentiles(resampled: Floats) -> dict[str, float | None]:
    """Takes the central 95 % of `resampled`."""
    if len(resampled) == 0:
        return {"low": None, "high": None}
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


def _flatness_against_test_error(
    networks: Sequence[Row], sigma: float, draws: dict[str, Floats]
) -> Row:
    position = networks[0]["flatness"]["sigma"].index(sigma)
    increase = np.array([row["flatness"]["increase"][position] for row in networks])
    test = np.array([row["test_error"] for row in networks])
    counts = np.stack([draws[row["name"]] for row in networks]).astype(int)
    chosen = np.stack([np.repeat(np.arange(len(networks)), count) for count in counts.T])
    resampled = _rank_correlations(increase[chosen], test[chosen])
    return {
        "kind": "summary",
        "statistic": "flatness_test_correlation",
        "group": "all",
        "sigma": sigma,
        "estimate": float(_rank_correlations(increase[None], test[None])[0]),
        **_percentiles(resampled[np.isfinite(resampled)]),
        "count": len(networks),
    }


def _rank_correlations(x: Floats, y: Floats) -> Floats:
    """Computes Spearman's correlation of every row; NaN where a constant has no ranks."""
    x, y = (rankdata(values, axis=1) - (values.shape[1] + 1) / 2 for values in (x, y))
    with np.errstate(invalid="ignore"):
        products: Floats = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return products
