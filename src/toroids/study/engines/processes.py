"""The engine that runs jobs on the cores of this machine, one process per slot.

Every slot has a process of its own, which starts when the slot gets its first job and does one job
at a time: a process that is killed takes down the job that it did, and no other.
"""

import threading
from collections import deque
from queue import SimpleQueue
from typing import Self

from safetensors import SafetensorError

from toroids.errors import ToroidsError
from toroids.study.engines import worker
from toroids.study.engines.child import Child
from toroids.study.engines.cores import usable_cores
from toroids.study.engines.engine import PERFORM, Finished, Job, check_in_flight
from toroids.study.engines.messages import decode_finished, encode_job


class Processes:
    """Runs jobs in processes of this machine."""

    name = "processes"

    def __init__(self, workers: int | None = None, function: str = PERFORM) -> None:
        """Prepares to run jobs; a process starts when it is needed.

        Args:
            workers: processes at once; as many as there are usable cores without it.
            function: does a task, as "module:function".

        Raises:
            ToroidsError: there would be no worker.
        """
        if workers is not None and workers < 1:
            raise ToroidsError(f"workers is {workers}; expected at least 1, or none for all cores.")
        self.slots = usable_cores() if workers is None else workers
        self._idle = [_Slot(function) for _ in range(self.slots)]
        self._all = tuple(self._idle)
        self._waiting: deque[Job] = deque()
        self._finished: SimpleQueue[tuple[_Slot, Finished]] = SimpleQueue()

    def submit(self, job: Job) -> None:
        """Gives a job to an idle process, the one that worked last: it is there already."""
        if not self._idle:
            self._waiting.append(job)
            return
        slot = self._idle.pop()
        slot.thread = threading.Thread(target=self._run, args=(slot, job), daemon=True)
        slot.thread.start()

    def _run(self, slot: "_Slot", job: Job) -> None:
        self._finished.put((slot, slot.do(job)))

    def next(self) -> Finished:
        """Waits for any of the jobs."""
        check_in_flight(self.slots - len(self._idle))
        slot, finished = self._finished.get()
        self._idle.append(slot)
        if self._waiting:
            self.submit(self._waiting.popleft())
        return finished

    def close(self) -> None:
        """Kills all processes."""
        self._waiting.clear()
        for slot in self._all:
            slot.stop()
        for slot in self._all:
            slot.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Slot:
    """A place for one process: it is started when needed, and again after a death."""

    def __init__(self, function: str) -> None:
        self.thread: threading.Thread | None = None
        self._function = function
        self._child: Child | None = None
        self._stopped = False
        self._lock = threading.Lock()  # no process may start after the slot was stopped

    def do(self, job: Job) -> Finished:
        """Does a job in the slot's process; called in a thread of its own."""
        try:
            child = self._living_child()
            child.send({"job": encode_job(job), "function": self._function})
            return decode_finished(job, *child.receive())
        except (OSError, EOFError, ValueError, SafetensorError) as error:
            return Finished(job, died=self._buried(error))

    def _living_child(self) -> Child:
        with self._lock:
            if self._stopped:
                raise EOFError("the engine was closed")
            if self._child is not None and not self._child.alive:  # it died between two jobs
                self._child.bury()
                self._child = None
            self._child = self._child or Child(worker.__file__)
            return self._child

    def _buried(self, error: Exception) -> str:
        with self._lock:
            if self._child is None:
                return f"its process could not be started ({error})."
            ended = self._child.bury()
            self._child = None
            return f"its process {ended}."

    def stop(self) -> None:
        """Kills the process, which ends the thread that waits for it."""
        with self._lock:
            self._stopped = True
            if self._child is not None:
                self._child.kill()

    def leave(self) -> None:
        """Waits for the thread, and closes the pipes."""
        # one that an interrupt kept from starting cannot be waited for
        if self.thread is not None and self.thread.is_alive():
            self.thread.join()
        if self._child is not None:
            self._child.bury()
            self._child = None
