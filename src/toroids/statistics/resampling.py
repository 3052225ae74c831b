"""Intervals and p-values that respect that pairs share networks.

Networks are what was drawn at random; pairs, examples and points of a path are not resampled as if
they were independent. The standard error of a mean comes from a bootstrap over networks: networks
are drawn with replacement within their solver, and a pair counts as often as the product of its two
networks' draws. With few networks a bootstrap's variance is too small: by (n - 1) / n for a mean of
n networks, and by more for pairs, since none consists of one network that was drawn twice. The
deviations from the estimate are therefore scaled by that k with which the variance is right for
values that are sums of what independent networks contribute,

    k^2 sum_i Var(load_i) = sum_i load_i^2,

load_i the share of network i in the mean, as measured on the right, in resamples on the left. For
networks that is k^2 = n / (n - 1). The pairs' own noise counts two to three times in such a
bootstrap, never too little. The 95 % interval of what hangs on the networks of one solver is

    mean +- t(n - 1) bootstrap standard error,

t(n - 1) the 97.5 % quantile of Student's distribution; for a mean over networks this is the usual t
interval. What hangs on several solvers is resampled one solver at a time; the variances V_s add up,
and Welch and Satterthwaite's formula gives V^2 / sum_s V_s^2 / (n_s - 1) degrees of freedom: for a
difference of two solvers' means this is Welch's interval.

A permutation test deals labels anew over the networks, not over their pairs.

References:
    T. A. B. Snijders and S. P. Borgatti, Non-parametric standard errors and tests for network
    statistics, 1999. B. L. Welch, The generalization of Student's problem when several different
    population variances are involved, 1947.
"""

import itertools
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

RESAMPLES = 2000  # the interval's ends then move by about 2 % of its width from seed to seed
EXACT = 20_000  # so many arrangements are tried one by one: 8 labels of 16 have 12 870
PERMUTATIONS = 10_000  # of more, so many are drawn: no p-value is below 0.0001
# Sums of the same numbers in another order differ by this much at most, relative to the largest.
ROUNDING = 1e-9
Floats = NDArray[np.float64]
Owner = tuple[str, str]  # a network: its solver and its name


