"""Performs one task, whatever its kind."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from toroids.design.task import Outcome, Task
from toroids.errors import ToroidsError
from toroids.params import Params
from toroids.statistics.measured import Result, Symmetry, Training
from toroids.statistics.row import Plain, plain, read
from toroids.study.perform.kinds import KINDS
from toroids.study.perform.setting import Setting
from toroids.study.perform.symmetry import symmetry
from toroids.study.perform.train import train


def perform(
    task: Task,
    rows: Sequence[Plain] = (),
    networks: Sequence[Params | None] = (),
    checkpoint: Path | None = None,
) -> Outcome:
    """Does what a task says; the result depends on the arguments alone, apart from times.

    Args:
        task: of a kind in `KINDS`.
        rows: what the tasks left that are its inputs, in order.
        networks: the networks that they trained; None where an input trains none.
        checkpoint: a file from which a training that was killed goes on.

    Returns:
        A row of plain data with the seconds that it took, and the network that was trained.

    Raises:
        ToroidsError: the task cannot be done.
    """
    begun = time.perf_counter()
    group = read(Symmetry, rows[0]) if rows else None  # of a measurement, the first input
    trained = [read(Training, row) for row in rows[1:]]
    setting = Setting(json.loads(task.settings), group, trained)
    measure = KINDS[task.kind].measure if task.kind in KINDS else None
    params: Params | None = None
    if task.kind == "symmetry":
        result: Result = symmetry(setting)
    elif task.kind == "train":
        result, params = train(setting, checkpoint)
    elif measure is not None:
        device = torch.device(setting.device)
        moved = [
            {name: tensor.to(device) for name, tensor in network.items()}
            for network in networks
            if network is not None
        ]
        result = measure(setting, moved)
    else:
        raise ToroidsError(f"there is no kind of task {task.kind!r}; choose from {tuple(KINDS)}.")
    return Outcome(plain(replace(result, seconds=time.perf_counter() - begun)), params)
