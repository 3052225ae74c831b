"""p-values of differences between two solvers, whose labels are dealt anew over the networks.

If the solvers make no difference, every way of dealing the labels is as likely as the one at hand.
Values of pairs go with their networks: a pair lies within a solver if both its networks got that
label, so all pairs between the networks must have been measured.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from toroids.statistics.resampling import Floats, permutation_p


def difference_p(blocks: Sequence[tuple[Floats, Floats]]) -> float | None:
    """Computes p of a difference of means of networks.

    Args:
        blocks: values of the one and of the other, by settings; labels are exchanged within a
            block, and the difference is the mean of those of the blocks.

    Returns:
        The two-sided p, None where no network can be exchanged.
    """
    values = np.concatenate([side for block in blocks for side in block])
    labels = np.concatenate([np.repeat([1.0, 0.0], [len(a), len(b)]) for a, b in blocks])
    strata = np.repeat(np.arange(len(blocks)), [len(a) + len(b) for a, b in blocks])
    first = np.concatenate([np.full(len(a) + len(b), 1 / len(a)) for a, b in blocks])
    second = np.concatenate([np.full(len(a) + len(b), 1 / len(b)) for a, b in blocks])

    def statistic(dealt: Floats) -> Floats:
        found: Floats = dealt @ (first * values) - (1 - dealt) @ (second * values)
        return found / len(blocks)

    return permutation_p(labels, statistic, strata.tolist())


def within_difference_p(table: Floats, labels: Sequence[bool]) -> float | None:
    """Computes p of a difference between the mean over pairs within one solver and the other.

    Args:
        table: values of all pairs of the two solvers' networks, of shape (n, n), symmetric; NaN
            where there is none.
        labels: which networks are of the first solver.

    Returns:
        The two-sided p, None where a pair was not measured or a solver has one network only.
    """
    first = np.array(labels, dtype=float)
    sizes = first.sum(), len(first) - first.sum()
    apart = ~np.eye(len(first), dtype=bool)
    if min(sizes) < 2 or not np.isfinite(table[apart]).all():
        return None
    values = np.where(apart, table, 0.0)

    def within(dealt: Floats, size: float) -> Floats:
        found: Floats = ((dealt @ values) * dealt).sum(axis=1) / (size * (size - 1))
        return found

    return permutation_p(first, lambda dealt: within(dealt, sizes[0]) - within(1 - dealt, sizes[1]))


def table_of(names: Sequence[str], values: Mapping[tuple[str, str], float | None]) -> Floats:
    """Arranges values of pairs of networks as a symmetric matrix.

    Args:
        names: the n networks of its rows and columns.
        values: by the names of two networks; pairs with others are ignored.

    Returns:
        Shape (n, n); NaN on the diagonal and where there is no value.
    """
    place = {name: position for position, name in enumerate(names)}
    found = np.full((len(names), len(names)), np.nan)
    for (a, b), value in values.items():
        if a in place and b in place and value is not None:
            found[place[a], place[b]] = found[place[b], place[a]] = value
    return found


def means_to_others(table: Floats, counts: Floats) -> Floats:
    """Averages over every network's pairs, each other network as often as it was drawn.

    Args:
        table: as from `table_of`, of shape (n, n).
        counts: how often each network counts, of shape (n, m).

    Returns:
        Shape (n, m); NaN where a network has no pair with any that was drawn.
    """
    known = np.isfinite(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = (np.where(known, table, 0.0) @ counts) / (known.astype(float) @ counts)
    return found
