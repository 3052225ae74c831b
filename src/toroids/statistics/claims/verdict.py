"""A claim, and the verdict that follows from its effects.

A claim that needs several effects holds only if every one of them clearly is as expected, at its
own 95 % interval. That needs no correction for their number: if the claim is wrong, so is one of
its parts, and that part alone is mistaken for right in at most 2.5 % of studies (an
intersection-union test). The other way round, one clear contradiction refutes a claim; of k parts
that are all exactly at the edge, one seems to contradict in up to k x 2.5 % of studies.

Reference:
    R. L. Berger, Multiparameter hypothesis testing and acceptance sampling, 1982.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from toroids.statistics.claims.effect import Effect
from toroids.statistics.claims.evidence import Evidence
from toroids.statistics.row import OfArchitecture

Verdict = Literal["holds", "does not hold", "undecided", "not tested"]


@dataclass(frozen=True, kw_only=True)
class Claim(OfArchitecture):
    """A published claim and what a study says about it.

    Attributes:
        claim: "R1" to "R8".
        statement: what the paper claims, one sentence.
        verdict: whether it holds.
        reason: why, one sentence that follows from the numbers.
        effects: the numbers.
    """

    kind: ClassVar[str] = "claim"
    claim: str
    statement: str
    verdict: Verdict
    reason: str
    effects: list[Effect]


def judge(
    evidence: Evidence,
    claim: str,
    statement: str,
    effects: Sequence[Effect] = (),
    missing: str = "",
    remark: str = "",
) -> Claim:
    """Concludes from the effects that a claim requires.

    Args:
        evidence: that the effects are of.
        claim: "R1" to "R8".
        statement: what the paper claims.
        effects: the numbers; those that are required decide.
        missing: what the study lacks to test all of the claim, one sentence; what is there can
            still contradict it, but not make it hold.
        remark: what else a reader should know, to be added to the reason; so is which networks the
            evidence leaves out.

    Returns:
        The claim with its verdict and the reason.
    """
    verdict, reason = _conclude([effect for effect in effects if effect.required], missing)
    for more in filter(None, (remark, evidence.remark)):
        reason = f"{reason.removesuffix('.')}; {more}."
    return Claim(
        architecture=evidence.architecture,
        claim=claim,
        statement=statement,
        verdict=verdict,
        reason=reason,
        effects=list(effects),
    )


def _conclude(required: Sequence[Effect], missing: str) -> tuple[Verdict, str]:
    against = [effect for effect in required if effect.contradicts]
    if against:
        return "does not hold", f"{_sentence(against[0])}, and should be {against[0].expectation}."
    if missing or not required:
        return "not tested", missing or "Nothing that it needs was measured."
    unclear = [effect for effect in required if not effect.supports]
    if unclear:
        doubt = f"which does not tell whether it is {unclear[0].expectation}"
        return "undecided", f"{_sentence(unclear[0])}, {doubt}."
    if len(required) == 1:
        return "holds", f"{_sentence(required[0])}, {required[0].expectation} as expected."
    if len(required) == 2:
        return "holds", f"{_sentence(required[0])}, and {required[1]}, both as expected."
    least = f"the least clear: {_weakest(required)}"
    return "holds", f"All {len(required)} effects are clearly as expected, {least}."


def _sentence(effect: Effect) -> str:
    text = str(effect)
    return text[0].upper() + text[1:]


def _weakest(effects: Sequence[Effect]) -> Effect:
    """The effect whose interval is closest to the edge, relative to its width."""

    def margin(effect: Effect) -> float:
        low, high = effect.low or 0.0, effect.high or 0.0  # both are there: it supports its claim
        gap = min(abs(low - (effect.bound or 0.0)), abs(high - (effect.bound or 0.0)))
        return gap / (high - low) if high > low else math.inf

    return min(effects, key=margin)
