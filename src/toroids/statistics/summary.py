"""Means over networks and pairs by solver, with intervals that respect that pairs share networks.

The intervals are those of `resampling`; where no value is negative, neither is the interval. The
rank correlation, over all networks of an architecture together, has the bootstrap's percentiles.
Values that are not finite (null) are left out and not counted.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from toroids.statistics.correlation import rank_correlation
from toroids.statistics.measured import Bend, Network, OfPair, Pair
from toroids.statistics.resampling import Floats, Interval, Owner, Sample, means
from toroids.statistics.row import Measured, OfArchitecture, Real, Row, Whole

MOMENTS = ("before", "after")  # of an alignment
# What is never above 1, and neither is its interval.
FRACTIONS = ("train_error", "test_error", "path_error", "hamming_before", "hamming_after")


@dataclass(frozen=True, kw_only=True)
class Summary(OfArchitecture):
    """A mean over networks or pairs.

    Attributes:
        statistic: what of them, as "test_error" or "barrier".
        group: a solver, or two joined by " / ".
        path: along which it was measured.
        t: place on that.
        sigma: disturbance at which it was measured.
        estimate: the mean, None where nothing is finite.
        low: lower end of its 95 % interval, None where there are too few networks.
        high: upper end.
        count: how many networks or pairs are behind it.
    """

    kind: ClassVar[str] = "summary"
    statistic: str
    group: str
    path: str | None = None
    t: Real | None = None
    sigma: Real | None = None
    estimate: Measured
    low: Measured
    high: Measured
    count: Whole


def summarise(rows: Sequence[Row], sigma: float) -> list[Summary]:
    """Computes what the report states: means by solver and by pair of solvers, with intervals.

    Args:
        rows: the measurements of networks, pairs and bends, of one or more architectures; others
            are ignored.
        sigma: noise at which flatness is compared with the test error.

    Returns:
        The means that have an estimate.
    """
    networks = [row for row in rows if isinstance(row, Network)]
    joined = [row for row in rows if isinstance(row, Pair | Bend)]
    return [
        summary
        for architecture in dict.fromkeys(row.architecture for row in networks)
        for summary in _Means(architecture).all(
            [row for row in networks if row.architecture == architecture],
            [row for row in joined if row.architecture == architecture],
            sigma,
        )
    ]


def owner(network: Network) -> Owner:
    """Names a network for a sample."""
    return network.solver, network.name


def owners(pair: OfPair) -> tuple[Owner, Owner]:
    """Names the two networks of a pair or bend for a sample."""
    return (pair.solver_a, pair.a), (pair.solver_b, pair.b)


def increase_at(network: Network, sigma: float) -> float | None:
    """Reads off by how much the train error of a network grows at one disturbance.

    Args:
        network: that was measured.
        sigma: the disturbance.

    Returns:
        The increase, None where it was not measured or is not finite.
    """
    flatness = network.flatness
    found = dict(zip(flatness.sigma, flatness.increase, strict=True)).get(sigma)
    return None if found is None else float(found)


@dataclass(frozen=True)
class _Means:
    """The means of one architecture."""

    architecture: str

    def all(
        self, networks: Sequence[Network], joined: Sequence[Pair | Bend], sigma: float
    ) -> Iterator[Summary]:
        """All of them, solver by solver, then for every two solvers."""
        solvers = list(dict.fromkeys(row.solver for row in networks))
        for solver in solvers:
            yield from self.of_solver([row for row in networks if row.solver == solver], solver)
        for a, b in itertools.combinations_with_replacement(solvers, 2):
            group = a if a == b else f"{a} / {b}"
            own = [row for row in joined if (row.solver_a, row.solver_b) in ((a, b), (b, a))]
            pairs = [row for row in own if isinstance(row, Pair)]
            yield from self.of_distances(pairs, group)
            yield from self.of_paths(pairs, group)
            yield from self.of_paths([row for row in own if isinstance(row, Bend)], group)
        yield from self.flatness_against_test_error(networks, sigma)

    def of_solver(self, members: Sequence[Network], solver: str) -> Iterator[Summary]:
        """Errors of a solver's networks, and how they grow at every disturbance."""
        who = [(owner(row),) for row in members]
        yield from self.each("train_error", solver, [[row.train_error] for row in members], who)
        yield from self.each("test_error", solver, [[row.test_error] for row in members], who)
        sigmas = members[0].flatness.sigma
        values = [[increase_at(row, sigma) for sigma in sigmas] for row in members]
        labels = [{"sigma": sigma} for sigma in sigmas]
        yield from self.each("increase", solver, values, who, labels)

    def of_distances(self, members: Sequence[Pair], group: str) -> Iterator[Summary]:
        """Distances by every measure, before and after alignment."""
        for measure in dict.fromkeys(name for row in members for name in row.measures):
            measured = [row for row in members if measure in row.measures]
            who = [owners(row) for row in measured]
            for moment in MOMENTS:
                values = [[getattr(row.measures[measure], moment)] for row in measured]
                yield from self.each(f"{measure}_{moment}", group, values, who)

    def of_paths(self, members: Sequence[OfPair], group: str) -> Iterator[Summary]:
        """Barriers on every path, and the errors along it."""
        for path in dict.fromkeys(path for row in members for path in row.profiles):
            profiled = [row for row in members if path in row.profiles]
            curves = [row.profiles[path] for row in profiled]
            who = [owners(row) for row in profiled]
            barriers = [[curve.barrier] for curve in curves]
            yield from self.each("barrier", group, barriers, who, [{"path": path}])
            labels = [{"path": path, "t": t} for t in curves[0].t]
            errors = [curve.error for curve in curves]
            yield from self.each("path_error", group, errors, who, labels)

    def flatness_against_test_error(
        self, networks: Sequence[Network], sigma: float
    ) -> Iterator[Summary]:
        """The rank correlation of both, where they were measured."""
        measured = [row for row in networks if increase_at(row, sigma) is not None]
        measured = [row for row in measured if row.test_error is not None]
        if not measured:
            return
        increase = np.array([increase_at(row, sigma) for row in measured], dtype=float)
        test = np.array([row.test_error for row in measured], dtype=float)
        found = rank_correlation(increase, test, [row.solver for row in measured])
        yield self.one("flatness_test_correlation", "all", found, {"sigma": sigma})

    def each(
        self,
        statistic: str,
        group: str,
        values: Sequence[Sequence[float | None]],
        who: Sequence[tuple[Owner, ...]],
        labels: Sequence[Mapping[str, Any]] = ({},),
    ) -> Iterator[Summary]:
        """Means of several quantities; values by network or pair, then by quantity."""
        if not values:
            return
        table = np.array(values, dtype=float).T  # None becomes NaN
        if np.isfinite(table).all():
            found = means(Sample(table, tuple(who)))
        else:  # every quantity has networks of its own
            found = [_mean_of_finite(row, who) for row in table]
        for label, interval in zip(labels, found, strict=True):
            if interval.estimate is not None:
                yield self.one(statistic, group, interval, label)

    def one(self, statistic: str, group: str, found: Interval, label: Mapping[str, Any]) -> Summary:
        """One mean; what is a fraction has an interval that ends at 1."""
        high = found.high
        if statistic in FRACTIONS and high is not None:
            high = min(high, 1.0)
        return Summary(
            architecture=self.architecture,
            statistic=statistic,
            group=group,
            estimate=found.estimate,
            low=found.low,
            high=high,
            count=found.values,
            **label,
        )


def _mean_of_finite(values: Floats, who: Sequence[tuple[Owner, ...]]) -> Interval:
    kept = np.flatnonzero(np.isfinite(values)).tolist()
    return means(Sample(values[kept], tuple(who[number] for number in kept)))[0]
