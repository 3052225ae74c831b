"""Is the space of solutions a star? Pairs of solutions joined without an error, by density.

A perceptron stores random patterns, alpha of them per weight. Two kinds of solvers find its
solutions: ones that look for robust solutions, far from every wrong one, and ones that take what
they meet. Which pairs are joined by a geodesic on which no pattern is ever wrong? Of the binary
perceptron the geodesics flip weights in random orders; of the spherical one with a negative margin
they are great circles. The analytical work says that robust solutions reach most others where the
density is small, and that this ends where it is high (arXiv 2305.10623).
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

import torch

import toroids as td
from toroids.binary.layers import Scale
from toroids.landscape.star import wilson
from toroids.report.figures.style import COLOURS, SYMBOLS, laid_out, panels
from toroids.report.pictures import write_picture

SOLUTIONS = 4  # of every kind
BINARY, BINARY_DENSITIES = 301, (0.1, 0.2, 0.3, 0.4)
SPHERICAL, SPHERICAL_DENSITIES = 200, (0.5, 1.0, 2.0, 3.0)
MARGIN, EPOCHS, SHARPNESS = -0.5, 100, 10.0
PAIRS = (("robust", "robust"), ("robust", "typical"), ("typical", "typical"))
# How many pairs are joined, and how many there are, for every two kinds.
Joined = dict[str, tuple[int, int]]


def main() -> None:
    """Prints and draws the curves."""
    torch.set_num_threads(1)  # these networks are too small to gain from a second thread
    spheres = f"spherical perceptron, margin {MARGIN}"
    figure = panels(["binary perceptron", spheres])
    for column, (name, measure, densities) in enumerate(
        (
            ("binary perceptron", binary, BINARY_DENSITIES),
            (spheres, spherical, SPHERICAL_DENSITIES),
        ),
        start=1,
    ):
        found = [measure(density) for density in densities]
        print(f"{name}: pairs joined without an error, of all pairs, by density")
        print(" " * 20 + "".join(f"{density:>8g}" for density in densities))
        for number, pair in enumerate(found[0]):
            counts = [joined[pair] for joined in found]
            print(f"{pair:<20}" + "".join(f"{f'{free}/{pairs}':>8}" for free, pairs in counts))
            kept = [(x, *count) for x, count in zip(densities, counts, strict=True) if count[1]]
            ends = [wilson(torch.tensor([free]), pairs)[0].tolist() for _, free, pairs in kept]
            shares = [free / pairs for _, free, pairs in kept]
            figure.add_scatter(
                # side by side, so that no bar hides another
                x=[density + (number - 1) * 0.008 * densities[-1] for density, *_ in kept],
                y=shares,
                error_y={
                    "symmetric": False,
                    "array": [high - y for y, (_, high) in zip(shares, ends, strict=True)],
                    "arrayminus": [y - low for y, (low, _) in zip(shares, ends, strict=True)],
                },
                name=pair,
                showlegend=column == 1,
                marker={"color": COLOURS[number], "symbol": SYMBOLS[number], "size": 9},
                row=1,
                col=column,
            )
    figure.update_xaxes(title="patterns per weight", rangemode="tozero")
    figure.update_yaxes(range=[-0.03, 1.03], tickformat=".0%")
    figure.update_yaxes(title="pairs joined without an error", col=1)
    lines = [
        "Bars are Wilson's 95 % intervals, as if pairs were independent; they share solutions, so "
        "that the truth is less certain.",
        "A solution that was found twice counts once. A mark is missing where there is no pair: "
        "every run of a solver found the same solution, or none did.",
    ]
    title = "Is the space of solutions a star?"
    write_picture(laid_out(figure, shared=True), title, lines, "star_of_solutions.html")
    print("figure: star_of_solutions.html")


def binary(density: float) -> Joined:
    """Finds solutions of the binary perceptron, and how many pairs of them are joined."""
    data = td.data.patterns(BINARY, density, seed=0, binary=True).train

    def make_model(seed: int) -> torch.nn.Module:
        return td.models.binary_perceptron(BINARY, seed=seed)

    model = make_model(0)
    cube = td.geometry.Hypercube(td.discover(model, data[0][:2]))
    runs = {
        "robust": [td.solvers.FocusingBP().train(make_model, data, s) for s in range(SOLUTIONS)],
        "typical": [td.solvers.SBPI().train(make_model, data, s) for s in range(SOLUTIONS)],
    }

    landscape = td.Landscape(model, data, on=cube)

    def barrier(a: td.Params, b: td.Params) -> float:
        return td.flip_profile(landscape, a, b, orders=1, points=51).barrier

    return joined(runs, barrier, cube.distance)


def spherical(density: float) -> Joined:
    """Finds solutions of the spherical perceptron, and how many pairs of them are joined."""
    inputs, labels = td.data.patterns(SPHERICAL, density, seed=0).train
    data = inputs * (2 * labels - 1)[:, None], torch.ones_like(labels)
    model = td.models.spherical_perceptron(SPHERICAL, MARGIN)
    toroid = td.Toroid(length(model, data[0][:4]))

    def solve(margin: float, seed: int) -> td.solvers.Trained:
        def make_model(seed: int) -> torch.nn.Module:
            model = td.models.spherical_perceptron(SPHERICAL, margin, seed)
            model.append(Scale(SHARPNESS))  # a loss that minds the few that are wrong
            return model

        run = td.solvers.SGD(budget=EPOCHS, lr=4.0).train(make_model, data, seed)
        return dataclasses.replace(run, params=dict(td.canonicalize(toroid.group, run.params)))

    def largest_margin(seed: int) -> td.solvers.Trained:
        runs = (solve(MARGIN + more, seed) for more in (0.2, 0.4, 0.8))
        solved = list(itertools.takewhile(lambda run: run.ended == "zero error", runs))
        return solved[-1] if solved else solve(MARGIN, seed)

    runs = {
        "robust": [largest_margin(SOLUTIONS + seed) for seed in range(SOLUTIONS)],
        "typical": [solve(MARGIN, seed) for seed in range(SOLUTIONS)],
    }

    landscape = td.Landscape(model, data)

    def barrier(a: td.Params, b: td.Params) -> float:
        return td.profile(landscape, toroid.geodesic(a, b), points=51).barrier

    return joined(runs, barrier, toroid.distance)


def length(model: torch.nn.Module, inputs: torch.Tensor) -> td.SymmetryGroup:
    """The one symmetry of a spherical perceptron, written by hand and proven: its length."""
    weight = td.symmetry.Leg("hidden.weight", 0, "write", "hidden")
    space = td.symmetry.Space(
        name="hidden",
        size=1,
        copies=1,
        actions=frozenset({"rescale"}),
        legs=(weight,),
        generators=(td.symmetry.Generator("rescale", (1.0,)),),
    )
    group = td.SymmetryGroup((space,), {"hidden.weight": (1, SPHERICAL)})
    assert td.verify(group, model, inputs) < 1e-8
    return group


def joined(
    runs: Mapping[str, Sequence[td.solvers.Trained]],
    barrier: Callable[[td.Params, td.Params], float],
    distance: Callable[[td.Params, td.Params], float],
) -> Joined:
    """Counts the pairs without a barrier and all pairs of different solutions, by their kinds."""
    found: dict[str, list[td.Params]] = {kind: [] for kind in runs}
    for kind, kept in found.items():
        for run in runs[kind]:
            new = all(distance(run.params, other) > 0 for other in kept)
            if run.ended == "zero error" and new:
                kept.append(run.params)
    counts = {}
    for one, other in PAIRS:
        pairs = list(
            itertools.combinations(found[one], 2)
            if one == other
            else itertools.product(found[one], found[other])
        )
        counts[f"{one} - {other}"] = sum(barrier(a, b) == 0 for a, b in pairs), len(pairs)
    return counts


if __name__ == "__main__":
    main()
