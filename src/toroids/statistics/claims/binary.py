"""R6: binary weights and activations show the same picture, R1 to R5."""

from collections.abc import Sequence

from toroids.statistics.claims.evidence import Evidence
from toroids.statistics.claims.verdict import Claim

STATEMENT = "Binary weights and activations show the same picture: R1 to R5 hold for them too."


def binary(evidence: Evidence, others: Sequence[Claim]) -> Claim:
    """Tests R6: all of the others must hold.

    Args:
        evidence: of one architecture.
        others: R1 to R5 on the same architecture.

    Returns:
        The claim, without effects of its own: it holds if all do, does not if one does not, is not
        tested if none is, and else undecided.
    """
    if not evidence.binary:
        return Claim("R6", STATEMENT, "not tested", "The weights of this architecture are real.")
    by_verdict = {
        verdict: [other.claim for other in others if other.verdict == verdict]
        for verdict in ("holds", "does not hold", "undecided", "not tested")
    }
    listed = [
        f"{', '.join(claims)} {_verb(verdict, len(claims))}"
        for verdict, claims in by_verdict.items()
        if claims and verdict != "holds"
    ]
    count = len(by_verdict["holds"])
    reason = "; ".join([f"{count} of R1 to R5 {'holds' if count == 1 else 'hold'}", *listed]) + "."
    if by_verdict["does not hold"]:
        return Claim("R6", STATEMENT, "does not hold", reason)
    if count == len(others):
        return Claim("R6", STATEMENT, "holds", reason)
    tested = len(by_verdict["not tested"]) < len(others)
    return Claim("R6", STATEMENT, "undecided" if tested else "not tested", reason)


def _verb(verdict: str, count: int) -> str:
    if verdict == "does not hold":
        return verdict if count == 1 else "do not hold"
    return f"{'is' if count == 1 else 'are'} {verdict}"
