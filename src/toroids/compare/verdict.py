"""From evidence to a verdict, and the sentence that says why."""

from dataclasses import dataclass
from typing import Literal

from toroids.compare.scale import FalseAlarms, Scale
from toroids.compare.score import Score

Verdict = Literal["same function", "copy in disguise", "related", "strangers", "undecided"]
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


def judge(found: Score, chance: Score | None, scale: Scale) -> Judgement:
    """The verdict on networks that differ.

    Args:
        found: their score.
        chance: what random weights of their architecture score; None where it is not known.
        scale: the scores of strangers.

    Returns:
        "related" where one of the two numbers is above all strangers, as it is and beyond chance;
        "strangers" where neither is.
    """
    places = {which: _place(which, found, chance, scale) for which in NUMBERS}
    which = next((name for name, place in places.items() if place == "above"), "mean")
    alarms = scale.false_alarms(which, found, chance)
    level, limit = getattr(found, which), scale.limit(which, False)
    text = f"{NUMBERS[which]} is {level:.3f}"
    if chance is not None:
        text += f" (random weights reach {getattr(chance, which):.3f})"
    text = f"{text[0].upper()}{text[1:]}"
    if places[which] == "above":
        reason = f"{text}; {alarms}."
        return Judgement("related", reason, alarms)
    highest = f"networks trained apart reach {limit.strangers:.3f}"
    if set(places.values()) == {"inside"}:
        return Judgement("strangers", f"{text}; {highest}.", alarms)
    return Judgement("undecided", f"{text}, at the edge of what strangers have; {highest}.", alarms)


def _place(which: str, found: Score, chance: Score | None, scale: Scale) -> str:
    """Where a number lies: "above" all strangers, "inside" what they have, or "between"."""
    tests = [(getattr(found, which), scale.limit(which, False))]
    if chance is not None:
        tests.append((getattr(found.beyond(chance), which), scale.limit(which, True)))
    if all(level > limit.related for level, limit in tests):
        return "above"
    return "inside" if any(level <= limit.strangers for level, limit in tests) else "between"
