"""A study that is killed at random moments gives the numbers of an undisturbed one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_study import OF_ALL_KINDS, of_kind, without_times, write_toml

from toroids.design.config import StudyConfig
from toroids.study.rows import read_rows
from toroids.study.run import run_study

SCRIPT = Path(__file__).with_name("kill_at_random.py")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    config = StudyConfig.model_validate(OF_ALL_KINDS)
    return without_times(read_rows(run_study(config, tmp_path_factory.mktemp("u") / "run")))


def test_kills_lose_nothing(undisturbed, tmp_path, request):
    kills = 20 if request.config.getoption("--long") else 8
    write_toml(OF_ALL_KINDS, tmp_path / "study.toml")
    folder = tmp_path / "run"
    command = [sys.executable, SCRIPT, tmp_path / "study.toml", folder, str(kills), "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [int(line[0]) for line in lines] == list(range(1, kills + 1))
    total = sum(undisturbed[-1]["tasks"].values())
    # the kills fell into the study, not before it or after it
    assert sum(0 < int(line[1]) < total for line in lines) >= kills // 2
    rows = read_rows(folder)
    assert rows[-1].finished is True
    assert without_times(rows) == undisturbed
    assert not [path for path in folder.rglob("*.tmp")]


def test_two_processes_on_one_run_at_the_same_time(undisturbed, tmp_path):
    """The second is refused, or finds everything done; either way nothing is lost."""
    write_toml(OF_ALL_KINDS, tmp_path / "study.toml")
    command = [sys.executable, "-c", "from toroids.cli import main; main()", "study"]
    command += [str(tmp_path / "study.toml"), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    while not (tmp_path / "run" / "run.json").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    second = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert second.returncode in (0, 2)
    if second.returncode == 2:
        assert "another study is writing" in second.stderr
    assert without_times(read_rows(tmp_path / "run")) == undisturbed
    assert of_kind(read_rows(tmp_path / "run"), "failed") == []
