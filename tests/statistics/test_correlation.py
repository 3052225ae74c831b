import numpy as np
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr

from toroids.statistics.correlation import (
    indicators,
    joint_draws,
    rank_correlation,
    rank_correlation_p,
)

THREE = [solver for solver in "xyz" for _ in range(8)]


def confounded(generator, slope=0.0):
    """Both grow from solver to solver; within a solver y follows x with a slope."""
    level = np.repeat([0.0, 3.0, 6.0], 8)
    noise = generator.normal(size=(2, 24))
    return level + noise[0], level + slope * noise[0] + noise[1]


def test_the_correlation_is_spearmans_also_with_ties():
    x, y = np.random.default_rng(0).integers(0, 5, size=(2, 9)).astype(float)
    found = rank_correlation(x, y, ["s"] * 9)
    assert found.estimate == pytest.approx(spearmanr(x, y).statistic)
    assert found.low < found.estimate < found.high


def test_what_is_held_fixed_is_taken_out_of_the_ranks():
    generator = np.random.default_rng(1)
    x, y, z = generator.normal(size=(3, 12))
    found = rank_correlation(x, y, ["s"] * 12, z[:, None])
    left = [v - np.polyval(np.polyfit(z, v, 1), z) for v in map(rankdata, (x, y))]
    assert found.estimate == pytest.approx(pearsonr(*left).statistic)


def test_simpsons_paradox_is_seen():
    x, y = confounded(np.random.default_rng(2), slope=-2.0)
    overall = rank_correlation(x, y, THREE)
    inside = rank_correlation(x, y, THREE, indicators(THREE))
    assert overall.low > 0
    assert inside.high < 0
    assert rank_correlation_p(x, y) < 0.01
    assert rank_correlation_p(x, y, THREE, indicators(THREE)) < 0.01


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_coverage(rho):
    """Of normal variables the truth is 6 / pi asin(rho / 2)."""
    generator = np.random.default_rng(3)
    hits, runs = 0, 100
    for _ in range(runs):
        x, noise = generator.normal(size=(2, 12))
        y = rho * x + (1 - rho**2) ** 0.5 * noise
        found = rank_correlation(x, y, ["s"] * 12)
        hits += found.low <= 6 / np.pi * np.arcsin(rho / 2) <= found.high
    assert hits / runs >= 0.90


def test_p_within_strata_is_valid_where_solvers_differ():
    generator = np.random.default_rng(4)
    found = []
    for _ in range(150):
        x, y = confounded(generator)
        found.append(rank_correlation_p(x, y, THREE, indicators(THREE)))
    assert np.mean(np.array(found) <= 0.05) <= 0.1  # three standard errors above 5 %
    assert 0.4 < np.mean(found) < 0.6


def test_constant_values_have_no_correlation():
    x = np.arange(8.0)
    found = rank_correlation(x, np.ones(8), ["s"] * 8)
    assert (found.estimate, found.low, found.high) == (None, None, None)
    assert rank_correlation_p(x, np.ones(8)) is None
    assert rank_correlation_p(np.ones(8), x) is None


def test_nothing_is_left_where_what_is_fixed_determines_the_ranks():
    x, y = np.arange(8.0), np.random.default_rng(5).normal(size=8)
    assert rank_correlation(x, y, ["s"] * 8, indicators(range(8))).estimate is None


def test_few_networks_have_no_interval():
    found = rank_correlation(np.arange(5.0), np.arange(5.0), ["s"] * 5)
    assert found.estimate == pytest.approx(1)
    assert found.low is None


def test_values_of_every_resample_are_used():
    x, solvers = np.arange(8.0), ["s"] * 8
    counts = joint_draws(solvers)
    drawn = np.tile(-x[:, None], (1, counts.shape[1]))
    found = rank_correlation(x, x, solvers, drawn_y=drawn)
    assert found.estimate == pytest.approx(1)
    assert (found.low, found.high) == pytest.approx((-1, 1))  # it holds the estimate
    drawn[:, 100:] = np.nan
    assert rank_correlation(x, x, solvers, drawn_y=drawn).low is None


def test_solvers_are_drawn_independently_and_keep_their_size():
    counts = joint_draws(["x", "y", "x", "y"])
    assert (counts[[0, 2]].sum(axis=0) == 2).all()
    assert abs(np.corrcoef(counts[0], counts[1])[0, 1]) < 0.1
