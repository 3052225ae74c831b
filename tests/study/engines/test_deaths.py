"""Workers that die, parents that die, and interrupts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from study.engines.conftest import eventually, running
from study.engines.fakes import FUNCTION, job

from toroids.study.engines import child
from toroids.study.engines.processes import Processes
from toroids.study.sealed import save_network

# No `if __name__ == "__main__"`, as in a notebook; the file counts how often it is executed.
SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from study.engines.fakes import FUNCTION, job
from toroids.study.engines.processes import Processes
from toroids.study.engines.ray_cluster import RayCluster
folder = Path({folder!r})
with open(folder / "executed", "a") as file:
    file.write("once ")
with {engine} as engine:
    for index in range(2):
        engine.submit(job("sleep", folder=str(folder), seconds={seconds}, index=index))
    print(*sorted(engine.next().outcome.row["index"] for _ in range(2)))
"""
TESTS = str(Path(__file__).parents[2])


@pytest.fixture
def start(request, tmp_path):
    """Starts a script that runs two jobs at once."""
    started = []

    def start(seconds, name="processes"):
        engine = f"Processes(2, {FUNCTION!r})"
        if name == "ray":
            address = request.getfixturevalue("cluster").address
            engine = f"RayCluster({address!r}, function={FUNCTION!r})"
        text = SCRIPT.format(tests=TESTS, folder=str(tmp_path), engine=engine, seconds=seconds)
        (tmp_path / "script.py").write_text(text)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, tmp_path / "script.py"]
        started.append(subprocess.Popen(command, start_new_session=True, **pipes))
        return started[0]

    yield start
    for process in started:
        with process:
            process.kill()


def workers(folder):
    return [int(path.stem) for path in folder.glob("*.started")]


def alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return state[0] != "Z" or int(state[17]) > 1  # its other threads die later


def test_a_script_without_a_guard_runs_once(start, tmp_path):
    out, errors = start(0.0).communicate(timeout=60)
    assert (out, errors) == ("0 1\n", "")
    assert (tmp_path / "executed").read_text() == "once "


@pytest.mark.parametrize("name", ["processes", pytest.param("ray", marks=pytest.mark.long)])
def test_workers_end_when_their_parent_is_killed(start, tmp_path, name):
    process = start(60.0, name)
    assert eventually(lambda: len(workers(tmp_path)) == 2)
    process.kill()
    process.wait()
    assert eventually(lambda: not any(map(alive, workers(tmp_path))), 3)
    # the folder of the script is in the path that it gives to every child
    assert eventually(lambda: not running(str(tmp_path)), 3)


def test_an_interrupt_from_the_keyboard_ends_everything(start, tmp_path):
    process = start(60.0)
    assert eventually(lambda: len(workers(tmp_path)) == 2)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does, to all processes of the group
    _, errors = process.communicate(timeout=10)
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt") == 1  # the script's own
    assert eventually(lambda: not any(map(alive, workers(tmp_path))), 3)


def test_a_death_takes_down_one_job_which_may_be_submitted_again(mortal, tmp_path):
    mortal_job = job("die_once", folder=str(tmp_path))
    jobs = [job("echo", index=0), mortal_job, job("echo", index=1), job("echo", index=2)]
    for one in jobs:
        mortal.submit(one)
    found = {one.job.task.id: one for one in (mortal.next() for _ in jobs)}
    died = found.pop(mortal_job.task.id)
    assert died.died
    assert died.outcome is None
    assert all(one.outcome for one in found.values())
    mortal.submit(died.job)
    assert mortal.next().outcome.row == {"second": True}


def test_a_death_says_how_and_one_between_two_jobs_does_no_harm(tmp_path):
    with Processes(1, FUNCTION) as engine:
        engine.submit(job("sleep", folder=str(tmp_path), seconds=0))
        assert engine.next().outcome
        (process,) = workers(tmp_path)
        os.kill(process, signal.SIGKILL)
        assert eventually(lambda: not alive(process))
        engine.submit(job("vanish"))
        assert engine.next().died == "its process ended with exit status 3."
        engine.submit(job("kill"))
        assert engine.next().died == (
            "its process was killed by signal 9 (Killed), as the system does when memory runs out."
        )


def test_memory_is_not_blamed_for_a_process_that_was_ended_by_its_parent(monkeypatch):
    monkeypatch.setattr(child, "SECONDS_TO_DIE", 0.1)
    with Processes(1, FUNCTION) as engine:
        engine.submit(job("hang_up"))
        expected = "its process was ended, because it did not answer any more."
        assert engine.next().died == expected


def test_closing_kills_what_runs(tmp_path):
    engine = Processes(2, FUNCTION)
    for index in range(3):
        engine.submit(job("sleep", folder=str(tmp_path), seconds=600, index=index))
    assert eventually(lambda: len(workers(tmp_path)) == 2)
    begun = time.monotonic()
    engine.close()
    engine.close()  # twice is as good as once
    assert time.monotonic() - begun < 2
    assert not any(map(alive, workers(tmp_path)))


def test_closing_before_the_workers_are_up():
    engine = Processes(2, FUNCTION)
    engine.submit(job("echo"))
    begun = time.monotonic()
    engine.close()
    assert time.monotonic() - begun < 2


def test_a_large_network_comes_back_whole(mortal, tmp_path):
    network = {"weight": torch.randn(2_000_000)}
    save_network(network, tmp_path / "large.safetensors")
    mortal.submit(job("echo", weights=(tmp_path / "large.safetensors",)))
    assert torch.equal(mortal.next().outcome.params["weight"], 2 * network["weight"])
