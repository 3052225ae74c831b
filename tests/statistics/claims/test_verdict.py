import pytest

from toroids.statistics.claims.effect import effect, number
from toroids.statistics.claims.evidence import Thresholds, gather
from toroids.statistics.claims.verdict import judge as judge_on
from toroids.statistics.resampling import Interval

EVIDENCE = gather((), "mlp", Thresholds(reference=0.5, tolerance=0.01, small=0.02, trained=0.05))


def an(low, high, expected="positive", bound=None, required=True):
    middle = None if low is None else (low + high) / 2
    interval = Interval(middle, low, high, networks=8, values=8)
    return effect("gain", interval, "fraction", expected, bound=bound, required=required)


def judge(statement, effects, **more):
    return judge_on(EVIDENCE, "R1", statement, effects, **more)


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (an(0.01, 0.02), "holds"),
        (an(-0.01, 0.02), "undecided"),
        (an(-0.02, -0.01), "does not hold"),
        (an(-0.02, -0.01, "negative"), "holds"),
        (an(0.01, 0.02, "negative"), "does not hold"),
        (an(0.0, 0.01, "below", 0.01), "holds"),
        (an(0.0, 0.02, "below", 0.01), "undecided"),
        (an(0.011, 0.02, "below", 0.01), "does not hold"),
        (an(None, None), "undecided"),
        (an(0.01, 0.02, required=False), "not tested"),
    ],
)
def test_one_effect(one, verdict):
    assert judge("It is so.", [one]).verdict == verdict


def test_all_must_be_clear_and_one_can_contradict():
    good, unclear, bad = an(0.1, 0.2), an(-0.1, 0.2), an(-0.2, -0.1)
    assert judge("", [good, good]).verdict == "holds"
    assert judge("", [good, unclear]).verdict == "undecided"
    assert judge("", [good, unclear, bad]).verdict == "does not hold"
    assert judge("", [good, an(-0.2, -0.1, required=False)]).verdict == "holds"


def test_what_is_missing_cannot_hold_but_can_be_contradicted():
    found = judge("", [an(0.1, 0.2)], missing="There is no SGD.")
    assert (found.verdict, found.reason) == ("not tested", "There is no SGD.")
    assert judge("", [an(-0.2, -0.1)], missing="x.").verdict == "does not hold"


def test_reasons_say_the_numbers():
    assert judge("", [an(0.1, 0.2)]).reason == ("Gain is 15 % [10 %, 20 %], positive as expected.")
    assert judge("", [an(-0.1, 0.2)], remark="so").reason == (
        "Gain is 5 % [-10 %, 20 %], which does not tell whether it is positive; so."
    )
    assert judge("", [an(0.3, 0.5, "below", 0.01)]).reason == (
        "Gain is 40 % [30 %, 50 %], and should be at most 1 %."
    )
    assert "without an interval" in judge("", [an(None, None)]).reason
    many = judge("", [an(0.1, 0.2), an(0.02, 0.2), an(1, 2)]).reason
    assert many.startswith(
        "All 3 effects are clearly as expected, the least clear: gain is 11 % [2 %"
    )


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.0, "fraction", "100 %"),
        (0.996, "fraction", "100 %"),
        (0.0123, "fraction", "1.2 %"),
        (0.987, "correlation", "0.99"),
        (None, "ratio", "undefined"),
        (-0.5, "radians", "-0.5"),
    ],
)
def test_numbers_as_a_reader_sees_them(value, unit, text):
    assert number(value, unit) == text
