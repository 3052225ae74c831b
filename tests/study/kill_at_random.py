"""Runs a study again and again, each time in a process that is killed after a random time.

Called as `python kill_at_random.py STUDY.toml FOLDER KILLS SEED`. Forking this process, which has
imported everything, saves the start of Python: the kills then fall into the study itself. Prints
after every kill how many there were, and how many tasks were done.
"""

import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from toroids.design.config import load_config
from toroids.study.rows import read_rows
from toroids.study.run import run_study

MODULES = "modules.txt"  # what a process imported that did everything
PARTS = 6  # a study is killed after at most this part of the time that it takes


def begin(config, folder):
    child = os.fork()
    if child == 0:
        run_study(config, folder)
        (folder / MODULES).write_text(" ".join(sys.modules))
        os._exit(0)
    return child


def whole(config, folder):
    _, status = os.waitpid(begin(config, folder), 0)
    assert status == 0, "the study failed"


def import_what_tasks_import(config, folder):
    """Without doing one here: a process whose autograd has run cannot fork on CUDA builds."""
    whole(config, folder)
    for name in (folder / MODULES).read_text().split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    shutil.rmtree(folder)


def is_over(child):
    return os.waitpid(child, os.WNOHANG)[0] == child


def main():
    config = load_config(sys.argv[1])
    folder, kills, draw = Path(sys.argv[2]), int(sys.argv[3]), random.Random(int(sys.argv[4]))
    import_what_tasks_import(config, folder)
    begun = time.monotonic()
    whole(config, folder)
    longest = (time.monotonic() - begun) / PARTS
    shutil.rmtree(folder)
    killed = 0
    while killed < kills:
        child = begin(config, folder)
        end = time.monotonic() + draw.uniform(0, longest)
        while time.monotonic() < end and not (over := is_over(child)):
            time.sleep(0.005)
        if over:  # the study was finished: the next one begins anew
            shutil.rmtree(folder)
            continue
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1
        try:
            print(killed, read_rows(folder)[-1].done, flush=True)
        except ValueError as error:  # killed before there was a run
            print(killed, 0, error, flush=True)
    whole(config, folder)


if __name__ == "__main__":
    main()
