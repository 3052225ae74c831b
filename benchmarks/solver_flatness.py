"""How flat the minima of the solvers are, at equal settings, with confidence intervals.

Run it with `python benchmarks/solver_flatness.py [digits] [glyphs]`, for the solvers at one
learning rate and batch size; with `--table` it prints the tables of benchmarks/solver_flatness.md,
for all settings. Every row trains eight networks (600 digits, 64-128-128-10; or 1000 glyphs of
16 x 16 pixels, 256-128-128-10) to zero train error held for ten epochs, without augmentation or
decay, and measures the increase of the train error under multiplicative noise of 0.4; in the longer
tables stand means over networks with 95 % t intervals, the test error, and how many mini-batch
gradients were computed. Learning rate and batch size move flatness as much as the solver does: rows
with the same values of both are to be compared with each other.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from harness.result import Result
from harness.script import main
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


def digits(train: int = 600) -> tuple[td.data.Dataset, Callable[[int], nn.Module]]:
    """600 digits and a network of two hidden layers."""
    return td.data.digits(train=train), lambda seed: td.models.fully_connected(
        [64, 128, 128, 10], seed=seed
    )


def glyphs(train: int = 1000) -> tuple[td.data.Dataset, Callable[[int], nn.Module]]:
    """1000 glyphs and a network of two hidden layers."""
    found = td.data.glyphs(train=train, test=2 * train, size=16)
    own, other = (
        (inputs.flatten(start_dim=1), labels) for inputs, labels in (found.train, found.test)
    )
    return td.data.Dataset(own, other, found.classes), lambda seed: td.models.fully_connected(
        [256, 128, 128, 10], seed=seed
    )


DATA = {"digits": digits, "glyphs": glyphs}


def measure(
    solver: str,
    settings: dict[str, Any],
    data: td.data.Dataset,
    make_model: Callable[[int], nn.Module],
    seeds: Sequence[int] = SEEDS,
) -> list[tuple[float, ...]]:
    """By network: increase of train error, test error, gradients, and whether train error is 0."""
    model = make_model(0)
    found: list[tuple[float, ...]] = []
    for seed in seeds:
        trained = td.solvers.SOLVERS[solver](**COMMON | settings).train(
            make_model, data.train, seed
        )
        energy = td.local_energy(td.Landscape(model, data.train), trained.params, (SIGMA,), SAMPLES)
        found.append((
            energy.increase.item(),
            td.evaluate(model, trained.params, data.test).error,
            float(trained.gradient_steps),
            float(td.evaluate(model, trained.params, data.train).error == 0),
        ))  # fmt: skip
    return found


def title(solver: str, settings: dict[str, Any]) -> str:
    """A solver and its settings."""
    return f"{solver} {', '.join(f'{key} {value}' for key, value in settings.items())}"


def rows(quick: bool, names: Sequence[str] = tuple(DATA)) -> Iterator[Result]:
    """The increase of train error beside that of SGD at the same learning rate and batch size."""
    torch.set_num_threads(1)
    usual_row = ("sgd", {"lr": 0.1})
    compared = [
        row for row in ROWS
        if row[1]["lr"] == 0.1 and "batch_size" not in row[1] and row != usual_row
    ]  # fmt: skip
    compared = compared[1:3] if quick else compared
    for name in names:
        data, make_model = DATA[name](100) if quick else DATA[name]()
        seeds = SEEDS[:2] if quick else SEEDS
        usual = [row[0] for row in measure(*usual_row, data, make_model, seeds)]
        for solver, settings in compared:
            found = list(zip(*measure(solver, settings, data, make_model, seeds), strict=True))
            yield Result(
                f"{name}: increase of train error, {title(solver, settings)}", "train error",
                found[0], "sgd lr 0.1", usual,
                note=f"one value per network; {sum(found[3]):.0f} of {len(seeds)} reach zero error",
            )  # fmt: skip


def table() -> None:
    """Prints one table per data set."""
    torch.set_num_threads(1)
    for name, load in DATA.items():
        data, make_model = load()
        print(f"\n| {name} | increase of train error, % | test error, % | gradients | zero error |")
        print("|---|---|---|---|---|", flush=True)
        for solver, settings in ROWS:
            found = measure(solver, settings, data, make_model)
            increases, errors, steps, ended = (list(x) for x in zip(*found, strict=True))
            print(
                f"| {title(solver, settings)} | {interval(increases, 100)} | "
                f"{interval(errors, 100)} | {statistics.mean(steps):.0f} | "
                f"{sum(ended):.0f} of {len(ended)} |",
                flush=True,
            )


if __name__ == "__main__":
    main(rows, tuple(DATA), table)
