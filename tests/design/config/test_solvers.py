import inspect
from typing import get_args

import pytest

from toroids import solvers
from toroids.design.config.solvers import AnySolver, FilesConfig, SgdConfig

TRAINING = [kind for kind in get_args(AnySolver) if kind is not FilesConfig]


def method(kind):
    return get_args(kind.model_fields["method"].annotation)[0]


@pytest.mark.parametrize("kind", TRAINING, ids=method)
def test_settings_and_defaults_are_those_of_the_function(kind):
    parameters = inspect.signature(getattr(solvers, method(kind))).parameters
    # what the study itself knows, and how replicas share the machine
    given = {"make_model", "data", "seed", "device", "checkpoint", "progress", "together", "group"}
    ours = {"method", "architectures"}
    own = {name: field.default for name, field in kind.model_fields.items() if name not in ours}
    theirs = {
        name: parameter.default for name, parameter in parameters.items() if name not in given
    }
    assert own == theirs


def test_the_path_of_a_network_that_was_trained_elsewhere():
    config = FilesConfig(method="files", files="w/{architecture}/{seed}.safetensors")
    assert config.file("mlp", 3).as_posix() == "w/mlp/3.safetensors"
    with pytest.raises(ValueError, match="pattern"):
        FilesConfig(method="files", files="w/0.safetensors")


def test_a_solver_may_be_for_some_architectures():
    config = SgdConfig(method="sgd", architectures=("mlp",))
    assert (config.is_for("mlp"), config.is_for("net")) == (True, False)
    assert SgdConfig(method="sgd").is_for("net")
