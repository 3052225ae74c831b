import itertools

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_ind

from toroids.statistics.resampling import (
    RESAMPLES,
    Sample,
    combination,
    difference,
    draws,
    mean,
    means,
    permutation_p,
)

RUNS = 300  # a coverage of 95 % then has a standard error of 1.3 %


def networks(solver, values):
    return Sample(np.array(values), tuple(((solver, f"{solver}-{i}"),) for i in range(len(values))))


def pairs(generator, effects, noise=0.3):
    """All pairs of networks, each the sum of its networks' effects and noise of its own."""
    names = [
        (solver, f"{solver}-{i}", v) for solver, vs in effects.items() for i, v in enumerate(vs)
    ]
    values, owners = [], []
    for a, b in itertools.combinations(names, 2):
        values.append(a[2] + b[2] + (noise * generator.normal() if noise else 0))
        owners.append((a[:2], b[:2]))
    return Sample(np.array(values), tuple(owners))


def within(sample, solver):
    kept = [i for i, (a, b) in enumerate(sample.owners) if a[0] == b[0] == solver]
    return Sample(sample.values[kept], tuple(sample.owners[i] for i in kept))


def covered(interval, truth):
    return interval.low <= truth <= interval.high


def test_draws_are_whole_and_the_same_every_time():
    counts = draws(5)
    assert counts.shape == (5, RESAMPLES)
    assert (counts.sum(axis=0) == 5).all()
    assert draws(5) is counts
    assert not (draws(5, 1) == counts).all()
    with pytest.raises(ValueError, match="read-only"):
        counts[0] = 0


def test_the_interval_of_a_mean_over_networks_is_students():
    values = np.random.default_rng(0).normal(size=7)
    found = mean(networks("x", values))
    reach = student.ppf(0.975, 6) * values.std(ddof=1) / 7**0.5
    assert found.estimate == pytest.approx(values.mean())
    assert found.high - found.estimate == pytest.approx(reach, rel=0.05)
    assert (found.networks, found.values) == (7, 7)


def test_the_interval_of_a_difference_is_welchs():
    generator = np.random.default_rng(1)
    a, b = generator.normal(0, 1, 5), generator.normal(0, 4, 9)
    found = difference(networks("x", a), networks("y", b))
    expected = ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.1)


def test_a_sum_of_a_mean_and_its_negative_is_zero_for_certain():
    sample = networks("x", [1.0, 2.0, 4.0])
    found = difference(sample, sample)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


def test_several_quantities_at_once_are_as_one_by_one():
    table = np.random.default_rng(2).normal(size=(3, 6))
    owners = networks("x", table[0]).owners
    together = means(Sample(table, owners))
    for found, row in zip(together, table, strict=True):
        alone = mean(Sample(row, owners))
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high))


def test_combination_of_means():
    a, b = networks("x", [1.0, 3.0]), networks("y", [10.0, 20.0])
    assert combination([(0.5, a), (2.0, b)]).estimate == pytest.approx(31)


def test_what_is_never_negative_has_no_negative_interval_but_a_difference_may():
    values = [0.0, 0.0, 0.0, 1.0]
    assert mean(networks("x", values)).low == 0
    assert combination([(1.0, networks("x", values))]).low < 0


@pytest.mark.parametrize("values", [[], [1.0]])
def test_too_few_values_have_no_interval(values):
    found = mean(networks("x", values))
    assert found.estimate == (1.0 if values else None)
    assert found.low is found.high is None


def test_one_network_on_one_side_has_no_interval():
    found = difference(networks("x", [1.0, 2.0, 3.0]), networks("y", [1.0]))
    assert (found.estimate, found.low) == (1.0, None)


def test_constant_values_have_an_interval_of_no_width():
    found = mean(networks("x", [0.5] * 4))
    assert (found.low, found.high) == (0.5, 0.5)


