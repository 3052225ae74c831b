"""R3: removing symmetries shrinks distances, and flatter minima are closer to each other.

Distances are mean angles on the toroid, or fractions of the weights that differ. Both moments are
of canonical networks, so "before" already is without the continuous symmetries, and what shrinks is
shrunk by permutations and signs. The first part is the geometric mean over pairs of the distance
after alignment over that before. The second compares the sharpest solver with the flattest, as the
study found them, and correlates over all networks the increase with the mean distance to the other
networks of the same solver.
"""

import numpy as np

from toroids.statistics.claims.effect import Effect, effect
from toroids.statistics.claims.evidence import Evidence, sample
from toroids.statistics.claims.exchange import means_to_others, table_of, within_difference_p
from toroids.statistics.claims.verdict import Claim, judge
from toroids.statistics.correlation import joint_draws, rank_correlation, rank_correlation_p
from toroids.statistics.resampling import Floats, Interval, combination, difference

STATEMENT = "Removing symmetries shrinks distances, and flatter minima are closer to each other."
# Networks that alignment makes equal would have a ratio whose logarithm is infinite.
SMALLEST = 1e-12


def distance(evidence: Evidence) -> Claim:
    """Tests R3: the ratio for every solver, the difference, and the correlation are required."""
    paired = [solver for solver in evidence.solvers if evidence.within(solver, evidence.pairs)]
    alone = [solver for solver in evidence.solvers if solver not in paired]
    effects = [_shrunk(evidence, solver) for solver in paired]
    missing = f"There are no pairs of networks of {', '.join(alone)}." if alone else ""
    if not evidence.networks:
        missing = "No network was measured."
    elif len(paired) < 2:
        missing = missing or "There is one solver only, so none is flatter than another."
    else:
        effects += [_difference(evidence, paired[-1], paired[0]), _correlation(evidence, paired)]
    return judge(evidence, "R3", STATEMENT, effects, missing)


def _shrunk(evidence: Evidence, solver: str) -> Effect:
    measured = [
        (row, moments.after / moments.before)
        for row in evidence.within(solver, evidence.pairs)
        if (moments := row.measures[evidence.measure]).after is not None and moments.before
    ]
    logs = sample((row, float(np.log(max(ratio, SMALLEST)))) for row, ratio in measured)
    found = combination([(1.0, logs)])  # not `mean`: logarithms may become negative
    return effect(
        f"distance after alignment over that before, {solver}",
        _exponential(found, len(logs.values)),
        "ratio",
        "below",
        of_pairs=True,
        bound=1.0,
    )


def _exponential(found: Interval, pairs: int) -> Interval:
    ends = (found.estimate, found.low, found.high)
    estimate, low, high = (None if end is None else float(np.exp(end)) for end in ends)
    return Interval(estimate, low, high, found.networks, pairs)


def _difference(evidence: Evidence, sharpest: str, flattest: str) -> Effect:
    rows = [*evidence.of(sharpest), *evidence.of(flattest)]
    table = table_of([row.name for row in rows], _after(evidence))
    return effect(
        f"distance after alignment, {sharpest} minus {flattest}",
        difference(evidence.distances(sharpest), evidence.distances(flattest)),
        evidence.manifold.unit,
        "positive",
        of_pairs=True,
        p=within_difference_p(table, [row.solver == sharpest for row in rows]),
    )


def _correlation(evidence: Evidence, paired: list[str]) -> Effect:
    names, solvers, table = _own(evidence, paired)
    increase = np.array([evidence.increase[name] for name in names])
    means = means_to_others(table, np.ones((len(names), 1)))[:, 0]
    drawn = means_to_others(table, joint_draws(solvers))
    return effect(
        "rank correlation of increase and distance to the solver's other networks",
        rank_correlation(increase, means, solvers, drawn_y=drawn),
        "correlation",
        "positive",
        p=rank_correlation_p(increase, means),
    )


def _own(evidence: Evidence, paired: list[str]) -> tuple[list[str], list[str], Floats]:
    """Networks, their solvers, and distances within solvers; networks without a pair are left."""
    names = [row.name for solver in paired for row in evidence.of(solver)]
    solvers = [row.solver for solver in paired for row in evidence.of(solver)]
    table = table_of(names, _after(evidence))
    same = np.array([[a == b for b in solvers] for a in solvers])
    table[~same] = np.nan
    kept = np.flatnonzero(np.isfinite(table).any(axis=1)).tolist()
    return [names[i] for i in kept], [solvers[i] for i in kept], table[np.ix_(kept, kept)]


def _after(evidence: Evidence) -> dict[tuple[str, str], float | None]:
    return {(row.a, row.b): row.measures[evidence.measure].after for row in evidence.pairs}
