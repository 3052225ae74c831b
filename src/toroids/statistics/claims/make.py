"""R1 to R8, for every architecture of a study."""

from collections.abc import Iterable, Sequence

from toroids.statistics.claims.barrier import barrier
from toroids.statistics.claims.bend import bend
from toroids.statistics.claims.binary import binary
from toroids.statistics.claims.distance import distance
from toroids.statistics.claims.evidence import Thresholds, gather
from toroids.statistics.claims.flatness import flatness
from toroids.statistics.claims.generalisation import generalisation
from toroids.statistics.claims.reach import reach
from toroids.statistics.claims.removed import removed
from toroids.statistics.claims.verdict import Claim
from toroids.statistics.row import Row


def make_claims(
    rows: Sequence[Row], architectures: Iterable[str], thresholds: Thresholds
) -> list[Claim]:
    """Computes what a study says about every published claim.

    Args:
        rows: of the study, finished or not.
        architectures: of the study.
        thresholds: by which claims are judged.

    Returns:
        Eight claims for every architecture.
    """
    return [claim for name in architectures for claim in _of(rows, name, thresholds)]


def _of(rows: Sequence[Row], architecture: str, thresholds: Thresholds) -> list[Claim]:
    evidence = gather(rows, architecture, thresholds)
    picture = [test(evidence) for test in (flatness, generalisation, distance, barrier, bend)]
    return [*picture, binary(evidence, picture), removed(evidence), reach(evidence)]
