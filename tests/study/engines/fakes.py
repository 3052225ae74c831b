"""Tasks that take no time, or go wrong on purpose; workers import this module by its name."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_info

from toroids.design.task import Outcome, Task, canonical_json
from toroids.errors import ToroidsError
from toroids.study.engines.engine import Job

FUNCTION = "study.engines.fakes:perform"


def job(kind, rows=(), weights=(), checkpoint=None, **settings):
    inputs = tuple(f"input-{index}" for index in range(len(rows)))
    task = Task(kind, kind, canonical_json(settings), inputs)
    return Job(task, tuple(rows), tuple(weights), checkpoint)


def perform(task, rows, networks, checkpoint=None):
    settings = json.loads(task.settings)
    return KINDS[task.kind](settings, rows, networks, checkpoint)


def echo(settings, rows, networks, checkpoint):
    total = {
        name: 2 * tensor for network in networks if network for name, tensor in network.items()
    }
    row = {"settings": settings, "rows": list(rows), "third": 1 / 3, "none": None, "text": "é\n"}
    row |= {"networks": [network and sorted(network) for network in networks]}
    row |= {"checkpoint": checkpoint and checkpoint.name}
    return Outcome(row, total or None)


def threads(*_):
    pools = max(pool["num_threads"] for pool in threadpool_info())
    return Outcome({"torch": torch.get_num_threads(), "pools": pools})


def draw(settings, *_):
    drawn = [random.random(), float(np.random.rand()), float(torch.rand(()))]
    return Outcome({"drawn": drawn}, {"z": torch.randn(3), "a": torch.ones(2).bool()})


def fail(*_):
    raise ToroidsError("the learning rate is 7; expected at most 1.")


def crash(*_):
    return {}["no\nsuch key"]


def leave(*_):
    sys.exit("enough")


def no_memory(*_):
    raise MemoryError


def not_finite(*_):
    return Outcome({"error": float("nan")})


def chatter(*_):
    print("what a task prints", flush=True)
    os.write(1, b"\x00\x01 what a library writes\n")
    return Outcome({"said": True})


def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def vanish(*_):
    os._exit(3)


def hang_up(*_):
    os.closerange(3, 100)
    time.sleep(60)


def die_once(settings, *_):
    """Dies, the first time that it runs."""
    marker = Path(settings["folder"]) / "died"
    if marker.exists():
        return Outcome({"second": True})
    marker.touch()
    return kill()


def sleep(settings, *_):
    """Says that it runs, and then does so until it is told to go on, or for long."""
    folder = Path(settings["folder"])
    (folder / f"{os.getpid()}.started").touch()
    end = time.monotonic() + settings["seconds"]
    while time.monotonic() < end and not (folder / "go on").exists():
        time.sleep(0.05)
    return Outcome({"node": os.environ.get("RAY_NODE_ID", ""), "index": settings.get("index")})


KINDS = {
    "echo": echo,
    "threads": threads,
    "draw": draw,
    "fail": fail,
    "crash": crash,
    "leave": leave,
    "no_memory": no_memory,
    "not_finite": not_finite,
    "chatter": chatter,
    "kill": kill,
    "vanish": vanish,
    "hang_up": hang_up,
    "die_once": die_once,
    "sleep": sleep,
}
