"""What goes between processes: JSON, and networks as safetensors, so that nothing is unpickled."""

from collections.abc import Sequence
from pathlib import Path

import safetensors.torch

from toroids.design.task import Outcome, Task
from toroids.params import encode_params
from toroids.study.engines.bootstrap import Head
from toroids.study.engines.engine import Finished, Job


def encode_job(job: Job) -> Head:
    """Writes a job as plain data."""
    task = job.task
    return {
        "task": [task.kind, task.label, task.settings, task.inputs],
        "rows": job.rows,
        "weights": [_text(path) for path in job.weights],
        "checkpoint": _text(job.checkpoint),
    }


def decode_job(head: Head) -> Job:
    """Reads a job as `encode_job` writes it."""
    kind, label, settings, inputs = head["task"]
    weights = tuple(_path(text) for text in head["weights"])
    task = Task(kind, label, settings, tuple(inputs))
    return Job(task, tuple(head["rows"]), weights, _path(head["checkpoint"]))


def encode_finished(finished: Finished) -> tuple[Head, list[bytes]]:
    """Writes what became of a job, without the job."""
    head: Head = {"error": finished.error, "died": finished.died}
    if finished.outcome is None:
        return head, []
    params = finished.outcome.params
    head["row"] = finished.outcome.row
    if params is None:
        return head, []
    return head | {"names": list(params)}, [encode_params(params)]


def decode_finished(job: Job, head: Head, blobs: Sequence[bytes]) -> Finished:
    """Reads what became of `job`, as `encode_finished` writes it."""
    if "row" not in head:
        return Finished(job, error=head["error"], died=head["died"])
    params = None
    if blobs:
        tensors = safetensors.torch.load(blobs[0])
        params = {name: tensors[name] for name in head["names"]}  # in the network's own order
    return Finished(job, Outcome(head["row"], params))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