@dataclass(frozen=True)
class Sample:
    """Values of networks or of pairs.

    Attributes:
        values: k numbers, of shape (k,), or m quantities at once, of shape (m, k).
        owners: the one or two networks behind each of the k.
    """

    values: Floats
    owners: tuple[tuple[Owner, ...], ...]

    @property
    def networks(self) -> set[Owner]:
        """All networks behind the values."""
        return {owner for owners in self.owners for owner in owners}


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval.

    Attributes:
        estimate: the number itself, None where there is none.
        low: lower end, None where too few networks are behind the estimate.
        high: upper end.
        networks: how many networks are behind it.
        values: how many networks or pairs are behind it.
    """

    estimate: float | None
    low: float | None
    high: float | None
    networks: int
    values: int


@cache
def draws(networks: int, stream: int = 0) -> Floats:
    """Draws how often each of n networks occurs in every resample.

    Args:
        networks: how many there are, n.
        stream: networks of different streams are drawn independently.

    Returns:
        Counts of shape (n, RESAMPLES), the same at every call; every column sums to n.
    """
    generator = np.random.default_rng([stream, networks])
    counts = generator.multinomial(networks, [1 / networks] * networks, RESAMPLES)
    found: Floats = counts.T.astype(float)
    found.flags.writeable = False  # all callers share it
    return found


def mean(sample: Sample) -> Interval:
    """Computes a mean with its interval; where no value is negative, neither is the interval.

    For a paired contrast, pass the differences of the pairs' values.

    Args:
        sample: values of shape (k,).

    Returns:
        The mean; no interval with fewer than two values or with one network of a solver.
    """
    return means(sample)[0]


def means(sample: Sample) -> list[Interval]:
    """Computes the means of several quantities of the same networks or pairs.

    Args:
        sample: values of shape (m, k), or (k,) for one quantity.

    Returns:
        One interval per quantity, as from `mean`.
    """
    found = combinations([(1.0, sample)])
    lowest = np.atleast_2d(sample.values).min(axis=1, initial=0.0)
    return [
        _at_least_zero(item) if low >= 0 else item for item, low in zip(found, lowest, strict=True)
    ]


def difference(a: Sample, b: Sample) -> Interval:
    """Computes the mean of `a` minus that of `b`, with its interval.

    Args:
        a: values of shape (k,).
        b: values of shape (l,); it may share networks with `a`.

    Returns:
        The difference; no interval as in `mean`.
    """
    return combination([(1.0, a), (-1.0, b)])


def combination(terms: Sequence[tuple[float, Sample]]) -> Interval:
    """Computes a sum of multiples of means, with its interval.

    Args:
        terms: factors, and samples with values of shape (k,).

    Returns:
        The sum; no interval as in `mean`.
    """
    return combinations(terms)[0]


def combinations(terms: Sequence[tuple[float, Sample]]) -> list[Interval]:
    """Computes `combination` of several quantities at once: values of shape (m, k)."""
    terms = [(factor, _with_rows(sample)) for factor, sample in terms]
    owners = set().union(*(sample.networks for _, sample in terms))
    count = len({behind for _, sample in terms for behind in sample.owners})
    if any(not sample.owners for _, sample in terms):
        return [Interval(None, None, None, len(owners), count)] * len(terms[0][1].values)
    estimates = sum(factor * sample.values.mean(axis=1) for factor, sample in terms)
    solvers = sorted({solver for solver, _ in owners})
    sizes = np.array([sum(solver == name for name, _ in owners) for solver in solvers])
    if sizes.min() < 2 or any(len(sample.owners) < 2 for _, sample in terms):
        ends = [(None, None)] * len(estimates)
    else:
        parts = np.stack([_variance(terms, solver, owners) for solver in solvers])
        reach = _reach(parts, sizes)
        ends = list(zip((estimates - reach).tolist(), (estimates + reach).tolist(), strict=True))
    return [
        Interval(float(estimate), low, high, len(owners), count)
        for estimate, (low, high) in zip(estimates, ends, strict=True)
    ]


def _with_rows(sample: Sample) -> Sample:
    return Sample(np.atleast_2d(sample.values), sample.owners)


def _at_least_zero(item: Interval) -> Interval:
    if item.low is None:
        return item
    return Interval(item.estimate, max(item.low, 0.0), item.high, item.networks, item.values)


def _variance(terms: Sequence[tuple[float, Sample]], solver: str, owners: set[Owner]) -> Floats:
    """Variance of a combination over the draws of one solver's networks, of shape (m,)."""
    members = sorted(owner for owner in owners if owner[0] == solver)
    counts = draws(len(members))
    place = {owner: number for number, owner in enumerate(members)}
    resampled = np.zeros((len(terms[0][1].values), RESAMPLES))
    drawn = np.ones(RESAMPLES, dtype=bool)  # a resample may draw no pair at all
    for factor, sample in terms:
        weights = _weights(sample, place, counts)
        totals = weights.sum(axis=0)
        drawn &= totals > 0
        shares = weights / np.maximum(totals, 1)
        deviations = sample.values @ shares - sample.values.mean(axis=1, keepdims=True)
        resampled += factor * _scale(sample, place, shares[:, totals > 0]) * deviations
    variance: Floats = resampled[:, drawn].var(axis=1)
    return variance


def _scale(sample: Sample, place: dict[Owner, int], shares: Floats) -> float:
    """The module's k: shares are those of the values in every resample, of shape (k, resamples)."""
    behind = np.zeros((len(place), len(sample.owners)))
    for number, owners in enumerate(sample.owners):
        for owner in owners:
            if owner in place:
                behind[place[owner], number] += 1
    seen = float((behind @ shares).var(axis=1).sum())
    wanted = float((behind.mean(axis=1) ** 2).sum())
    # the only pair of two networks does not vary, whatever the scale
    return math.sqrt(wanted / seen) if seen > ROUNDING * wanted else 1.0


