"""A study that takes a second, for the tests of study, report and cli."""

import json
import shutil
from pathlib import Path

import pytest

from toroids.design.config import StudyConfig
from toroids.study.rows import read_rows
from toroids.study.run import run_study
from toroids.study.store import Store, tasks_of

SMALL = {
    "name": "small",
    "seeds": [0, 1, 2],
    "data": {"name": "digits", "train": 100},
    "networks": {"mlp": {"model": "fully_connected", "hidden": [12]}},
    "solvers": {
        "sgd": {"method": "sgd", "budget": 3},
        "start": {"method": "adversarial_sgd", "budget": 3, "corrupt_budget": 2, "copies": 1},
    },
    "flatness": {"sigmas": [0.0, 0.5], "samples": 3},
    "profiles": {"points": 3, "across": 2},
}

# Has tasks of every kind, and takes long enough to be killed a dozen times on its way.
OF_ALL_KINDS = {
    **SMALL,
    "solvers": {
        "sgd": {"method": "sgd", "budget": 20},
        "replicated": {"method": "replicated_sgd", "budget": 10},
    },
    "flatness": {"sigmas": [0.1, 0.5], "samples": 40},
    "profiles": {"points": 9, "across": "all"},
    "bends": {"count": 1, "steps": 80},
    "sections": {"count": 1, "resolution": 7},
}


def write_toml(study, path):
    """Writes a study as a user would."""
    path.write_text("\n".join(f"{key} = {_toml(value)}" for key, value in study.items()))


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {_toml(x)}' for key, x in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value)


@pytest.fixture(scope="session")
def config():
    return StudyConfig.model_validate(SMALL)


@pytest.fixture(scope="session")
def run(config, tmp_path_factory):
    return run_study(config, tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture
def finished(run, tmp_path):
    """A copy of the finished run, for tests that change it."""
    return Path(shutil.copytree(run, tmp_path / "r"))


@pytest.fixture(scope="session")
def rows(run):
    return read_rows(run)


def lose(folder, *labels):
    """Deletes the results of tasks, named by kind and label, which are then to be done again."""
    for task in tasks_of(Store(folder).manifest()):
        if (task.kind, task.label) in labels:
            (folder / "results" / f"{task.id}.json").unlink()


def of_kind(rows, kind):
    return [row for row in rows if row.kind == kind]


TIMES = ("seconds", "measure_seconds", "task_seconds")


def without_times(rows):
    return [{key: value for key, value in row.data.items() if key not in TIMES} for row in rows]
