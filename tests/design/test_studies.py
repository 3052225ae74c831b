"""The studies of this repository are studies, whatever the machine has."""

import tomllib
from pathlib import Path

import pytest

from toroids.design.config import StudyConfig
from toroids.study.plan import count_tasks

STUDIES = sorted(Path(__file__).parents[2].glob("studies/*.toml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_is_valid_and_small_enough_to_be_planned(path):
    study = StudyConfig.model_validate(tomllib.loads(path.read_text()))
    assert study.name == path.stem
    assert 0 < count_tasks(study).total() < 2000


def test_fashion_has_five_seeds_of_three_solvers_on_all_images():
    [path] = (path for path in STUDIES if path.stem == "fashion")
    study = StudyConfig.model_validate(tomllib.loads(path.read_text()))
    assert len(study.seeds) >= 5 and len(study.solvers) == 3
    assert (study.data.examples, study.data.subset) == (60_000, None)


@pytest.mark.parametrize("name", ["width", "width-resnet"])
def test_widths_double(name):
    [path] = (path for path in STUDIES if path.stem == name)
    networks = StudyConfig.model_validate(tomllib.loads(path.read_text())).networks.values()
    widths = [getattr(network, "width", None) or network.hidden[0] for network in networks]
    assert len(widths) == 5 and all(b == 2 * a for a, b in zip(widths, widths[1:], strict=False))
