"""Is the space of solutions a star? Pairs of solutions joined without an error, by density.

A perceptron stores random patterns, alpha of them per weight. Two kinds of solvers find its
solutions: ones that look for robust solutions, far from every wrong one, and ones that take what
they meet. Which pairs are joined by a geodesic on which no pattern is ever wrong? Of the binary
perceptron the geodesics flip weights in random orders; of the spherical one with a negative margin
they are great circles. The analytical work says that robust solutions reach most others where the
density is small, and that this ends where it is high (arXiv 2305.10623).
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import torch

import toroids as td
from toroids.binary.layers import Scale

SOLUTIONS = 5  # of every kind
BINARY, BINARY_DENSITIES = 301, (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
SPHERICAL, SPHERICAL_DENSITIES = 200, (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
MARGIN, EPOCHS, SHARPNESS = -0.5, 100, 10.0
Networks = Sequence[td.Params]
KINDS = ("robust", "typical")


def binary(density: float) -> dict[str, float]:
    """Finds solutions of the binary perceptron, and how many pairs of them are joined."""
    data = td.data.patterns(BINARY, density, seed=0, binary=True).train

    def make_model(seed: int) -> torch.nn.Module:
        return td.models.binary_perceptron(BINARY, seed=seed)

    model = make_model(0)
    cube = td.Hypercube(td.discover(model, data[0][:2]))
    found = {
        "robust": [td.solvers.focusing_bp(make_model, data, s) for s in range(SOLUTIONS)],
        "typical": [td.solvers.sbpi(make_model, data, s) for s in range(SOLUTIONS)],
    }

    def barrier(a: td.Params, b: td.Params) -> float:
        return td.flip_profile(model, cube, a, b, data, orders=1, points=51).barrier

    return joined(solutions(found), barrier)


def spherical(density: float) -> dict[str, float]:
    """Finds solutions of the spherical perceptron, and how many pairs of them are joined."""
    inputs, labels = td.data.patterns(SPHERICAL, density, seed=0).train
    data = inputs * (2 * labels - 1)[:, None], torch.ones_like(labels)

    def solve(margin: float, seed: int) -> td.solvers.Trained:
        def make_model(seed: int) -> torch.nn.Module:
            model = td.models.spherical_perceptron(SPHERICAL, margin, seed)
            model.append(Scale(SHARPNESS))  # a loss that minds the few that are wrong
            return model

        return td.solvers.sgd(make_model, data, seed, EPOCHS, lr=4.0)

    model = td.models.spherical_perceptron(SPHERICAL, MARGIN)
    toroid = td.Toroid(direction(model, data[0][:4]))

    def largest_margin(seed: int) -> td.solvers.Trained:
        runs = (solve(MARGIN + more, seed) for more in (0.8, 0.4, 0.2))
        return next((run for run in runs if run.ended == "zero error"), solve(MARGIN, seed))

    runs = {
        "robust": [largest_margin(SOLUTIONS + seed) for seed in range(SOLUTIONS)],
        "typical": [solve(MARGIN, seed) for seed in range(SOLUTIONS)],
    }
    found = {
        kind: [td.canonicalize(toroid.group, params) for params in kept]
        for kind, kept in solutions(runs).items()
    }

    def barrier(a: td.Params, b: td.Params) -> float:
        return td.profile(model, toroid.geodesic(a, b), data, points=51).barrier

    return joined(found, barrier)


def direction(model: torch.nn.Module, inputs: torch.Tensor) -> td.SymmetryGroup:
    """The one symmetry of a spherical perceptron, written by hand and proven: its length."""
    weight = td.Leg("hidden.weight", 0, "write", "hidden")
    space = td.Space(
        name="hidden",
        size=1,
        copies=1,
        actions=frozenset({"rescale"}),
        legs=(weight,),
        generators=(td.Generator("rescale", (1.0,)),),
    )
    group = td.SymmetryGroup((space,), {"hidden.weight": (1, SPHERICAL)})
    assert td.verify(group, model, inputs) < 1e-8
    return group


def solutions(found: Mapping[str, Sequence[td.solvers.Trained]]) -> dict[str, list[td.Params]]:
    """Keeps what has no error."""
    return {
        kind: [run.params for run in runs if run.ended == "zero error"]
        for kind, runs in found.items()
    }


def joined(
    found: Mapping[str, Networks], barrier: Callable[[td.Params, td.Params], float]
) -> dict[str, float]:
    """The fraction of pairs without a barrier, for every two kinds; NaN without pairs."""
    fractions = {}
    for one, other in (("robust", "robust"), ("robust", "typical"), ("typical", "typical")):
        pairs = (
            itertools.combinations(found[one], 2)
            if one == other
            else itertools.product(found[one], found[other])
        )
        free = [barrier(a, b) == 0 for a, b in pairs]
        fractions[f"{one} - {other}"] = sum(free) / len(free) if free else math.nan
    return fractions


def main() -> None:
    """Prints the curves."""
    for name, measure, densities in (
        ("binary perceptron", binary, BINARY_DENSITIES),
        (f"spherical perceptron, margin {MARGIN}", spherical, SPHERICAL_DENSITIES),
    ):
        curves = {density: measure(density) for density in densities}
        print(f"{name}: pairs joined without an error, by density")
        print(" " * 20 + "".join(f"{density:>7g}" for density in densities))
        for pair in curves[densities[0]]:
            row = "".join(f"{curves[density][pair]:>7.0%}" for density in densities)
            print(f"{pair:<20}{row}")


if __name__ == "__main__":
    main()
