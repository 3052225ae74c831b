"""The engine that runs jobs on a Ray cluster that is there already.

Networks go into the cluster's object store once and serve all jobs that take them; results come
back to this process, which alone writes, so the nodes need no common disk. A job whose node dies
comes back as lost, and may be submitted again.
"""

import importlib.util
import re
import threading
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from toroids.errors import ToroidsError
from toroids.params import encode_params
from toroids.study.engines import ray_driver
from toroids.study.engines.bootstrap import Head
from toroids.study.engines.child import Child
from toroids.study.engines.engine import PERFORM, Finished, Job, check_in_flight
from toroids.study.engines.messages import (
    decode_finished,
    encode_job,
)
from toroids.study.sealed import load_network

ADDRESS = re.compile(r"auto|(ray://)?(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}")
# A cluster answers within one or two; Ray itself would go on trying for minutes.
SECONDS_TO_CONNECT = 15.0
# To cancel what runs; after it the process is killed, and the cluster cleans up by itself.
SECONDS_TO_LEAVE = 5.0
# The cluster reports nothing to Ray's makers on our account.
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0"}


class RayCluster:
    """Runs jobs on a Ray cluster, each on one core and, where asked for, part of a GPU."""

    name = "ray"

    def __init__(
        self, address: str | None = None, gpus: float = 0.0, function: str = PERFORM
    ) -> None:
        """Connects to a cluster.

        Args:
            address: "auto" or nothing for the cluster of this machine, HOST:PORT of its head from
                one of its nodes, or ray://HOST:PORT from anywhere.
            gpus: GPUs per job: a fraction, or a whole number.
            function: does a task, as "module:function".

        Raises:
            ToroidsError: Ray is not installed, or there is no cluster to connect to.
        """
        self.address = address or "auto"
        _check(self.address, gpus)
        self._child = Child(ray_driver.__file__, ENVIRONMENT, quiet=True)
        self._messages: SimpleQueue[tuple[Head, list[bytes]] | None] = SimpleQueue()
        self._jobs: dict[int, Job] = {}
        self._early: list[Finished] = []
        self._stored: set[Path] = set()
        self._submitted = 0
        try:
            self.slots = self._connect(
                {"address": self.address, "gpus": gpus, "function": function}
            )
        except BaseException:
            self._child.kill()
            self._child.bury()
            raise
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _connect(self, settings: Head) -> int:
        late = threading.Event()
        timer = threading.Timer(SECONDS_TO_CONNECT, self._give_up, [late])
        timer.daemon = True
        try:
            self._child.send(settings)
            self._child.receive()  # it is there, and tries
            timer.start()
            head, _ = self._child.receive()
        except (OSError, EOFError):
            ended = self._child.bury()
            late_reason = f"no answer in {SECONDS_TO_CONNECT:.0f} seconds"
            head = {"refused": late_reason if late.is_set() else f"the process for it {ended}"}
        finally:
            timer.cancel()
        if "refused" in head:
            raise ToroidsError(
                f"the Ray cluster at `{self.address}` cannot be used ({head['refused']}); pass the "
                "address of a running one: auto, HOST:PORT on one of its nodes, ray://HOST:PORT."
            )
        return int(head["slots"])

    def _give_up(self, late: threading.Event) -> None:
        late.set()
        self._child.kill()

    def _read(self) -> None:
        try:
            while True:
                head, blobs = self._child.receive()
                if "slots" in head:
                    self.slots = head["slots"]
                else:
                    self._messages.put((head, blobs))
        except (OSError, EOFError, ValueError):
            self._messages.put(None)

    def submit(self, job: Job) -> None:
        """Sends a job to the cluster, after the networks that it does not have yet."""
        try:
            for path in job.weights:
                self._store(path)
        except (ToroidsError, OSError) as error:
            self._early.append(Finished(job, error=str(error)))
            return
        self._submitted += 1
        self._jobs[self._submitted] = job
        networks = [None if path is None else str(path) for path in job.weights]
        sent = encode_job(replace(job, checkpoint=None))  # a node need not see this disk
        self._send({"number": self._submitted, "job": sent, "networks": networks})

    def _store(self, path: Path | None) -> None:
        if path is None or path in self._stored:
            return
        self._send({"network": str(path)}, [encode_params(load_network(path))])
        self._stored.add(path)

    def _send(self, head: Head, blobs: list[bytes] | None = None) -> None:
        try:
            self._child.send(head, blobs or [])
        except OSError:
            self._messages.put(None)

    def next(self) -> Finished:
        """Waits for any of the jobs."""
        check_in_flight(len(self._jobs) + len(self._early))
        if self._early:
            return self._early.pop()
        message = self._messages.get()
        if message is None:
            self._messages.put(None)  # for whoever asks again
            raise ToroidsError(
                f"the Ray cluster at `{self.address}` was lost; run the same command again when it "
                "is back, what is done is kept."
            )
        head, blobs = message
        finished = decode_finished(self._jobs.pop(head["number"]), head, blobs)
        if finished.died:  # the objects may be lost with a node: the next job gets them anew
            self._stored -= set(finished.job.weights)
        return finished

    def close(self) -> None:
        """Cancels all jobs and disconnects."""
        self._child.hang_up(SECONDS_TO_LEAVE)
        self._reader.join()
        self._child.bury()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(address: str, gpus: float) -> None:
    if not ADDRESS.fullmatch(address):
        raise ToroidsError(
            f"address is `{address}`; expected auto, HOST:PORT on a node of the cluster, or "
            "ray://HOST:PORT."
        )
    if not (0 <= gpus <= 1 or (gpus > 1 and float(gpus).is_integer())):
        raise ToroidsError(f"gpus is {gpus}; expected a fraction of one GPU or a whole number.")
    if importlib.util.find_spec("ray") is None:
        raise ToroidsError(
            "the engine ray needs the package `ray`, which is not installed; "
            "pip install 'toroids[ray]'."
        )
    if address.startswith("ray://") and importlib.util.find_spec("grpc") is None:
        raise ToroidsError(
            f"address is `{address}`, for which Ray needs the package `grpcio`, which is not "
            "installed; pip install 'ray[client]', or run this on a node of the cluster."
        )
