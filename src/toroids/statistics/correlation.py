"""Rank correlations over networks, also with other quantities held fixed, with their intervals.

Spearman's correlation is that of the ranks. With quantities z held fixed it is that of what is left
of the ranks after a linear fit to z: z of one indicator per solver leaves what happens within
solvers. Its interval is between the percentiles of a bootstrap over networks, drawn within their
solver; ranks and fits are made anew in every resample. As n networks of s solvers vary too little
in a bootstrap, the percentiles' distances from the correlation are widened by sqrt(n / (n - s)).

Reference:
    C. Spearman, The proof and measurement of association between two things, 1904.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.stats import rankdata

from toroids.statistics.resampling import RESAMPLES, Floats, Interval, draws, permutation_p

# Of fewer networks, perfect ranks come about by chance in more than one of 60 cases, and resamples
# of perfect ranks are perfect.
FEWEST = 6
# What is left of ranks is nothing if it is smaller than this, relative to the ranks.
NOTHING = 1e-6


def rank_correlation(
    x: Floats,
    y: Floats,
    solvers: Sequence[str],
    fixed: Floats | None = None,
    drawn_y: Floats | None = None,
) -> Interval:
    """Computes Spearman's correlation of two measurements of networks.

    Args:
        x: one number per network, of shape (n,).
        y: another one, of shape (n,).
        solvers: who found each network; resamples keep the number of networks of each.
        fixed: quantities to be held fixed, of shape (n, k).
        drawn_y: y in every resample where it hangs on the other networks, of shape
            (n, RESAMPLES), for the draws of `joint_draws`; NaN where it is not defined.

    Returns:
        The correlation, None if x or y or what is left of them is constant; no interval for fewer
        than FEWEST networks, or if most resamples have no correlation.
    """
    every = np.arange(len(x))[None]
    estimate = _correlations(x[every], y[every], None if fixed is None else fixed[every])[0]
    if not np.isfinite(estimate):
        return Interval(None, None, None, len(x), len(x))
    low, high = None, None
    if len(x) >= FEWEST:
        counts = joint_draws(solvers).astype(int)
        chosen = np.stack([np.repeat(every[0], count) for count in counts.T])
        of_y = y[chosen] if drawn_y is None else drawn_y[chosen, np.arange(RESAMPLES)[:, None]]
        held = None if fixed is None else fixed[chosen]
        resampled = _correlations(x[chosen], of_y, held)
        resampled = resampled[np.isfinite(resampled)]
        if len(resampled) > RESAMPLES / 2:  # of few, those without the measured pairs are missing
            wider = np.sqrt(len(x) / (len(x) - min(len(set(solvers)), len(x) - 1)))
            ends = estimate + wider * (np.quantile(resampled, [0.025, 0.975]) - estimate)
            low, high = np.clip(ends, -1.0, 1.0).tolist()
            # resamples hold networks twice, whose ranks tie: percentiles may pass the estimate by
            low, high = min(low, float(estimate)), max(high, float(estimate))
    return Interval(float(estimate), low, high, len(x), len(x))


def rank_correlation_p(
    x: Floats,
    y: Floats,
    strata: Sequence[Hashable] | None = None,
    fixed: Floats | None = None,
) -> float | None:
    """Computes the p-value of `rank_correlation` by dealing y anew over the networks.

    Args:
        x: one number per network, of shape (n,).
        y: another one, of shape (n,).
        strata: y is exchanged between networks of equal stratum only; where quantities are held
            fixed, these must be equal within a stratum.
        fixed: quantities that are held fixed, of shape (n, k).

    Returns:
        The two-sided p, None where no network can be exchanged for another or x is constant.
    """
    left = _left(_ranks(x[None]), None if fixed is None else fixed[None])[0]
    if not np.isfinite(left).all():
        return None
    # within strata the fit of y's ranks is the same in every arrangement, and so is their norm
    return permutation_p(_ranks(y[None])[0], lambda arranged: arranged @ left, strata)


def joint_draws(solvers: Sequence[str]) -> Floats:
    """Draws networks within their solvers, of all solvers at once.

    Args:
        solvers: who found each of n networks.

    Returns:
        How often each network occurs in every resample, of shape (n, RESAMPLES).
    """
    counts = np.empty((len(solvers), RESAMPLES))
    for stream, solver in enumerate(dict.fromkeys(solvers)):
        members = [number for number, other in enumerate(solvers) if other == solver]
        counts[members] = draws(len(members), stream)
    return counts


def indicators(strata: Sequence[Hashable]) -> Floats:
    """Writes groups as quantities to be held fixed: one column of zeros and ones per group."""
    groups = list(dict.fromkeys(strata))
    return np.array([[float(stratum == group) for group in groups] for stratum in strata])


def _correlations(x: Floats, y: Floats, fixed: Floats | None) -> Floats:
    """Correlations of many rows at once, of shape (rows,); NaN where there is none."""
    with np.errstate(invalid="ignore"):
        left_x, left_y = (_left(_ranks(values), fixed) for values in (x, y))
        found: Floats = (left_x * left_y).sum(axis=1)
    return found


def _ranks(values: Floats) -> Floats:
    """Centred ranks of every row; a row with a NaN has NaN ranks."""
    ranks: Floats = rankdata(values, axis=1) - (values.shape[1] + 1) / 2
    return ranks


def _left(ranks: Floats, fixed: Floats | None) -> Floats:
    """What a linear fit leaves of the ranks, scaled to unit norm; NaN where that is nothing."""
    left = ranks
    if fixed is not None:
        columns = np.concatenate([np.ones((*fixed.shape[:2], 1)), fixed], axis=2)
        columns = columns / np.abs(columns).max(axis=1, keepdims=True, initial=1e-300)
        transposed = columns.transpose(0, 2, 1)
        inverse = np.linalg.pinv(transposed @ columns, rcond=1e-10, hermitian=True)
        fitted = columns @ (inverse @ (transposed @ ranks[:, :, None]))
        left = ranks - fitted[:, :, 0]
    norm = np.linalg.norm(left, axis=1, keepdims=True)
    whole = np.linalg.norm(ranks, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled: Floats = np.where(norm > NOTHING * whole, left / norm, np.nan)
    return scaled
