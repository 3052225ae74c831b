"""A real study gives the same numbers on every engine, also where workers and nodes are lost."""

import os
import signal
from pathlib import Path

import pytest
from small_study import OF_ALL_KINDS, of_kind, without_times
from study.engines.conftest import eventually, running

from toroids.design.config import StudyConfig
from toroids.study.engines.processes import Processes
from toroids.study.engines.ray_cluster import RayCluster
from toroids.study.rows import read_rows
from toroids.study.run import run_study

CONFIG = StudyConfig.model_validate(OF_ALL_KINDS)


def numbers(rows):
    """All but times, and how the run was made."""
    return without_times([row for row in rows if row.kind != "run"])


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return numbers(read_rows(run_study(CONFIG, tmp_path_factory.mktemp("in-process") / "run")))


def own_workers():
    """The workers of this process; those of another study on this machine are left alone."""
    return [pid for pid in running("engines/bootstrap.py") if parent(pid) == os.getpid()]


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def run(folder, engine, after, what):
    """Runs the study; does something to the engine after some tasks. The texts of its progress."""
    texts = []

    def progress(text, done, total):
        texts.append(text)
        if len(texts) == after:
            what()

    run_study(CONFIG, folder, progress, engine)
    return texts


def test_all_cores_and_a_worker_that_is_killed(expected, tmp_path):
    def kill():
        for process in own_workers():
            os.kill(process, signal.SIGKILL)

    with Processes(2) as engine:
        texts = run(tmp_path / "run", engine, 20, kill)
    rows = read_rows(tmp_path / "run")
    assert sum("begun again" in text for text in texts) >= 1
    assert numbers(rows) == expected
    assert (rows[-1].engine, rows[-1].workers) == ("processes", 2)
    assert of_kind(rows, "failed") == []


@pytest.mark.long
def test_a_cluster_of_which_a_node_is_killed(expected, tmp_path, cluster):
    with RayCluster(cluster.address) as engine:
        run(tmp_path / "run", engine, 20, lambda: cluster.do("kill"))
        assert eventually(lambda: engine.slots == 1)
    cluster.do("add")  # for the other tests
    rows = read_rows(tmp_path / "run")
    assert numbers(rows) == expected
    assert rows[-1].engine == "ray"
    assert of_kind(rows, "failed") == []
