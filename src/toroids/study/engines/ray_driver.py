"""The process that talks to a Ray cluster on behalf of the engine.

Ray writes to the terminal, retries for minutes and may abort the process when the cluster is lost:
here it can do so without harm. The process gets jobs and networks as messages, makes Ray tasks of
them, and sends back what became of each, and how many jobs the cluster takes at once. It does not
import toroids, nor PyTorch with it: what is in a message is for the workers and the engine.
"""

import importlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toroids.study.engines.bootstrap import Channel, Head

# Longer than any cluster at hand needs, which answers in milliseconds.
SECONDS_TO_CONNECT = 10.0
SECONDS_BETWEEN_COUNTS = 1.0


def serve(channel: "Channel") -> None:
    """Runs jobs on the cluster until the engine is gone; the main function of the process.

    Args:
        channel: where the settings come from, and then networks and jobs; where the slots and the
            results go.
    """
    settings, _ = channel.receive()
    channel.send({"trying": True})
    try:
        driver = _Driver(settings, channel)
    except Exception as error:  # Ray raises all kinds
        channel.send({"refused": _one_line(error)})
        return
    channel.send({"slots": driver.slots()})
    threading.Thread(target=driver.count, daemon=True).start()
    try:
        while True:
            driver.take(*channel.receive())
    except EOFError:
        driver.leave()


class _Driver:
    """A connection to a cluster, and the tasks on it."""

    def __init__(self, settings: "Head", channel: "Channel") -> None:
        self.channel = channel
        self.gpus: float = settings["gpus"]
        self.common = {"function": settings["function"]}
        address = settings["address"]
        if address == "auto":
            address = os.environ.get("RAY_ADDRESS", "auto")
        _check_answering(address)
        self.ray = importlib.import_module("ray")
        self.errors = importlib.import_module("ray.exceptions")
        self.ray.init(address, log_to_driver=False, logging_level="CRITICAL", namespace="toroids")
        options = {"num_cpus": 1, "num_gpus": self.gpus, "max_retries": 0}
        remote = self.ray.remote(_task(sys.path, version("toroids")))
        self.remote = remote.options(**options)
        if self.gpus and not self.ray.cluster_resources().get("GPU"):
            raise ValueError("it has no GPU")
        self.networks: dict[str, Any] = {}
        self.running: dict[int, Any] = {}

    def slots(self) -> int:
        """How many jobs the cluster takes; at least one, which may make it grow."""
        resources = self.ray.cluster_resources()
        slots = resources.get("CPU", 0.0)
        if self.gpus:
            slots = min(slots, resources.get("GPU", 0.0) / self.gpus)
        return max(1, int(slots + 1e-6))  # 0.1 of a GPU goes ten times into one

    def count(self) -> None:
        """Tells the engine when nodes come or go."""
        last = 0
        while True:
            slots = self.slots()
            if slots != last:
                self.channel.send({"slots": slots})
            last = slots
            time.sleep(SECONDS_BETWEEN_COUNTS)

    def take(self, head: "Head", blobs: list[bytes]) -> None:
        """Takes a network into the object store, or starts a job."""
        if "network" in head:
            self.networks[head["network"]] = self.ray.put(blobs[0])
            return
        networks = [None if key is None else self.networks[key] for key in head["networks"]]
        task = self.remote.remote({**self.common, "job": head["job"]}, *networks)
        self.running[head["number"]] = task
        threading.Thread(target=self.follow, args=(head["number"], task), daemon=True).start()

    def follow(self, number: int, task: Any) -> None:
        """Waits for a job and sends what became of it."""
        blobs: list[bytes] = []
        try:
            head, blobs = self.ray.get(task)
        except Exception as error:  # RayError, and whatever a broken connection raises
            cause = getattr(error, "cause", None)
            if cause is None or isinstance(cause, self.errors.RayError):
                head = {"died": f"the Ray cluster lost it ({type(cause or error).__name__})."}
            else:  # not the task, which never raises, but what runs it
                head = {"error": f"a node of the cluster failed ({_one_line(cause)})."}
        del self.running[number]
        self.channel.send({"error": "", "died": "", **head, "number": number}, blobs)

    def leave(self) -> None:
        """Cancels what runs, and disconnects."""
        for task in list(self.running.values()):
            self.ray.cancel(task, force=True)
        self.ray.shutdown()
        os._exit(0)  # threads still wait for their jobs


def _task(paths: list[str], expected: str) -> Callable[..., Any]:
    """Makes the function that runs on a node; Ray sends it by value, as it is a closure."""

    def toroids_task(head: "Head", *networks: bytes | None) -> "tuple[Head, list[bytes]]":
        import sys
        from importlib.metadata import version

        sys.path += [path for path in paths if path not in sys.path]
        try:
            found = version("toroids")
            from toroids.study.engines.worker import answer
        except ImportError as error:
            note = f"a node of the Ray cluster cannot import toroids ({error})"
            return {"error": f"{note}; install toroids {expected} on every node."}, []
        if found != expected:
            note = f"a node of the Ray cluster has toroids {found}"
            return {"error": f"{note}; install toroids {expected} on every node."}, []
        return answer(head, networks)

    return toroids_task


def _check_answering(address: str) -> None:
    """Fails at once where nobody listens; Ray itself would try for a minute."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_CONNECT).close()


def _one_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    sentence, *_ = " ".join(text.split()).split(". ")
    return sentence[:300].rstrip(".")
