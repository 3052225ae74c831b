import pytest

from toroids.report import findings
from toroids.report.findings import Summary


def summary(**groups):
    """A run in which every solver's statistics are (low, estimate, high)."""
    rows = [
        {
            "kind": "run",
            "config": {"flatness": {"reference": 0.5}, "network": {"name": "fully_connected"}},
        }
    ]
    for solver, (low, estimate, high) in groups.items():
        rows.append({"kind": "network", "solver": solver})
        for statistic, labels in (
            ("increase", {"sigma": 0.5}),
            ("mean_angle_after", {}),
            ("mean_angle_before", {}),
            ("barrier", {"path": "geodesic"}),
            ("barrier", {"path": "raw"}),
        ):
            shift = 1 if labels.get("path") == "raw" else 0
            interval = {"low": low + shift, "estimate": estimate + shift, "high": high + shift}
            row = {"kind": "summary", "statistic": statistic, "group": solver, "count": 3}
            rows.append(row | labels | interval)
    return Summary(rows)


def correlation(low, high):
    rows = summary(sgd=(0, 1, 2)).rows
    row = {"kind": "summary", "statistic": "flatness_test_correlation", "group": "all", "count": 9}
    rows.append(row | {"estimate": (low + high) / 2, "low": low, "high": high})
    made = summary(sgd=(0, 1, 2))
    made.rows = rows
    return findings.test_error(made).title


def test_flattest_is_the_smallest_increase():
    found = findings.flatness(summary(sgd=(0.2, 0.3, 0.4), replicated_sgd=(0.0, 0.05, 0.1)))
    assert found.title == "Replicated SGD finds the flattest minima"
    assert "replicated SGD 5.00 % [0.00, 10.00]; SGD 30.00 %" in found.detail


def test_overlapping_intervals_are_said():
    found = findings.flatness(summary(sgd=(0.0, 0.3, 0.4), other=(0.1, 0.2, 0.35)))
    assert found.title == "Other finds the flattest minima, not clearly apart from SGD"


@pytest.mark.parametrize(
    ("low", "high", "title"),
    [
        (0.2, 0.8, "Flatter minima have the lower test error"),
        (-0.8, -0.2, "Flatter minima have the higher test error"),
        (-0.2, 0.8, "Flatness and test error show no clear relation"),
    ],
)
def test_a_relation_is_claimed_only_when_the_interval_excludes_zero(low, high, title):
    assert correlation(low, high) == title


def test_removal_lowers_the_barrier_only_where_intervals_are_apart():
    both = findings.removed(summary(sgd=(0, 0.1, 0.2), other=(0, 0.1, 0.2)))
    assert both.title == "Removing the symmetries lowers the barrier for every solver"
    one = findings.removed(summary(sgd=(0, 0.1, 0.2), other=(-1, 0.1, 2)))
    assert one.title == "Removing the symmetries lowers the barrier clearly for SGD only"
    none = findings.removed(summary(sgd=(-1, 0.1, 2)))
    assert none.title == "Removing the symmetries lowers the barrier for no solver clearly"
