"""A study that takes a second, for the tests of study, report and cli."""

import pytest

from toroids.study.config import StudyConfig
from toroids.study.run import run_study
from toroids.study.store import read_rows

SMALL = {
    "name": "small",
    "seeds": [0, 1, 2],
    "data": {"train": 100},
    "network": {"hidden": [12]},
    "solvers": {
        "sgd": {"method": "sgd", "budget": 3},
        "start": {"method": "adversarial_sgd", "budget": 3, "corrupt_budget": 2, "copies": 1},
    },
    "flatness": {"sigmas": [0.0, 0.5], "samples": 3},
    "profiles": {"points": 3, "across": 2},
}


@pytest.fixture(scope="session")
def config():
    return StudyConfig.model_validate(SMALL)


@pytest.fixture(scope="session")
def run(config, tmp_path_factory):
    return run_study(config, tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="session")
def rows(run):
    return read_rows(run)
