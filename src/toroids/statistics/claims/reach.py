"""R8: wide flat minima are star centres.

A network reaches another if the barrier on the aligned geodesic is at most the tolerance; a barrier
that is not finite is none that can be passed. Of binary networks it is that of flips in a greedy
order, and those of random orders are stated beside. Only profiled pairs count. Those within solvers
are often all profiled and those across solvers are not, so a network's reach is the mean over
solvers of the fraction of the solver's networks that it reaches: every solver counts alike, however
many of its pairs are profiled. Solvers with one network are left out.

The claim has two parts: the networks of the flattest solver reach more than those of the sharpest,
and over networks the increase falls with the reach. The centre is the network that reaches most, of
several the one with the smallest mean barrier.

Where all pairs of two solvers agree, a bootstrap sees no spread and its interval would be a point.
The interval of a reach is therefore at least as wide as Agresti and Coull's for as many independent
networks as the solver has: of n that all agree, p = (n + 2) / (n + 4) with variance
p (1 - p) / (n + 4).

Reference:
    Annesi et al., Star-shaped space of solutions of the spherical negative perceptron, 2023,
    arXiv 2305.10623.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.stats import t as student

from toroids.statistics.claims.effect import Effect, effect, number
from toroids.statistics.claims.evidence import Evidence, sample
from toroids.statistics.claims.exchange import difference_p, means_to_others, table_of
from toroids.statistics.claims.verdict import Claim, judge
from toroids.statistics.correlation import joint_draws, rank_correlation, rank_correlation_p
from toroids.statistics.measured import Pair
from toroids.statistics.resampling import Floats, Interval, Sample, combination

STATEMENT = (
    "Wide flat minima are star centres: they reach more of the others along geodesics without a "
    "barrier than sharp ones do."
)


def reach(evidence: Evidence) -> Claim:
    """Tests R8; the difference in reach and its correlation with the increase are required."""
    solvers = [solver for solver in evidence.solvers if len(evidence.of(solver)) > 1]
    if len(solvers) < 2:
        missing = "There are fewer than two solvers with two networks or more."
        return judge(evidence, "R8", STATEMENT, missing=missing)
    stars = Stars(evidence, evidence.lowest, tuple(solvers))
    bare = stars.bare
    if bare:
        return judge(evidence, "R8", STATEMENT, missing=f"No pairs are profiled between {bare}.")
    effects, missing, remark = [*stars.differences()], "", ""
    if len(stars.seen) < 2:
        missing = "No two networks have profiled pairs with every solver; profile more across."
    else:
        effects.append(stars.correlation())
        remark = stars.centre()
    beside = Stars(evidence, evidence.path, tuple(solvers))
    if evidence.path != evidence.lowest and not beside.bare:
        effects += beside.differences(required=False)
    return judge(evidence, "R8", STATEMENT, effects, missing, remark)


@dataclass(frozen=True)
class Stars:
    """Which networks reach which on one path; `solvers` have two networks each, flattest first."""

    evidence: Evidence
    path: str
    solvers: tuple[str, ...]

    @cached_property
    def profiled(self) -> list[Pair]:
        """The pairs with a profile of this path."""
        return [row for row in self.evidence.pairs if self.path in row.profiles]

    def reached(self, row: Pair) -> float:
        """Tells whether the two networks of a pair reach each other: 1 or 0."""
        barrier = row.profiles[self.path].barrier
        return float(barrier is not None and barrier <= self.evidence.thresholds.tolerance)

    def between(self, a: str, b: str) -> Sample:
        """Samples which pairs of two solvers reach each other."""
        sides = ((a, b), (b, a))
        return sample(
            (row, self.reached(row))
            for row in self.profiled
            if (row.solver_a, row.solver_b) in sides
        )

    @property
    def bare(self) -> str:
        """Solvers that must be compared and have no profiled pair; empty if all have."""
        ends = self.solvers[0], self.solvers[-1]
        missing = [
            f"{end} and {other}"
            for end in ends
            for other in self.solvers
            if not self.between(end, other).owners
        ]
        return "; ".join(missing)

    def of(self, solver: str) -> list[tuple[float, Sample]]:
        """The reach of a solver's networks, as a mean over the solvers that they may reach."""
        return [(1 / len(self.solvers), self.between(solver, other)) for other in self.solvers]

    def widened(self, interval: Interval, *solvers: str) -> Interval:
        """Widens the interval of a reach where pairs agree; a reach alone stays in [0, 1]."""
        if interval.low is None or interval.high is None or interval.estimate is None:
            return interval
        sizes = [len(self.evidence.of(solver)) for solver in solvers]
        spread = np.linalg.norm([self.unseen(solver) for solver in solvers])
        least = float(student.ppf(0.975, sum(sizes) - len(sizes)) * spread)
        reach = max(least, interval.high - interval.estimate)
        low, high = interval.estimate - reach, interval.estimate + reach
        floor, ceiling = (0.0, 1.0) if len(solvers) == 1 else (-1.0, 1.0)
        return replace(interval, low=max(low, floor), high=min(high, ceiling))

    def unseen(self, solver: str) -> float:
        """The standard error that a bootstrap does not see in the reach of a solver."""
        count = len(self.evidence.of(solver))
        p = (count + 2) / (count + 4)
        agreed = [len(set(side.values.tolist())) == 1 for _, side in self.of(solver)]
        return float(np.mean(agreed) * np.sqrt(p * (1 - p) / (count + 4)))

    def differences(self, required: bool = True) -> list[Effect]:
        """Compares the flattest solver with the sharpest, and states how much it reaches."""
        flattest, sharpest = self.solvers[0], self.solvers[-1]
        terms = [*self.of(flattest), *((-factor, side) for factor, side in self.of(sharpest))]
        what = "reach" if self.path == self.evidence.lowest else f"reach on {self.path}"
        return [
            effect(
                f"{what}, {flattest} minus {sharpest}",
                self.widened(combination(terms), flattest, sharpest),
                "fraction",
                "positive",
                of_pairs=True,
                required=required,
                p=self.p(),
            ),
            effect(
                f"{what}, {flattest}",
                self.widened(combination(self.of(flattest)), flattest),
                "fraction",
                "positive",
                of_pairs=True,
                required=False,
            ),
        ]

    @cached_property
    def names(self) -> list[str]:
        """All networks, solver by solver."""
        return [row.name for solver in self.solvers for row in self.evidence.of(solver)]

    @cached_property
    def found_by(self) -> list[str]:
        """The solver of every network."""
        return [solver for solver in self.solvers for _ in self.evidence.of(solver)]

    def fractions(self, counts: Floats) -> Floats:
        """The reach of every network, of shape (n, m), for draws of shape (n, m)."""
        pairs = {(row.a, row.b): self.reached(row) for row in self.profiled}
        table = table_of(self.names, pairs)
        by_solver = []
        for solver in self.solvers:
            others = np.array(self.found_by) == solver
            by_solver.append(means_to_others(np.where(others, table, np.nan), counts))
        found: Floats = np.mean(by_solver, axis=0)
        return found

    @cached_property
    def fraction(self) -> Floats:
        """The reach of every network; NaN if it has no profiled pair with some solver."""
        found: Floats = self.fractions(np.ones((len(self.names), 1)))[:, 0]
        return found

    @cached_property
    def seen(self) -> list[int]:
        """The networks whose reach is known."""
        return np.flatnonzero(np.isfinite(self.fraction)).tolist()

    def p(self) -> float | None:
        """Deals the labels of the flattest and the sharpest solver anew, if all is measured."""
        pairs = {(row.a, row.b): self.reached(row) for row in self.profiled}
        table = table_of(self.names, pairs)
        if not np.isfinite(table[~np.eye(len(table), dtype=bool)]).all():
            return None
        ends = (np.array(self.found_by) == end for end in (self.solvers[0], self.solvers[-1]))
        flattest, sharpest = (self.fraction[members] for members in ends)
        return difference_p([(flattest, sharpest)])

    def correlation(self) -> Effect:
        """Correlates increase with reach over networks."""
        increase = np.array([self.evidence.increase[self.names[i]] for i in self.seen])
        solvers = [self.found_by[i] for i in self.seen]
        drawn = self.fractions(joint_draws(self.found_by))[self.seen]
        found: Interval = rank_correlation(
            increase, self.fraction[self.seen], solvers, drawn_y=drawn
        )
        return effect(
            "rank correlation of increase and reach",
            found,
            "correlation",
            "negative",
            p=rank_correlation_p(increase, self.fraction[self.seen]),
        )

    def centre(self) -> str:
        """Names the network that reaches most."""
        heights: dict[str, list[float]] = {name: [] for name in self.names}
        for row in self.profiled:
            barrier = row.profiles[self.path].barrier
            for name in {row.a, row.b} & heights.keys():
                heights[name].append(float("inf") if barrier is None else barrier)
        best = min(self.seen, key=lambda i: (-self.fraction[i], np.mean(heights[self.names[i]]), i))
        share = number(float(self.fraction[best]), "fraction")
        return f"the centre is {self.names[best]}, which reaches {share} of the others"
