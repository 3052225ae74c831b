import itertools

import numpy as np
import pytest
from scipy.stats import permutation_test

from toroids.statistics.claims.exchange import (
    difference_p,
    means_to_others,
    table_of,
    within_difference_p,
)


def table(generator, x, y, noise=0.5):
    effects = np.concatenate([x, y])
    own = noise * generator.normal(size=(len(effects), len(effects)))
    return effects[:, None] + effects + own + own.T


def test_a_difference_of_networks_is_scipys():
    generator = np.random.default_rng(0)
    a, b = generator.normal(1, 1, 5), generator.normal(0, 1, 6)
    expected = permutation_test((a, b), lambda x, y: x.mean() - y.mean(), n_resamples=np.inf)
    assert difference_p([(a, b)]) == pytest.approx(expected.pvalue, abs=0.02)


def test_labels_are_exchanged_within_settings_only():
    """Settings shift both methods; within settings the difference is always the same."""
    blocks = [(np.array([1.0, 1.1]) + shift, np.array([0.0, 0.1]) + shift) for shift in (0, 9, 20)]
    assert difference_p(blocks) == pytest.approx(2 / 6**3)


def test_pairs_within_are_those_of_the_labels():
    generator = np.random.default_rng(1)
    values = table(generator, generator.normal(2, 1, 3), generator.normal(0, 1, 3))
    labels = [True] * 3 + [False] * 3

    def difference(chosen):
        def within(members):
            return np.mean([values[i, j] for i, j in itertools.combinations(members, 2)])

        return abs(within(chosen) - within(sorted(set(range(6)) - set(chosen))))

    every = [difference(chosen) for chosen in itertools.combinations(range(6), 3)]
    expected = np.mean(np.array(every) >= difference((0, 1, 2)) - 1e-9)
    assert within_difference_p(values, labels) == pytest.approx(expected)


def test_p_over_networks_is_valid_though_pairs_share_them():
    generator = np.random.default_rng(2)
    labels = [True] * 4 + [False] * 4
    found = [
        within_difference_p(
            table(generator, generator.normal(size=4), generator.normal(size=4)), labels
        )
        for _ in range(300)
    ]
    assert np.mean(np.array(found) <= 0.05) <= 0.09  # 5 % with a standard error of 1.3 %
    assert 0.4 < np.mean(found) < 0.6


def test_a_pair_that_is_missing_leaves_no_p():
    values = np.ones((4, 4))
    values[0, 3] = values[3, 0] = np.nan
    assert within_difference_p(values, [True, True, False, False]) is None
    assert within_difference_p(np.ones((3, 3)), [True, True, False]) is None


def test_tables_and_means_to_others():
    found = table_of(["a", "b", "c"], {("a", "b"): 1.0, ("c", "a"): 3.0, ("a", "z"): 9.0})
    assert found[1, 0] == 1
    assert found[0, 2] == 3
    assert np.isnan(found[1, 2])
    means = means_to_others(found, np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 2.0]]))
    assert means[0].tolist() == [2.0, 3.0]
    assert means[1].tolist() == [1.0, 1.0]
    assert np.isnan(table_of(["a", "b"], {("a", "b"): None})).all()
