"""How flat the minima of the solvers are, at equal settings, with confidence intervals.

Run it with `python benchmarks/solver_flatness.py [digits] [glyphs]`. Every row trains eight
networks (600 digits, 64-128-128-10; or 1000 glyphs of 16 x 16 pixels, 256-128-128-10) to zero train
error held for ten epochs, without augmentation or decay, and prints means over networks with 95 % t
intervals: the increase of the train error under multiplicative noise of 0.4, the test error, and
how many mini-batch gradients were computed. Learning rate and batch size move flatness as much as
the solver does: rows with the same values of both are to be compared with each other.
"""

import math
import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from scipy.stats import t as student
from torch import nn

import toroids as td

SEEDS = range(8)
SIGMA, SAMPLES = 0.4, 64
COMMON = {"budget": 60, "hold": 10}

ROWS: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {"lr": 0.05}),
    ("sgd", {"lr": 0.1}),
    ("sgd", {"lr": 0.2}),
    ("sgd", {"lr": 0.1, "batch_size": 10}),
    ("sgd", {"lr": 0.1, "budget": 180}),
    ("replicated_sgd", {"lr": 0.05}),
    ("replicated_sgd", {"lr": 0.1}),
    ("replicated_sgd", {"lr": 0.2}),
    ("replicated_sgd", {"lr": 0.1, "balanced": True, "coupling": (0.1, 10.0)}),
    ("entropy_sgd", {"lr": 0.1, "budget": 300}),
    ("entropy_sgd", {"lr": 0.5, "budget": 300}),
    ("sam", {"lr": 0.1, "rho": 0.05}),
    ("sam", {"lr": 0.1, "rho": 0.2}),
    ("sam", {"lr": 0.1, "rho": 1.0, "adaptive": True}),
    ("swa", {"lr": 0.1, "hold": 60}),
    ("adam", {"lr": 0.001}),
    ("adversarial_sgd", {"lr": 0.1, "corrupt_lr": 0.03}),
]


def interval(values: list[float], scale: float = 1.0) -> str:
    """The mean with its 95 % t interval, over networks."""
    mean = statistics.mean(values)
    reach = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{scale * mean:7.2f} ± {scale * reach:5.2f}"


def digits() -> tuple[td.data.Dataset, Callable[[int], nn.Module]]:
    """600 digits and a network of two hidden layers."""
    return td.data.digits(train=600), lambda seed: td.models.fully_connected(
        [64, 128, 128, 10], seed=seed
    )


def glyphs() -> tuple[td.data.Dataset, Callable[[int], nn.Module]]:
    """1000 glyphs and a network of two hidden layers."""
    found = td.data.glyphs(train=1000, test=2000, size=16)
    flat = [(inputs.flatten(start_dim=1), labels) for inputs, labels in (found.train, found.test)]
    return td.data.Dataset(*flat, found.classes), lambda seed: td.models.fully_connected(
        [256, 128, 128, 10], seed=seed
    )


def main() -> None:
    """Prints one table per data set named, or both."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ("digits", "glyphs"):
        data, make_model = {"digits": digits, "glyphs": glyphs}[name]()
        print(f"\n| {name} | increase of train error, % | test error, % | gradients | zero error |")
        print("|---|---|---|---|---|", flush=True)
        for solver, settings in ROWS:
            options = {**COMMON, **settings}
            increases, errors, steps, ended = [], [], [], 0
            for seed in SEEDS:
                found = getattr(td.solvers, solver)(make_model, data.train, seed, **options)
                model = make_model(0)
                energy = td.local_energy(model, found.params, data.train, (SIGMA,), SAMPLES)
                increases.append(energy.increase.item())
                errors.append(td.evaluate(model, found.params, data.test).error)
                steps.append(found.gradient_steps)
                ended += td.evaluate(model, found.params, data.train).error == 0
            shown = ", ".join(f"{key} {value}" for key, value in settings.items())
            print(
                f"| {solver} {shown} | {interval(increases, 100)} | {interval(errors, 100)} | "
                f"{statistics.mean(steps):.0f} | {ended} of {len(increases)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
