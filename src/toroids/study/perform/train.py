"""Trains one network, or reads one that was trained elsewhere."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from toroids.design.config.solvers import solver_of
from toroids.design.task import Outcome
from toroids.errors import CheckpointError
from toroids.evaluation.passes import Passes
from toroids.evaluation.running import check_params
from toroids.params import load_params
from toroids.solvers import Epoch as Line
from toroids.solvers import Trained
from toroids.statistics.row import Row
from toroids.study.perform.kind import Kind
from toroids.study.perform.setting import Setting
from toroids.study.shapes import Measured, OfNetwork, Shape


class Epoch(Shape):
    """An epoch of a training."""

    phase: str
    epoch: int
    lr: Measured
    error: Measured
    loss: Measured
    coupling: Measured


class Training(OfNetwork):
    """How a network was trained."""

    config: dict[str, Any]
    ended: str
    epochs: int
    gradient_steps: int
    history: list[Epoch]
    note: str = ""

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.ended == "diverged" and not self.note:
            raise ValueError("a network that diverged has a note")
        return self


def train(setting: Setting, checkpoint: Path | None = None) -> Outcome:
    """Trains one network, or reads one that was trained elsewhere.

    Args:
        setting: data, architecture, solver and seeds.
        checkpoint: a file from which a training that was killed goes on.

    Returns:
        How the training went, and the network; none where it diverged.

    Raises:
        ParamsError: a file that is missing, is a pickle, or holds another architecture.
    """
    row: Row = {
        "name": f"{setting.architecture}-{setting['solver_name']}-{setting['seed']}",
        "architecture": setting.architecture,
        "solver": setting["solver_name"],
        "seed": setting["seed"],
        "random_seed": setting["random_seed"],
        "config": setting["solver"],
    }
    if "file" in setting.settings:
        params = load_params(setting["file"])
        check_params(setting.model, params, f"`{setting['file']}`")
        return Outcome({**row, "ended": "given", **_of_training(())}, params)
    trained = _trained(setting, checkpoint)
    row |= {"ended": trained.ended, **_of_training(trained.history, trained.gradient_steps)}
    if trained.ended == "diverged":
        return Outcome({**row, "note": trained.note})
    return Outcome(row, trained.params)


def _trained(setting: Setting, checkpoint: Path | None) -> Trained:
    try:
        return solved(setting, checkpoint)
    except CheckpointError:  # damaged, or of other code: only time is lost with it
        if checkpoint is None:
            raise
        checkpoint.unlink()
        return solved(setting, checkpoint)


def solved(setting: Setting, checkpoint: Path | None) -> Trained:
    """Runs the solver of a task's settings.

    Args:
        setting: data, architecture, solver and seeds.
        checkpoint: a file from which a training that was killed goes on.

    Returns:
        What it found.

    Raises:
        CheckpointError: the checkpoint is damaged, or of other code.
    """
    return solver_of(setting["solver"]).train(
        setting.make_model,
        setting.data.train,
        setting["random_seed"],
        device=setting.device,
        checkpoint=checkpoint,
    )


def _of_training(history: Sequence[Line], gradient_steps: int = 0) -> Row:
    return {
        "epochs": sum(epoch.phase == "train" for epoch in history),
        "gradient_steps": gradient_steps,
        "history": [asdict(epoch) for epoch in history],
    }


def _passes(setting: Setting) -> list[Passes]:
    if "file" in setting.settings:
        return []
    return [solver_of(setting["solver"]).passes(setting.examples)]


KIND = Kind(
    "train",
    "training",
    Training,
    count=lambda asked: asked.count,
    plan=lambda architecture: iter(architecture.trained.values()),
    passes=_passes,
)
