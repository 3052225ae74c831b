"""What an engine is: it takes jobs, runs several at once, and hands back what became of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from toroids.design.task import Outcome, Task
from toroids.errors import ToroidsError
from toroids.statistics.row import Plain

# What a worker calls with (task, rows, networks): a function by its module and its name.
PERFORM = "toroids.study.perform.perform:perform"


@dataclass(frozen=True)
class Job:
    """A task with what it takes.

    Attributes:
        task: what is to be done.
        rows: results of `task.inputs`, in order.
        weights: their weight files; None where an input trained no network.
        checkpoint: a file from which a training that was killed goes on. A Ray cluster, whose nodes
            need not share a disk, leaves it aside.
    """

    task: Task
    rows: tuple[Plain, ...] = ()
    weights: tuple[Path | None, ...] = ()
    checkpoint: Path | None = None


@dataclass(frozen=True)
class Finished:
    """What became of a job: exactly one of `outcome`, `error` and `died` says it.

    Attributes:
        job: as it was submitted.
        outcome: what the task left.
        error: why the task failed, in one sentence; it would fail again.
        died: how the worker was lost, in one sentence; the same job may succeed elsewhere.
    """

    job: Job
    outcome: Outcome | None = None
    error: str = ""
    died: str = ""


class Engine(Protocol):
    """Runs jobs, one thread each; use it in a `with` block, which kills what still runs."""

    @property
    def name(self) -> str:
        """How a run calls the engine: "in process", "processes" or "ray"."""

    @property
    def slots(self) -> int:
        """How many jobs to have in flight; on a cluster it changes as nodes come and go."""

    def submit(self, job: Job) -> None:
        """Takes a job; one that finds no free slot waits for its turn.

        Args:
            job: to be run once.
        """

    def next(self) -> Finished:
        """Waits until any of the submitted jobs is finished.

        Returns:
            What became of it; every job comes back once.

        Raises:
            ToroidsError: the engine itself was lost, or no job is in flight.
        """

    def close(self) -> None:
        """Ends the workers at once, also those at work; nothing more comes back."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def check_in_flight(count: int) -> None:
    """Raises where waiting for the next job would never end."""
    if count < 1:
        raise ToroidsError("no job is in flight; submit one before asking for the next.")
