import itertools

import numpy as np
import pytest
from few_rows import ends, network, pair
from scipy.stats import spearmanr

from toroids.statistics.measured import Bend
from toroids.statistics.summary import summarise


def find(summary, statistic, group, **labels):
    wanted = {"statistic": statistic, "group": group, **labels}
    (row,) = (row for row in summary if wanted.items() <= row.data.items())
    return row


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).normal(size=(8,))


@pytest.fixture(scope="module")
def summary(values):
    names = [f"x-{i}" for i in range(8)]
    rows = [network(n, v, 2 * v) for n, v in zip(names, values, strict=True)]
    for (i, a), (j, b) in itertools.combinations(enumerate(names), 2):
        rows.append(pair(a, b, values[i] + values[j]))
    return summarise(rows, 0.5)


def test_means_and_counts(summary, values):
    row = find(summary, "test_error", "x")
    assert row.estimate == pytest.approx(2 * values.mean())
    assert row.count == 8
    assert find(summary, "increase", "x", sigma=0.5).estimate == pytest.approx(values.mean())
    barrier = find(summary, "barrier", "x", path="geodesic")
    assert barrier.estimate == pytest.approx(2 * values.mean())
    assert barrier.count == 28
    assert find(summary, "mean_angle_after", "x").estimate == 1


def test_the_interval_of_a_mean_is_students(summary, values):
    row = find(summary, "increase", "x", sigma=0.5)
    stderr = values.std(ddof=1) / 8**0.5  # 2.365: the 97.5 % quantile for 7 degrees of freedom
    assert row.low == pytest.approx(values.mean() - 2.365 * stderr, abs=0.15 * stderr)
    assert row.high == pytest.approx(values.mean() + 2.365 * stderr, abs=0.15 * stderr)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Pairs whose value is the sum of their networks': the mean of such a pair is 10."""
    generator = np.random.default_rng(1)
    covered, runs = 0, 100
    for _ in range(runs):
        values = generator.normal(5, 1, size=6)
        names = [f"x-{i}" for i in range(6)]
        rows = [network(n, v, v) for n, v in zip(names, values, strict=True)]
        for (i, a), (j, b) in itertools.combinations(enumerate(names), 2):
            rows.append(pair(a, b, values[i] + values[j]))
        row = find(summarise(rows, 0.5), "barrier", "x", path="geodesic")
        covered += row.low < 10 < row.high
    # 95 % with a standard error of 2.2 % over 100 runs; percentiles alone cover about 82 %
    assert 0.89 < covered / runs <= 0.99


def test_an_interval_of_what_is_never_negative_is_not_negative_either():
    rows = [network(f"x-{i}", i % 2, i) for i in range(4)]
    assert find(summarise(rows, 0.5), "increase", "x", sigma=0.5).low == 0


def test_pairs_that_share_networks_are_not_taken_as_independent(summary, values):
    """A pair's value is the sum of its networks': the mean varies as twice a mean of 8, not of 28."""
    row = find(summary, "barrier", "x", path="geodesic")
    width, of_networks = row.high - row.low, 2 * 2 * 2.365 * values.std(ddof=1) / 8**0.5
    naive = 2 * 1.96 * np.std([a + b for a, b in itertools.combinations(values, 2)]) / 28**0.5
    assert width > 1.3 * naive
    assert width == pytest.approx(of_networks, rel=0.35)


def test_a_perfect_relation_has_correlation_one(summary):
    row = find(summary, "flatness_test_correlation", "all")
    assert (row.estimate, row.low, row.high) == (pytest.approx(1),) * 3


def test_the_correlation_is_spearmans():
    generator = np.random.default_rng(2)
    increase, error = generator.integers(0, 5, size=(2, 9)) / 5  # with ties
    rows = [network(f"x-{i}", a, b) for i, (a, b) in enumerate(zip(increase, error, strict=True))]
    row = find(summarise(rows, 0.5), "flatness_test_correlation", "all")
    assert row.estimate == pytest.approx(spearmanr(increase, error).statistic)
    assert row.low < row.estimate < row.high


def test_pairs_across_solvers_have_a_group_of_their_own():
    rows = [network("x-0", 1, 1), network("y-0", 2, 2), pair("x-0", "y-0", 0.5)]
    summary = summarise(rows, 0.5)
    assert find(summary, "barrier", "x / y", path="geodesic").estimate == 0.5
    assert not [row for row in summary if row.statistic == "barrier" and row.group == "x"]


def test_one_network_has_no_interval():
    row = find(summarise([network("x-0", 1, 1)], 0.5), "test_error", "x")
    assert (row.estimate, row.low, row.high) == (1, None, None)


def test_every_architecture_is_summarised_by_itself():
    rows = [network("x-0", 1, 1), network("x-1", 2, 2)]
    others = [network(row.name, 1, 5.0, architecture="cnn") for row in rows]
    summary = summarise([*rows, *others], 0.5)
    assert find(summary, "test_error", "x", architecture="mlp").estimate == 1.5
    assert find(summary, "test_error", "x", architecture="cnn").estimate == 5


def test_bends_have_barriers_and_errors_of_their_own():
    names = ["x-0", "x-1", "x-2"]
    rows = [network(name, 1, 1) for name in names]
    for a, b in itertools.combinations(names, 2):
        rows += [pair(a, b, 0.5), Bend(**ends(a, b, "bend", 0.25))]
    summary = summarise(rows, 0.5)
    assert find(summary, "barrier", "x", path="bend").estimate == 0.25
    assert find(summary, "barrier", "x", path="geodesic").estimate == 0.5
    assert find(summary, "path_error", "x", path="bend", t=1.0).estimate == 0.25
    assert find(summary, "mean_angle_after", "x").count == 3


def test_pairs_across_solvers_are_found_in_either_order():
    rows = [network("x-0", 1, 1), network("y-0", 2, 2), pair("y-0", "x-0", 0.5)]
    assert find(summarise(rows, 0.5), "barrier", "x / y", path="geodesic").estimate == 0.5


def test_what_is_not_finite_is_left_out():
    rows = [network(f"x-{i}", 1.0, None if i == 0 else 2.0) for i in range(3)]
    rows += [pair("x-0", "x-1", 0.5), pair("x-0", "x-2", None)]
    summary = summarise(rows, 0.5)
    assert find(summary, "test_error", "x").count == 2
    assert find(summary, "barrier", "x", path="geodesic").count == 1
    assert find(summary, "path_error", "x", path="geodesic", t=0.0).count == 2
    assert find(summary, "flatness_test_correlation", "all").estimate is None


def test_no_networks_have_no_summary():
    assert summarise([], 0.5) == []


def test_an_interval_of_an_error_ends_at_one():
    rows = [network(f"x-{i}", 0.1, error) for i, error in enumerate((0.2, 1.0, 1.0))]
    row = find(summarise(rows, 0.5), "test_error", "x")
    assert row.estimate < row.high == 1.0
