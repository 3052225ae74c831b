"""R5: minima are connected by two straight segments over a bend, without an error.

The mean barrier over the trained bends of every solver must be clearly below the tolerance. The
claim is that such a path exists; of binary networks it therefore goes by the greedy order of flips
on both halves, and the barriers of random orders are stated beside it. Where no bend has any
barrier, its interval is zero too.
"""

from toroids.statistics.claims.effect import Effect, effect
from toroids.statistics.claims.evidence import Evidence
from toroids.statistics.claims.verdict import Claim, judge
from toroids.statistics.resampling import mean

STATEMENT = "Minima are connected by two straight segments over one bend without an error."
PATHS = {"bend": "a bend", "bend_greedy": "a bend in greedy order"}


def bend(evidence: Evidence) -> Claim:
    """Tests R5; the barrier of every solver is required."""
    path = evidence.manifold.bend
    effects = [found for s in evidence.solvers if (found := _barrier(evidence, s, path, True))]
    missing = ""
    if not effects:
        missing = "No bend was trained; set bends.count."
    elif len(effects) < len(evidence.solvers):
        bare = [s for s in evidence.solvers if not _barrier(evidence, s, path, True)]
        missing = f"No bend was trained between networks of {', '.join(bare)}."
    for other in evidence.manifold.bend_beside:
        beside = [_barrier(evidence, solver, other, False) for solver in evidence.solvers]
        effects += [found for found in beside if found]
    return judge(
        evidence, "R5", STATEMENT, effects, missing, evidence.left_out(evidence.bends, path)
    )


def _barrier(evidence: Evidence, solver: str, path: str, required: bool) -> Effect | None:
    barriers = evidence.barriers(evidence.within(solver, evidence.bends), path)
    if not barriers.owners:
        return None
    return effect(
        f"barrier over {PATHS[path]}, {solver}",
        mean(barriers),
        "fraction",
        "below",
        of_pairs=True,
        bound=evidence.thresholds.tolerance,
        required=required,
    )
