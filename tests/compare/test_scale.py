"""The scale of strangers, and the verdict that follows from it."""

import math

import pytest

from toroids.compare.scale import FalseAlarms, Scale, Strangers, parsed, shipped, written
from toroids.compare.score import Score
from toroids.compare.verdict import judge

CHANCE = Score(0.2, 0.3)
ONE = [Score(0.4, 0.5), Score(0.5, 0.6), Score(0.3, 0.4)]
SCALE = Scale(
    "here",
    [
        Strangers("one", 3, 10, ONE, [Score(0.25, 0.3), Score(0.375, 0.4), Score(0.125, 0.2)]),
        Strangers("two", 2, 10, [Score(0.2, 0.7)], [Score(0.1, 0.5)]),
    ],
)


@pytest.mark.parametrize(("count", "pairs"), [(0, 50), (3, 40), (10, 10)])
def test_the_upper_limit_is_where_so_few_alarms_become_unlikely(count, pairs):
    upper = FalseAlarms(count, pairs, 9).upper
    if count == pairs:
        assert upper == 1
        return
    chances = (
        math.comb(pairs, k) * upper**k * (1 - upper) ** (pairs - k) for k in range(count + 1)
    )
    assert sum(chances) == pytest.approx(0.05)


def test_limits_are_as_far_above_strangers_as_these_spread():
    limit = SCALE.limit("mean", False)
    assert (limit.strangers, limit.related) == pytest.approx((0.5, 0.6))
    beyond = SCALE.limit("mean", True)
    assert (beyond.strangers, beyond.related) == pytest.approx((0.375, 0.5))


@pytest.mark.parametrize(
    ("score", "chance", "beyond", "verdict"),
    [
        (Score(0.9, 0.95), CHANCE, Score(0.875, 0.9), "related"),
        (Score(0.45, 0.5), CHANCE, Score(0.3, 0.3), "strangers"),
        (Score(0.55, 0.6), CHANCE, Score(0.45, 0.45), "undecided"),
        (Score(0.9, 0.95), Score(0.85, 0.95), Score(0.3, 0.0), "strangers"),  # chance does as well
        (Score(0.99, 0.99), Score(0.95, 0.95), Score(0.3, 0.3), "undecided"),  # chance is all
        (Score(0.4, 0.99), CHANCE, Score(0.2, 0.98), "related"),  # one matrix is shared
        (Score(0.9, 0.95), None, None, "related"),
        (Score(0.3, 0.3), None, None, "strangers"),
    ],
)
def test_verdicts(score, chance, beyond, verdict):
    found = judge(score, chance, beyond, SCALE)
    assert found.verdict == verdict
    if verdict == "related":  # never without the rate of false alarms
        assert "0 of 4 pairs trained apart" in found.reason
        assert found.false_alarms.count == 0 and 0 < found.false_alarms.upper < 1


def test_false_alarms_count_pairs_that_reach_as_much():
    assert SCALE.false_alarms("mean", Score(0.4, 1), False).count == 2
    assert SCALE.false_alarms("mean", Score(0.1, 1), True).count == 4
    assert SCALE.false_alarms("peak", Score(0, 0.65), False).count == 1


def test_a_scale_is_written_and_read():
    again = parsed(written(SCALE))
    assert again == SCALE


def test_the_shipped_scale_is_large_enough_to_speak_of_a_few_percent():
    scale = shipped()
    assert scale.pairs >= 190 and "benchmarks/compare.py --scale" in scale.made
    assert all(len(family.scores) == len(family.beyond) for family in scale.families)
    for which in ("mean", "peak"):
        assert scale.limit(which, True).related < 0.8
