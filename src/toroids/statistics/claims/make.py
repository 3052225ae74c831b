"""R1 to R8, for every architecture of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from toroids.statistics.claims.barrier import barrier
from toroids.statistics.claims.bend import bend
from toroids.statistics.claims.binary import binary
from toroids.statistics.claims.distance import distance
from toroids.statistics.claims.evidence import gather
from toroids.statistics.claims.flatness import flatness
from toroids.statistics.claims.generalisation import generalisation
from toroids.statistics.claims.reach import reach
from toroids.statistics.claims.removed import removed
from toroids.statistics.claims.verdict import Claim
from toroids.statistics.row import Row


def make_claims(rows: Sequence[Row], config: Mapping[str, Any]) -> list[Row]:
    """Computes what a study says about every published claim.

    Args:
        rows: measured rows of the study, finished or not; others are ignored.
        config: the study's configuration as plain data: `networks`, `flatness.reference`,
            `claims.tolerance`, `claims.small` and `claims.trained` are read.

    Returns:
        Eight rows of kind "claim" for every architecture: `claim`, `architecture`, `statement`,
        `verdict` ("holds", "does not hold", "undecided" or "not tested"), `reason`, and `effects`
        with the fields of `Effect`.
    """
    return [row for architecture in config["networks"] for row in _of(rows, config, architecture)]


def _of(rows: Sequence[Row], config: Mapping[str, Any], architecture: str) -> list[Row]:
    evidence = gather(rows, config, architecture)
    picture = [test(evidence) for test in (flatness, generalisation, distance, barrier, bend)]
    claims = [*picture, binary(evidence, picture), removed(evidence), reach(evidence)]
    return [_remarked(claim, evidence.remark).row(architecture) for claim in claims]


def _remarked(claim: Claim, remark: str) -> Claim:
    """Adds to the reason which networks were left out."""
    if not remark:
        return claim
    return replace(claim, reason=f"{claim.reason.removesuffix('.')}; {remark}.")
