"""R7: how much each removed symmetry contributes.

The same pairs are compared on two paths: the line between raw networks, between normalised ones,
between aligned ones, between those of which both was removed, and the geodesic of the latter. All
profiled pairs of the architecture count. The claim is that removing both lowers the barrier, and
lower than removing either alone; the single contributions are stated beside it, as is the line
between aligned networks that are balanced instead, of least norm among all rescaled. Where a study
asks for the parts of the group, so are theirs: permutations, scales, matrices of heads, rotations
of the stream, and an alignment that is learned. Binary networks have no scale to be normalised:
flips in random orders before and after alignment are compared, and what a greedy order gains is
stated beside it.
"""

from toroids.statistics.claims.effect import Effect, effect
from toroids.statistics.claims.evidence import Evidence, sample
from toroids.statistics.claims.verdict import Claim, judge
from toroids.statistics.manifold import HYPERCUBE, TOROID
from toroids.statistics.resampling import combination

STATEMENTS = {
    TOROID: "Removing normalisation and permutations together lowers barriers, more than either "
    "alone.",
    HYPERCUBE: "Removing permutations and signs lowers barriers.",
}
# the higher barrier, the lower one, and whether the verdict hangs on the difference
REAL = (
    ("raw", "geodesic", True),
    ("normalised", "geodesic", True),
    ("aligned", "geodesic", True),
    ("raw", "normalised", False),
    ("raw", "aligned", False),
    ("raw", "both", False),
    ("both", "geodesic", False),
    ("aligned", "balanced", False),
    ("geodesic", "balanced", False),
    ("raw", "permutations", False),
    ("permutations", "scales", False),
    ("scales", "heads", False),
    ("heads", "geodesic", False),
    ("geodesic", "learned", False),
)
BINARY = (("flips_raw", "flips", True), ("flips", "flips_greedy", False))
LOWERED = {TOROID: REAL, HYPERCUBE: BINARY}


def removed(evidence: Evidence) -> Claim:
    """Tests R7; the differences from the geodesic are required."""
    effects, absent = [], []
    for higher, lower, required in LOWERED[evidence.manifold]:
        found = _lowered(evidence, higher, lower, required)
        if found is not None:
            effects.append(found)
        elif required:
            absent.append(f"{higher} and {lower}")
    missing = f"No pair is profiled on {'; on '.join(absent)}." if absent else ""
    remark = evidence.left_out(evidence.pairs, evidence.path)
    return judge(evidence, "R7", STATEMENTS[evidence.manifold], effects, missing, remark)


def _lowered(evidence: Evidence, higher: str, lower: str, required: bool) -> Effect | None:
    heights = [
        (row, row.profiles[higher].barrier, row.profiles[lower].barrier)
        for row in evidence.pairs
        if {higher, lower} <= row.profiles.keys()
    ]
    lowered = sample((row, a - b) for row, a, b in heights if a is not None and b is not None)
    if not lowered.owners:
        return None
    return effect(
        f"barrier on {higher} minus that on {lower}",
        combination([(1.0, lowered)]),  # not `mean`: a difference may be negative
        "fraction",
        "positive",
        of_pairs=True,
        required=required,
    )
