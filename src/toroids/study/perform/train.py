"""Trains one network, or reads one that was trained elsewhere."""

from pathlib import Path

from toroids.design.config.solvers import solver_of
from toroids.errors import CheckpointError
from toroids.evaluation.passes import Passes
from toroids.evaluation.running import check_params
from toroids.params import Params, load_params
from toroids.solvers import Trained
from toroids.statistics.measured import Epoch, Training
from toroids.statistics.row import plain
from toroids.study.perform.kind import Kind
from toroids.study.perform.setting import Setting


def train(setting: Setting, checkpoint: Path | None = None) -> tuple[Training, Params | None]:
    """Trains one network, or reads one that was trained elsewhere.

    Args:
        setting: data, architecture, solver and seeds.
        checkpoint: a file from which a training that was killed goes on.

    Returns:
        How the training went, and the network; none where it diverged.

    Raises:
        ParamsError: a file that is missing, is a pickle, or holds another architecture.
    """
    labels = {
        "architecture": setting.architecture,
        "name": f"{setting.architecture}-{setting['solver_name']}-{setting['seed']}",
        "solver": setting["solver_name"],
        "seed": setting["seed"],
        "random_seed": setting["random_seed"],
        "config": setting["solver"],
        "seconds": 0.0,
    }
    if "file" in setting.settings:
        params = load_params(setting["file"])
        check_params(setting.model, params, f"`{setting['file']}`")
        given = Training(**labels, ended="given", epochs=0, gradient_steps=0, history=[])
        return given, params
    trained = _trained(setting, checkpoint)
    row = Training(
        **labels,
        ended=trained.ended,
        epochs=sum(epoch.phase == "train" for epoch in trained.history),
        gradient_steps=trained.gradient_steps,
        history=[Epoch(**plain(epoch)) for epoch in trained.history],
        note=trained.note if trained.ended == "diverged" else "",
    )
    return row, None if row.diverged else trained.params


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