def _weights(sample: Sample, place: dict[Owner, int], counts: Floats) -> Floats:
    """How often every value counts: the product of its networks' draws, others drawn once."""
    counts = np.vstack([counts, np.ones(RESAMPLES)])  # the last row: of networks not drawn anew
    weights = np.ones((len(sample.owners), RESAMPLES))
    for side in range(max(map(len, sample.owners))):
        behind = [owners[side] if side < len(owners) else None for owners in sample.owners]
        weights *= counts[[place.get(one, -1) if one else -1 for one in behind]]
    return weights


def _reach(parts: Floats, sizes: NDArray[np.int64]) -> Floats:
    """Half the width of the intervals; parts: variances by solver and quantity."""
    total = parts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = total**2 / (parts**2 / (sizes[:, None] - 1)).sum(axis=0)
    # without any variance every number of degrees of freedom gives a width of zero
    freedom = np.where(np.isfinite(freedom), freedom, 1.0)
    reach: Floats = student.ppf(0.975, freedom) * np.sqrt(total)
    return reach


def permutation_p(
    labels: Sequence[float] | Floats,
    statistic: Callable[[Floats], Floats],
    strata: Sequence[Hashable] | None = None,
) -> float | None:
    """Computes a two-sided p-value by dealing the networks' labels anew.

    p is the fraction of arrangements whose statistic is at least as far from zero; all of them
    where these are at most EXACT, else PERMUTATIONS that are drawn, and the one at hand.

    Args:
        labels: one number per network: a group, or a measurement.
        statistic: maps arrangements of the labels, of shape (count, n), to numbers that scatter
            around zero if the labels mean nothing, of shape (count,).
        strata: labels are exchanged between networks of equal stratum only; one per network.

    Returns:
        p in (0, 1], None if there is no other arrangement.

    Example:
        >>> x, y = np.arange(5.0), np.arange(5.0)
        >>> permutation_p(x, lambda x: (x - 2) @ (y - 2))  # 2 of 120 arrangements
        0.016666666666666666
    """
    labels = np.asarray(labels, dtype=float)
    strata = [0] * len(labels) if strata is None else list(strata)
    blocks = [
        np.array([number for number, other in enumerate(strata) if other == stratum])
        for stratum in dict.fromkeys(strata)
    ]
    count = math.prod(_count(labels[block]) for block in blocks)
    if count < 2:
        return None
    tried = _all(labels, blocks) if count <= EXACT else _some(labels, blocks)
    reached = np.abs(statistic(tried))
    own = float(np.abs(statistic(labels[None]))[0])
    hits = int((reached >= own - ROUNDING * max(own, float(reached.max()))).sum())
    return hits / count if count <= EXACT else (hits + 1) / (len(tried) + 1)


def _count(values: Floats) -> int:
    """How many different arrangements of `values` there are."""
    multiplicities = np.unique(values, return_counts=True)[1]
    ways = math.factorial(len(values))
    return ways // math.prod(math.factorial(int(number)) for number in multiplicities)


def _all(labels: Floats, blocks: Sequence[NDArray[np.int64]]) -> Floats:
    found = np.tile(labels, (1, 1))
    for block in blocks:
        arranged = _arrangements(labels[block])
        found = np.repeat(found, len(arranged), axis=0)
        found[:, block] = np.tile(arranged, (len(found) // len(arranged), 1))
    return found


def _arrangements(values: Floats) -> Floats:
    """All different arrangements: places for one value, and for each those of the others."""
    if len(set(values.tolist())) < 2:
        return values[None]
    equal = values == values.min()
    rest = _arrangements(values[~equal])
    places = list(itertools.combinations(range(len(values)), int(equal.sum())))
    free = np.ones((len(places), len(values)), dtype=bool)
    np.put_along_axis(free, np.array(places), False, axis=1)
    found = np.full((len(places), len(rest), len(values)), values.min())
    found[np.broadcast_to(free[:, None], found.shape)] = np.tile(rest.ravel(), len(places))
    return found.reshape(-1, len(values))


def _some(labels: Floats, blocks: Sequence[NDArray[np.int64]]) -> Floats:
    generator = np.random.default_rng(0)
    found = np.tile(labels, (PERMUTATIONS, 1))
    for block in blocks:
        found[:, block] = generator.permuted(found[:, block], axis=1)
    return found
