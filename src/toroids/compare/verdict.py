"""From evidence to a verdict, and the sentence that says why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from toroids.checkpoint.matching import listed
from toroids.compare.scale import FalseAlarms, Limit, Scale
from toroids.compare.score import Score

Verdict = Literal["same function", "copy in disguise", "related", "strangers", "undecided"]
# Chance within this of 1 leaves nothing to be told.
NO_ROOM = 0.1
NUMBERS = {"mean": "the mean cosine of their matrices", "peak": "the largest cosine of a matrix"}


@dataclass(frozen=True)
class Judgement:
    """A verdict on two networks.

    Attributes:
        verdict: "same function", equal weights up to rounding; "copy in disguise", equal after the
            element; "related", more alike than any networks of the scale that were trained apart;
            "strangers", no more alike than those; "undecided", between.
        reason: why, in one sentence.
        false_alarms: how often networks trained apart reach as much.
    """

    verdict: Verdict
    reason: str
    false_alarms: FalseAlarms


def same(disguised: bool, done: str, precision: str, alarms: FalseAlarms) -> Judgement:
    """The verdict on networks whose distance on the toroid is rounding.

    Args:
        disguised: whether their weights differ as they stand.
        done: what the element does, in words.
        precision: to which weights are equal; empty where all their digits are.
        alarms: how often strangers score 1.

    Returns:
        The verdict.
    """
    if not disguised:
        rounding = f" to the rounding of {precision}" if precision else ""
        return Judgement("same function", f"Their weights are equal{rounding}.", alarms)
    reason = (
        f"Their weights are equal to the rounding of {precision} once symmetries are removed; "
        f"moved: {done}."
    )
    return Judgement("copy in disguise", reason, alarms)


def but_for(buffers: Sequence[str], precision: str, alarms: FalseAlarms) -> Judgement:
    """The verdict on networks whose weights are equal, and whose buffers are not.

    Args:
        buffers: names of those that differ.
        precision: to which weights are equal.
        alarms: how often strangers score 1.

    Returns:
        The verdict "related".
    """
    reason = (
        f"Their weights are equal to the rounding of {precision} once symmetries are removed, but "
        f"not {listed(sorted(buffers))}, as statistics that were measured anew: they compute other "
        "functions."
    )
    return Judgement("related", reason, alarms)


def judge(
    found: Score, chance: Score | None, beyond: Score | None, scale: Scale, held: bool = True
) -> Judgement:
    """The verdict on networks that differ.

    Args:
        found: their score.
        chance: what their surrogates score; None where it was not measured.
        beyond: what of the score is beyond chance; None likewise, and then what is certain without
            it is said.
        scale: the scores of strangers.
        held: whether inputs or outputs tell units apart, without which an alignment may miss what
            two networks share.

    Returns:
        "related" where one of the two numbers is clearly above all strangers; "strangers" where
        neither is above; "undecided" else, where surrogates are as alike as copies, and where
        nothing holds units that score as strangers do.
    """
    decides, above = (found, False) if beyond is None else (beyond, True)
    places = {
        which: _place(getattr(decides, which), scale.limit(which, above)) for which in NUMBERS
    }
    which = next((name for name, place in places.items() if place == "above"), "mean")
    alarms = scale.false_alarms(which, decides, above)
    limit = scale.limit(which, above)
    text = f"{NUMBERS[which]} is {getattr(found, which):.3f}"
    highest = f"networks trained apart reach {limit.strangers:.3f}"
    if beyond is not None:
        text += f", {getattr(beyond, which):.3f} beyond chance"
        highest += " beyond chance"
    text = f"{text[0].upper()}{text[1:]}"
    if places[which] == "above":
        return Judgement("related", f"{text}; {alarms}.", alarms)
    if chance is not None and chance.mean > 1 - NO_ROOM:
        reason = (
            f"{text}, but chance reaches {chance.mean:.3f}: what inputs and outputs fix leaves "
            "weights so little freedom that they tell nothing."
        )
        return Judgement("undecided", reason, alarms)
    if not held:
        reason = (
            f"{text}, but no inputs or outputs are among what is compared, so that nothing tells "
            "units apart and the alignment may miss a likeness; compare what reads inputs as well."
        )
        return Judgement("undecided", reason, alarms)
    if set(places.values()) == {"inside"}:
        return Judgement("strangers", f"{text}; {highest}.", alarms)
    return Judgement("undecided", f"{text}, at the edge of what strangers have; {highest}.", alarms)


def _place(level: float, limit: Limit) -> str:
    """Where a number lies: "above" all strangers, "inside" what they have, or "between"."""
    if level > limit.related:
        return "above"
    return "inside" if level <= limit.strangers else "between"
