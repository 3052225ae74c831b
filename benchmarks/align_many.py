"""Compares alignment of many networks to a common centre with chaining and with a first one.

Run it with `python benchmarks/align_many.py`; with `--table` it prints the table of
benchmarks/align_many.md. Five digits networks trained apart are brought together in three ways:
each to the one before it (chained), all to the first, and by `align_many`. Figures: the mean
similarity over all pairs, which align_many raises, the mean distance on the toroid, the train error
of the networks' Karcher mean, and seconds; over several sets of networks, each with its standard
error in the longer table.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from align_quality import shown
from harness.networks import for_digits
from harness.result import Result
from harness.script import main

import toroids as td

SETS, NETWORKS = 4, 5
NAMES = ("fully connected 32", "fully connected 128", "convolutional 16", "residual 16")
# Similarity, distance, error of the mean, seconds; each a value per set.
Columns = list[tuple[float, ...]]


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


def measure(name: str, sets: int, count: int) -> dict[str, Columns]:
    """The columns of every way on networks of one architecture."""
    data, make = td.data.digits(train=600), dict(for_digits())[name]
    model = make(0).eval()
    group = td.discover(model, data.train[0][:2], output="classifier")
    toroid = td.Toroid(group)
    found: dict[str, Columns] = {way: [] for way in WAYS}
    for first in range(0, sets * count, count):
        seeds = range(first, first + count)
        networks = [td.solvers.SGD().train(make, data.train, seed=seed).params for seed in seeds]
        for way, together in WAYS.items():
            begun = time.perf_counter()
            moved = together(group, networks)
            seconds = time.perf_counter() - begun
            pairs = list(itertools.combinations(moved, 2))
            similar = [sum(float((a[n] * b[n]).sum()) for n in group.parameters) for a, b in pairs]
            found[way].append((
                statistics.mean(similar),
                statistics.mean(toroid.distance(a, b) for a, b in pairs),
                td.evaluate(model, toroid.mean(moved), data.train).error,
                seconds,
            ))  # fmt: skip
    return {way: list(zip(*values, strict=True)) for way, values in found.items()}


def rows(quick: bool) -> Iterator[Result]:
    """`align_many` beside the two other ways."""
    for name in NAMES[:1] if quick else NAMES:
        sets, count = (2, 3) if quick else (SETS, NETWORKS)
        found = measure(name, sets, count)
        similarity, _, error, seconds = found["align_many"]
        what, note = f"align_many, {count} networks, {name}", "one value per set of networks"
        for way in ("chained", "to the first"):
            theirs = found[way]
            yield Result(
                f"{what}: similarity", "", similarity, way, theirs[0],
                goal=1, at_least=True, note=note,
            )  # fmt: skip
            yield Result(f"{what}: error of the mean", "error", error, way, theirs[2], note=note)
            yield Result(what, "s", seconds, way, theirs[3], note=note)


def table() -> None:
    """Prints the table of the page."""
    print("| networks | way | similarity | distance | error of the mean | seconds |")
    print("|---|---|---|---|---|---|")
    for name in NAMES:
        for way, columns in measure(name, SETS, NETWORKS).items():
            cells = [shown(column) for column in columns]
            print(f"| {name} | {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(rows, table=table)
