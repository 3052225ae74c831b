"""Runs a study: trains its networks, measures them, and leaves weights, rows and a summary."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toroids import data as datasets
from toroids import models, solvers
from toroids.errors import ToroidsError
from toroids.params import Params
from toroids.study.config import StudyConfig
from toroids.study.measure import measure_network, measure_pair
from toroids.study.plan import Network, Pair, make_plan
from toroids.study.store import Row, Run
from toroids.study.summary import summarise
from toroids.symmetry.discover import discover
from toroids.symmetry.fully_connected import fully_connected_group
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.verify import verify

# A rounding of float64 stays below 1e-12 here; anything above this is a wrong symmetry.
DEVIATION = 1e-8
SOLVERS: dict[str, Callable[..., solvers.Trained]] = {
    "sgd": solvers.sgd,
    "adam": solvers.adam,
    "sam": solvers.sam,
    "swa": solvers.swa,
    "entropy_sgd": solvers.entropy_sgd,
    "replicated_sgd": solvers.replicated_sgd,
    "adversarial_sgd": solvers.adversarial_sgd,
}
Progress = Callable[[str, int, int], None]


def run_study(config: StudyConfig, folder: str | Path, progress: Progress | None = None) -> Path:
    """Runs all tasks of `config` and writes the run into `folder`.

    Every task runs on one thread, so that the numbers do not depend on the machine's cores.

    Args:
        config: the study.
        folder: where the run goes; an earlier run there is replaced when this one is complete.
        progress: called with what was done, how many tasks are done, and how many there are.

    Returns:
        The folder, which holds measurements.jsonl and networks/*.safetensors.

    Raises:
        ToroidsError: the folder holds something else, another study is writing it, training
            diverged, or the symmetry group is not one of the network.
    """
    with Run(folder) as run, _one_thread():
        _Study(config, run, progress or (lambda *_: None)).run()
    return Path(folder)


class _Study:
    """One run in progress: the data, the architecture, its group, and the networks so far."""

    def __init__(self, config: StudyConfig, run: Run, progress: Progress) -> None:
        self.config, self.output, self.progress = config, run, progress
        self.plan = make_plan(config)
        self.data = datasets.digits(config.data.train, config.data.seed)
        inputs = self.data.train[0][0].numel()
        self.widths = [inputs, *config.network.hidden, self.data.classes]
        self.model = self.make_model(0)
        self.group = self.find_group()
        self.common = {"study": config.name, "versions": versions()}
        self.rows: list[Row] = []
        self.trained: dict[Network, Params] = {}

    def make_model(self, seed: int) -> nn.Module:
        network = self.config.network
        if network.binary:
            return models.binary_fully_connected(self.widths, network.norm, network.threshold, seed)
        return models.fully_connected(self.widths, bias=network.bias, seed=seed)

    def find_group(self) -> SymmetryGroup:
        if self.config.network.binary:  # the last layer's weights have no scale to remove
            return discover(self.model, self.data.train[0][:64])
        return fully_connected_group(
            self.model.state_dict(),
            output="classifier",
            layers=[n for n, module in self.model.named_modules() if isinstance(module, nn.Linear)],
        )

    def run(self) -> None:
        start = time.perf_counter()
        self.add("symmetry", **self.verified())
        total = len(self.plan.networks) + len(self.plan.pairs)
        for done, network in enumerate(self.plan.networks, start=1):
            found = _timed(self.train, network)
            # a network that diverged is recorded, and measured no further
            row = self.add("diverged" if found["ended"] == "diverged" else "network", **found)
            self.progress(f"{row['name']}: {_described(row)}", done, total)
        for done, pair in enumerate(self.plan.pairs, start=len(self.plan.networks) + 1):
            if not {pair.a, pair.b} <= self.trained.keys():
                self.progress(f"{pair.a.name} ~ {pair.b.name}: one of them diverged", done, total)
                continue
            row = self.add("pair", **_timed(self.compare, pair))
            name = "hamming" if self.group.binary else "mean_angle"
            apart = f"{row[name]['before']:.2f} -> {row[name]['after']:.2f}"
            shown = {"hamming": "Hamming distance", "mean_angle": "mean angle"}[name]
            self.progress(f"{row['a']} ~ {row['b']}: {shown} {apart}", done, total)
        if not self.trained:
            raise ToroidsError("every network of the study diverged; lower the learning rates.")
        for row in summarise(self.rows, self.config.flatness.reference):
            self.add(**row)
        self.add(
            "run",
            config=self.config.model_dump(mode="json"),
            machine=f"{platform.machine()}, {platform.system()}",
            seconds=time.perf_counter() - start,
        )

    def add(self, kind: str, **values: Any) -> Row:
        row = {"kind": kind, **self.common, **values}
        self.rows.append(self.output.add(row))
        return self.rows[-1]

    def verified(self) -> Row:
        deviation = verify(self.group, self.model, self.data.train[0][:64])
        if not deviation <= DEVIATION:
            raise ToroidsError(
                f"the symmetry group changes the network's outputs by {deviation:.1e}; expected at "
                f"most {DEVIATION:.0e}; use an architecture that the group describes."
            )
        return {
            "deviation": deviation,
            "log10_order": self.group.log10_order,
            "dimension": self.group.dimension,
            "table": str(self.group),
        }

    def train(self, network: Network) -> Row:
        settings = self.config.solvers[network.solver].model_dump()
        solve = SOLVERS[settings.pop("method")]
        trained = solve(self.make_model, self.data.train, network.random_seed, **settings)
        row: Row = {
            "name": network.name,
            "solver": network.solver,
            "seed": network.seed,
            "random_seed": network.random_seed,
            "config": self.config.solvers[network.solver].model_dump(mode="json"),
            "ended": trained.ended,
            "epochs": sum(epoch.phase == "train" for epoch in trained.history),
            "gradient_steps": trained.gradient_steps,
            "history": [vars(epoch) for epoch in trained.history],
        }
        if trained.ended == "diverged":
            return {**row, "note": trained.note}
        self.trained[network] = trained.params
        self.output.save_network(network.name, trained.params)
        measured = measure_network(
            self.model, self.group, trained.params, self.data, self.config.flatness
        )
        return {**row, **measured}

    def compare(self, pair: Pair) -> Row:
        a, b = self.trained[pair.a], self.trained[pair.b]
        config = self.config.profiles
        return {
            "a": pair.a.name,
            "b": pair.b.name,
            "solver_a": pair.a.solver,
            "solver_b": pair.b.solver,
            "seed": [pair.a.seed, pair.b.seed],
            "config": {"points": config.points if pair.profiled else 0},
            **measure_pair(
                self.model, self.group, a, b, self.data, config, pair.profiled, pair.bent
            ),
        }


def _timed(task: Callable[[Any], Row], argument: Any) -> Row:
    start = time.perf_counter()
    row = task(argument)
    return {**row, "seconds": time.perf_counter() - start}


def _described(row: Row) -> str:
    if row["ended"] == "diverged":
        return f"diverged: {row['note']}"
    ended = {"zero error": "zero train error", "time": "time used"}.get(row["ended"], "budget used")
    return f"{ended} after {row['epochs']} epochs, test error {row['test_error']:.1%}"


def versions() -> dict[str, str]:
    """Versions of what determines the numbers."""
    names = ("toroids", "torch", "numpy", "scipy", "scikit-learn")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
