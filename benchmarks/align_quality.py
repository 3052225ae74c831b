"""Compares the methods of alignment on digits networks trained apart.

Run it with `python benchmarks/align_quality.py`; it prints the table of
benchmarks/align_quality.md. Every figure is a mean over pairs of networks with its standard error:
similarity, the certified gap relative to the bound, the distance on the toroid, the barrier of
train error on the geodesic, how much it is above that of descent on the same pair, and seconds.
Where units are antipodal there is no geodesic; how many pairs have one is then said.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

import toroids as td
from toroids.errors import ParamsError

NETWORKS = 4
WIDTHS = {"fully connected": (16, 32, 128), "convolutional": (8, 16, 32)}
METHODS = (
    "none", "greedy", "activations", "descent", "frank-wolfe", "best", "descent, 2 s", "loss"
)  # fmt: skip


class Residual(nn.Module):
    """A block of two convolutions beside which its input passes."""

    def __init__(self, width: int) -> None:
        """Builds the block."""
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Adds what the convolutions make of `x`."""
        result: torch.Tensor = torch.relu(x + self.second(torch.relu(self.first(x))))
        return result


def convolutional(width: int, norm: bool, residual: bool) -> nn.Sequential:
    """A network of two convolutions, or one and a residual block, for 8 x 8 images."""

    def unit(i: int, o: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Conv2d(i, o, 3, padding=1)]
        return [*layers, *([nn.BatchNorm2d(o)] if norm else []), nn.ReLU()]

    body = [Residual(width)] if residual else unit(width, width)
    head = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * width, 10)]
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), *unit(1, width), *body, *head)


def architectures() -> Iterator[tuple[str, Callable[[int], nn.Module]]]:
    """Names and makers of all networks."""
    for width in WIDTHS["fully connected"]:
        yield (
            f"fully connected {width}",
            lambda seed, w=width: td.models.fully_connected([64, w, w, 10], seed=seed),
        )
    kinds = {
        "convolutional": (False, False),
        "batch norm": (True, False),
        "residual": (False, True),
    }
    for name, (norm, residual) in kinds.items():
        for width in WIDTHS["convolutional"]:

            def make(seed: int, w: int = width, n: bool = norm, r: bool = residual) -> nn.Module:
                torch.manual_seed(seed)
                return convolutional(w, n, r)

            yield f"{name} {width}", make


def measure(
    make: Callable[[int], nn.Module],
    method: str,
    data: td.data.Dataset,
    pairs: Sequence[tuple[td.Params, td.Params]],
    group: td.SymmetryGroup,
) -> list[tuple[float, ...]]:
    """One row per pair: similarity, gap, distance, barrier (NaN without a geodesic), seconds."""
    model = make(0).eval()
    toroid, rows = td.Toroid(group), []
    probe = td.Probe(model, group, data.train[0])
    evaluator = td.Evaluator(model, data.train)
    for a, b in pairs:
        begun = time.perf_counter()
        kind, _, budget = method.partition(", ")
        alignment = td.align(
            group, b, to=a, method="descent" if kind == "none" else kind,
            budget=float(budget.split()[0]) if budget else None,
            probe=probe if kind == "activations" else None,
            evaluator=evaluator if kind == "loss" else None,
        )  # fmt: skip
        seconds = time.perf_counter() - begun
        moved, reached = alignment.params, alignment.similarity
        if kind == "none":
            moved, reached = td.canonicalize(group, b), alignment.similarity_before
        try:
            path = toroid.geodesic(alignment.reference, moved)
            barrier = td.profile(model, path, data.train, 25).barrier
        except ParamsError:  # antipodal units
            barrier = math.nan
        rows.append((
            reached,
            (alignment.bound - reached) / alignment.bound,
            toroid.distance(alignment.reference, moved),
            barrier,
            0.0 if kind == "none" else seconds,
        ))  # fmt: skip
    return rows


def shown(values: Sequence[float]) -> str:
    """A mean and its standard error over the values that are defined."""
    known = [value for value in values if not math.isnan(value)]
    if len(known) < 2:
        return f"- ({len(known)} of {len(values)})"
    text = f"{statistics.mean(known):.4g} ± {statistics.stdev(known) / len(known) ** 0.5:.1g}"
    return text + (f" ({len(known)} of {len(values)})" if len(known) < len(values) else "")


def main() -> None:
    """Prints the table."""
    data = td.data.digits(train=600)
    print(
        "| network | method | similarity | gap / bound | distance | barrier | minus descent's",
        end="",
    )
    print(" | seconds |\n|---|---|---|---|---|---|---|---|")
    for name, make in architectures():
        networks = [td.solvers.sgd(make, data.train, seed=s).params for s in range(NETWORKS)]
        pairs = list(itertools.combinations(networks, 2))
        group = td.discover(make(0).eval(), data.train[0][:2], output="classifier")
        rows = {method: measure(make, method, data, pairs, group) for method in METHODS}
        usual = [row[3] for row in rows["descent"]]
        for method in METHODS:
            *columns, barriers, seconds = zip(*rows[method], strict=True)
            above = [x - y for x, y in zip(barriers, usual, strict=True)]
            cells = [shown(column) for column in (*columns, barriers, above, seconds)]
            print(f"| {name} | {method} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
