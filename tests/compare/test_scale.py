"""The scale of strangers, and the verdict that follows from it."""

import math

import pytest

from toroids.compare.scale import FalseAlarms, Scale, Strangers, parsed, shipped, written
from toroids.compare.score import Score
from toroids.compare.verdict import judge

CHANCE = Score(0.2, 0.3)
SCALE = Scale(
    "here",
    [
        Strangers("one", 3, 10, CHANCE, [Score(0.4, 0.5), Score(0.5, 0.6), Score(0.3, 0.4)]),
        Strangers("two", 2, 10, Score(0.1, 0.1), [Score(0.2, 0.7)]),
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
    beyond = SCALE.limit("mean", True)  # (x - 0.2) / 0.8
    assert (beyond.strangers, beyond.related) == pytest.approx((0.375, 0.5))


@pytest.mark.parametrize(
    ("score", "chance", "verdict"),
    [
        (Score(0.9, 0.95), CHANCE, "related"),
        (Score(0.45, 0.5), CHANCE, "strangers"),
        (Score(0.55, 0.6), CHANCE, "undecided"),
        (Score(0.9, 0.95), Score(0.89, 0.95), "strangers"),  # chance reaches as much
        (Score(0.4, 0.99), CHANCE, "related"),  # one matrix is shared
        (Score(0.9, 0.95), None, "related"),
        (Score(0.3, 0.3), None, "strangers"),
    ],
)
def test_verdicts(score, chance, verdict):
    found = judge(score, chance, SCALE)
    assert found.verdict == verdict
    if verdict == "related":  # never without the rate of false alarms
        assert "0 of 4 pairs trained apart" in found.reason
        assert found.false_alarms.count == 0 and 0 < found.false_alarms.upper < 1


def test_false_alarms_count_pairs_that_reach_as_much_as_it_is_or_beyond_chance():
    assert SCALE.false_alarms("mean", Score(0.4, 1), None).count == 2
    assert SCALE.false_alarms("mean", Score(0.99, 1), Score(0.99, 1)).count == 4
    assert SCALE.false_alarms("peak", Score(0, 0.65), CHANCE).count == 1


def test_a_scale_is_written_and_read():
    again = parsed(written(SCALE))
    assert again == SCALE


def test_the_shipped_scale_is_large_enough_to_speak_of_a_few_percent():
    scale = shipped()
    assert scale.pairs >= 190 and "benchmarks/compare.py --scale" in scale.made
    for which in ("mean", "peak"):
        assert scale.limit(which, False).related < 1 and scale.limit(which, True).related < 1
