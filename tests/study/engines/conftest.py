import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from study.engines import fakes

from toroids.study.engines.in_process import InProcess
from toroids.study.engines.processes import Processes
from toroids.study.engines.ray_cluster import RayCluster


def pytest_collection_modifyitems(items):
    """Keeps all tests of engines in one process of pytest-xdist, which starts one Ray cluster."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("engines"))


def eventually(condition, seconds=180.0):  # Ray starts in a minute beside other work
    """Waits until a condition holds, and says whether it did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def running(word):
    """Processes of which the command line has a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if word in (path / "cmdline").read_bytes().decode():
                found.append(int(path.name))
        except OSError:  # it ended meanwhile
            continue
    return found


class TwoNodes:
    """A Ray cluster of two nodes with one CPU each, the first with one GPU that is not there."""

    def __init__(self, folder):
        self.folder = folder
        script = Path(__file__).with_name("two_nodes.py")
        self.process = subprocess.Popen(
            [sys.executable, script, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self.process.stdout.readline().strip()

    def do(self, what):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def close(self):
        with self.process:
            self.process.stdin.close()
            self.process.wait(30)
        gone = eventually(lambda: not running(self.folder))
        for process in running(self.folder):
            os.kill(process, signal.SIGKILL)
        assert gone


@pytest.fixture(scope="session")
def cluster():
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    folder = tempfile.mkdtemp(prefix="toroids-")  # short: Ray's sockets have it in their names
    with pytest.MonkeyPatch.context() as patch:
        # without it Ray replaces the loopback address by one that others can reach
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        cluster = TwoNodes(folder)
        yield cluster
        cluster.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def engines(request):
    """Engines by name; each is started once, as it takes seconds to import PyTorch."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = stack.enter_context(make(name, request))
        return made[name]

    with ExitStack() as stack:
        yield get


def make(name, request):
    if name == "in-process":
        return InProcess(fakes.FUNCTION)
    if name == "processes":
        return Processes(2, fakes.FUNCTION)
    return RayCluster(request.getfixturevalue("cluster").address, function=fakes.FUNCTION)


@pytest.fixture(params=["in-process", "processes", "ray"])
def engine(request, engines):
    return engines(request.param)


@pytest.fixture(params=["processes", "ray"])
def mortal(request, engines):
    """An engine whose workers may die."""
    return engines(request.param)
