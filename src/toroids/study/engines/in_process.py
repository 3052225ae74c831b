"""The engine that runs one job after the other in this process."""

from collections import deque
from typing import Self

from toroids.study.engines.engine import PERFORM, Finished, Job, check_in_flight
from toroids.study.engines.worker import work


class InProcess:
    """Runs one job after the other in this process."""

    name = "in process"
    slots = 1

    def __init__(self, function: str = PERFORM) -> None:
        """Prepares to run jobs.

        Args:
            function: does a task, as "module:function".
        """
        self._function = function
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Takes a job."""
        self._jobs.append(job)

    def next(self) -> Finished:
        """Runs the job that was submitted first among those left."""
        check_in_flight(len(self._jobs))
        return work(self._jobs.popleft(), self._function)

    def close(self) -> None:
        """Forgets the jobs that did not run."""
        self._jobs.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
