"""R4: barriers between aligned flat minima are small, and larger between sharp ones.

The barrier is that of the train error on the geodesic between aligned networks. Of binary networks
every order of flips is a geodesic on the hypercube: whether barriers are small goes by a greedy
order, for the claim is that a low path exists; flat and sharp minima are compared on random orders,
which no search has chosen. What the other order says is stated beside. Flattest and sharpest are
the solvers that the study found to be so; barriers play no part in the choice.
"""

from toroids.statistics.claims.effect import Effect, effect
from toroids.statistics.claims.evidence import Evidence
from toroids.statistics.claims.exchange import table_of, within_difference_p
from toroids.statistics.claims.verdict import Claim, judge
from toroids.statistics.resampling import difference, mean

STATEMENT = (
    "Barriers along geodesics between aligned flat minima are small, and larger between sharp ones."
)


def barrier(evidence: Evidence) -> Claim:
    """Tests R4: a small barrier within the flattest solver, and the difference, are required."""
    if len(evidence.solvers) < 2:
        missing = "There are fewer than two solvers, so none is flatter than another."
        return judge(evidence, "R4", STATEMENT, missing=missing)
    ends = evidence.solvers[0], evidence.solvers[-1]
    pairs = {solver: evidence.within(solver, evidence.pairs) for solver in ends}
    bare = [s for s in ends if not evidence.barriers(pairs[s], evidence.path).owners]
    if bare:
        return judge(
            evidence, "R4", STATEMENT, missing=f"No pairs of {' and '.join(bare)} are profiled."
        )
    paths = dict.fromkeys((evidence.path, evidence.lowest))
    effects = [
        found
        for path in paths
        for found in _of_path(
            evidence, path, small=path == evidence.lowest, larger=path == evidence.path
        )
    ]
    rows = [row for solver in ends for row in pairs[solver]]
    remark = "; ".join(filter(None, dict.fromkeys(evidence.left_out(rows, path) for path in paths)))
    return judge(evidence, "R4", STATEMENT, effects, remark=remark)


def _of_path(evidence: Evidence, path: str, small: bool, larger: bool) -> list[Effect]:
    """Both effects on a path, and which of them are required."""
    flattest, sharpest = evidence.solvers[0], evidence.solvers[-1]
    flat, sharp = (
        evidence.barriers(evidence.within(solver, evidence.pairs), path)
        for solver in (flattest, sharpest)
    )
    within = effect(
        f"barrier on {path} within {flattest}",
        mean(flat),
        "fraction",
        "below",
        of_pairs=True,
        bound=evidence.thresholds.small,
        required=small,
    )
    between = effect(
        f"barrier on {path}, {sharpest} minus {flattest}",
        difference(sharp, flat),
        "fraction",
        "positive",
        of_pairs=True,
        required=larger,
        p=_p(evidence, path, sharpest, flattest),
    )
    return [within, between]


def _p(evidence: Evidence, path: str, sharpest: str, flattest: str) -> float | None:
    rows = [*evidence.of(sharpest), *evidence.of(flattest)]
    barriers = {
        (row.a, row.b): row.profiles[path].barrier for row in evidence.pairs if path in row.profiles
    }
    table = table_of([row.name for row in rows], barriers)
    return within_difference_p(table, [row.solver == sharpest for row in rows])
