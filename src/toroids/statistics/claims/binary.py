"""R6: binary weights and activations show the same picture, R1 to R5.

Its effects are all those on which R1 to R5 hang, of the same binary networks: how much flatter one
solver is than another, what goes with flatness, how small barriers are, and whether bends exist.
"""

from collections.abc import Sequence

from toroids.statistics.claims.evidence import Evidence
from toroids.statistics.claims.verdict import Claim, judge

STATEMENT = "Binary weights and activations show the same picture: R1 to R5 hold for them too."


def binary(evidence: Evidence, others: Sequence[Claim]) -> Claim:
    """Tests R6: every effect that R1 to R5 require is required.

    Args:
        evidence: of one architecture.
        others: R1 to R5 on the same architecture.

    Returns:
        The claim; it cannot hold where one of the others is not tested.
    """
    if not evidence.binary:
        missing = "The weights of this architecture are real."
        return judge(evidence, "R6", STATEMENT, missing=missing)
    effects = [effect for other in others for effect in other.effects if effect.required]
    untested = [other.claim for other in others if other.verdict == "not tested"]
    missing = f"Not tested: {', '.join(untested)}." if untested else ""
    holding = [other.claim for other in others if other.verdict == "holds"]
    verb = "hold" if len(holding) > 1 else "holds"
    remark = f"of R1 to R5 {', '.join(holding) or 'none'} {verb}"
    return judge(evidence, "R6", STATEMENT, effects, missing, remark)
