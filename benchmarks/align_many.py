"""Compares alignment of many networks to a common centre with chaining and with a first one.

Run it with `python benchmarks/align_many.py`; it prints the table of benchmarks/align_many.md. Five
digits networks trained apart are brought together in three ways: each to the one before it
(chained), all to the first, and by `align_many`. Figures: the mean similarity over all pairs, which
align_many raises, the mean distance on the toroid, the train error of the networks' Karcher mean,
and seconds; each a mean with its standard error over several sets of networks.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence

from align_quality import architectures, shown

import toroids as td

SETS, NETWORKS = 4, 5
NAMES = ("fully connected 32", "fully connected 128", "convolutional 16", "residual 16")


def chained(group: td.SymmetryGroup, networks: Sequence[td.Params]) -> list[td.Params]:
    """Every network aligned to the moved one before it."""
    moved: list[td.Params] = [td.canonicalize(group, networks[0])]
    for network in networks[1:]:
        moved.append(td.align(group, network, to=moved[-1]).params)
    return moved


def to_the_first(group: td.SymmetryGroup, networks: Sequence[td.Params]) -> list[td.Params]:
    """Every network aligned to the first one."""
    first = td.canonicalize(group, networks[0])
    return [first, *(td.align(group, network, to=first).params for network in networks[1:])]


def to_a_centre(group: td.SymmetryGroup, networks: Sequence[td.Params]) -> list[td.Params]:
    """All networks aligned to each other."""
    return list(td.align_many(group, networks).params)


WAYS: dict[str, Callable[[td.SymmetryGroup, Sequence[td.Params]], list[td.Params]]] = {
    "chained": chained, "to the first": to_the_first, "align_many": to_a_centre,
}  # fmt: skip


def main() -> None:
    """Prints the table."""
    data = td.data.digits(train=600)
    print("| networks | way | similarity | distance | error of the mean | seconds |")
    print("|---|---|---|---|---|---|")
    makers = dict(architectures())
    for name in NAMES:
        make = makers[name]
        model = make(0).eval()
        group = td.discover(model, data.train[0][:2], output="classifier")
        toroid = td.Toroid(group)
        rows: dict[str, list[tuple[float, ...]]] = {way: [] for way in WAYS}
        for count in range(SETS):
            seeds = range(count * NETWORKS, (count + 1) * NETWORKS)
            networks = [td.solvers.sgd(make, data.train, seed=seed).params for seed in seeds]
            for way, together in WAYS.items():
                begun = time.perf_counter()
                moved = together(group, networks)
                seconds = time.perf_counter() - begun
                pairs = list(itertools.combinations(moved, 2))
                similar = [
                    sum(float((a[n] * b[n]).sum()) for n in group.parameters) for a, b in pairs
                ]
                rows[way].append((
                    statistics.mean(similar),
                    statistics.mean(toroid.distance(a, b) for a, b in pairs),
                    td.evaluate(model, toroid.mean(moved), data.train).error,
                    seconds,
                ))  # fmt: skip
        for way in WAYS:
            cells = [shown(column) for column in zip(*rows[way], strict=True)]
            print(f"| {name} | {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
