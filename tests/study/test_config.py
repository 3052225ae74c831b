from pathlib import Path

import pytest

from toroids.errors import ConfigError
from toroids.study.config import load_config

DIGITS = Path(__file__).parents[2] / "studies" / "digits.toml"


def load(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text)
    return load_config(path)


GOOD = 'name = "s"\nseeds = [0, 1]\n[solvers.sgd]\nmethod = "sgd"\n'


def test_the_default_study_is_what_was_asked_for():
    config = load_config(DIGITS)
    assert {solver.method for solver in config.solvers.values()} == {
        "sgd",
        "replicated_sgd",
        "adversarial_sgd",
    }
    assert len(config.seeds) >= 6
    assert config.network.hidden == (128, 128)
    assert config.data.train == 600
    shared = {(s.budget, s.hold, s.batch_size, s.lr, s.momentum) for s in config.solvers.values()}
    assert len(shared) == 1


def test_defaults_fill_what_is_not_said(tmp_path):
    config = load(tmp_path, GOOD)
    assert config.profiles.points == 25
    assert config.solvers["sgd"].lr == 0.1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "learning_rate = 1\n", "`solvers.sgd.learning_rate` is not a known key"),
        ("colour = 1\n" + GOOD, "`colour` is not a known key"),
        (GOOD + 'lr = "fast"\n', "`solvers.sgd.lr`: input should be a valid number.*'fast'"),
        (GOOD + "lr = -1\n", "`solvers.sgd.lr`: input should be greater than 0, got -1"),
        (
            GOOD + '[network]\nname = "binary_fully_connected"\nbias = true\n',
            "`network`: binary_fully_connected networks have no bias; remove it",
        ),
        (
            GOOD + "[network]\nthreshold = 0.5\n",
            "`network`: fully_connected networks have no threshold; remove it",
        ),
        (
            GOOD
            + '[network]\nname = "binary_fully_connected"\n'
            + "[flatness]\nsigmas = [0.5, 1.5]\nreference = 0.5\n",
            "is not a study: flatness.sigmas are fractions of binary weights; pass at most 1",
        ),
        (GOOD + "[profiles]\norders = 2\n", "profiles.orders is of binary networks; remove it"),
        (GOOD + "lr = inf\n", "`solvers.sgd.lr`: input should be a finite number"),
        (GOOD.replace('"sgd"', '"sdg"'), "`solvers.sgd.method` is 'sdg'; choose from sgd, adam"),
        (GOOD.replace('method = "sgd"', ""), "`solvers.sgd.method` is missing; choose from"),
        (GOOD.replace("seeds = [0, 1]", ""), "`seeds` is missing"),
        (GOOD.replace("[0, 1]", "[0, 0]"), "`seeds`: a seed occurs twice"),
        (GOOD.replace("[0, 1]", "[]"), "`seeds`: tuple should have at least 1 item"),
        (GOOD.replace('name = "s"', 'name = "../s"'), "`name`: string should match pattern"),
        (GOOD.replace("solvers.sgd", 'solvers."../x"'), "string should match pattern"),
        (GOOD + "[flatness]\nsigmas = [0.1]\n", "reference 0.5 is not one of the sigmas"),
        (GOOD + "[flatness]\nsigmas = [-0.1]\nreference = -0.1\n", "greater than or equal to 0"),
        (GOOD + "[profiles]\npoints = 1\n", "`profiles.points`: .* greater than or equal to 2"),
        (GOOD + "[data]\nname = 'mnist'\n", "`data.name`: input should be 'digits', got 'mnist'"),
        (GOOD + 'lr = "0.1"\n', "`solvers.sgd.lr`: input should be a valid number"),
        (GOOD + "lr = true\n", "`solvers.sgd.lr`: input should be a valid number"),
        (GOOD + "budget = true\n", "`solvers.sgd.budget`: input should be a valid integer"),
        (GOOD + "budget = 2.0\n", "`solvers.sgd.budget`: input should be a valid integer"),
        (GOOD.replace("[0, 1]", '["0"]'), "`seeds.0`: input should be a valid integer"),
        (GOOD.replace("[0, 1]", "[true]"), "`seeds.0`: input should be a valid integer"),
        (GOOD.replace("[0, 1]", f"[1{'0' * 300}]"), "`seeds.0`"),
        (GOOD.replace("[0, 1]", f"[1{'0' * 6000}]"), "is not TOML"),
        (GOOD.replace("[0, 1]", "[" * 5000 + "]" * 5000), "is not TOML"),
        (GOOD + '[network]\nbias = "no"\n', "`network.bias`: input should be a valid boolean"),
        (GOOD + "[network]\nhidden = []\n", "`network.hidden`"),
        (GOOD + "[network]\nhidden = [1000000000000]\n", "`network.hidden.0`"),
        (GOOD + '[solvers.SGD]\nmethod = "sgd"\n', "upper and lower case only"),
        (GOOD + "budget = 2020-01-01\n", "`solvers.sgd.budget`: input should be a valid integer"),
        ("name = \n", "is not TOML"),
    ],
)
def test_wrong_studies_get_one_sentence(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_all_faults_are_named_at_once(tmp_path):
    with pytest.raises(ConfigError, match="`colour`.*`solvers.sgd.lr`|`solvers.sgd.lr`.*`colour`"):
        load(tmp_path, "colour = 1\n" + GOOD + "lr = -1\n")


def test_missing_files_folders_and_binary_files(tmp_path):
    with pytest.raises(ConfigError, match="no study file"):
        load_config(tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(tmp_path / "binary.toml")