@pytest.mark.parametrize("count", [4, 8])
def test_coverage_of_a_difference_between_pairs_within_two_solvers(count):
    """Pairs share networks; taken as independent they cover 60 to 70 %."""
    generator = np.random.default_rng(3)
    hits = naive = 0
    for _ in range(RUNS):
        effects = {"x": generator.normal(1, 1, count), "y": generator.normal(0, 2, count)}
        sample = pairs(generator, effects)
        x, y = within(sample, "x"), within(sample, "y")
        hits += covered(difference(x, y), 2.0)
        naive += covered(ttest_ind(x.values, y.values, equal_var=False).confidence_interval(), 2.0)
    assert 0.92 <= hits / RUNS <= 0.99
    assert naive / RUNS < 0.85


def test_the_interval_of_pairs_that_are_sums_is_that_of_their_networks():
    values = np.random.default_rng(7).normal(size=8)
    found = combination([(1.0, pairs(None, {"x": values}, noise=0))])
    alone = combination([(2.0, networks("x", values))])
    assert found.estimate == pytest.approx(alone.estimate)
    assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_coverage_of_a_paired_difference_over_all_pairs_of_three_solvers():
    """Differences between two paths that hang on the networks; strata have different means."""
    generator = np.random.default_rng(4)
    hits = 0
    levels = {"x": 0.0, "y": 1.0, "z": 3.0}
    truth = pairs(generator, {s: [v] * 3 for s, v in levels.items()}, noise=0).values.mean()
    for _ in range(150):
        effects = {solver: generator.normal(level, 1, 3) for solver, level in levels.items()}
        hits += covered(combination([(1.0, pairs(generator, effects))]), truth)
    assert 0.90 <= hits / 150 <= 0.99


def test_coverage_where_only_the_pairs_vary_is_not_too_low():
    generator = np.random.default_rng(5)
    hits = 0
    for _ in range(RUNS):
        sample = pairs(generator, {"x": np.zeros(6)}, noise=1.0)
        hits += covered(combination([(1.0, sample)]), 0.0)
    assert hits / RUNS >= 0.95  # the module says: too wide rather than too narrow


def test_an_exact_p_counts_all_arrangements():
    labels, values = np.array([1.0, 1, 1, 0, 0, 0, 0]), np.array([9.0, 8, 7, 1, 2, 3, 4])

    def statistic(dealt):
        return dealt @ values / 3 - (1 - dealt) @ values / 4

    # brute force over all ways to choose three of seven
    own = abs(statistic(labels[None])[0])
    every = [np.isin(np.arange(7), chosen) * 1.0 for chosen in itertools.combinations(range(7), 3)]
    expected = np.mean([abs(statistic(dealt[None])[0]) >= own - 1e-12 for dealt in every])
    assert permutation_p(labels, statistic) == pytest.approx(expected)


def test_arrangements_of_ties_in_strata_are_all_and_different():
    seen = []
    labels = [1.0, 1.0, 2.0, 5.0, 6.0, 6.0]

    def statistic(dealt):
        seen.append(dealt)
        return dealt[:, 0]

    permutation_p(labels, statistic, list("aaabbb"))
    found = {tuple(row) for row in seen[0]}
    expected = {
        (*first, *second)
        for first in itertools.permutations(labels[:3])
        for second in itertools.permutations(labels[3:])
    }
    assert found == expected
    assert len(seen[0]) == 9


def test_many_arrangements_are_drawn_the_same_every_time():
    x, y = np.random.default_rng(6).normal(size=(2, 30))

    def statistic(dealt):
        return (dealt - x.mean()) @ (y - y.mean())

    p = permutation_p(x, statistic)
    assert p == permutation_p(x, statistic)
    assert permutation_p(x, lambda dealt: (dealt - x.mean()) @ (x - x.mean())) < 0.001
    assert 0 < p <= 1


def test_no_other_arrangement_has_no_p():
    assert permutation_p([1.0, 1.0, 1.0], lambda dealt: dealt[:, 0]) is None
    assert permutation_p([1.0, 2.0], lambda dealt: dealt[:, 0], ["a", "b"]) is None
