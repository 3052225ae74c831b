import pytest

from toroids.design.config.solvers import TABLES, FilesConfig, solver_of
from toroids.errors import ToroidsError
from toroids.solvers import SOLVERS

SGD_TABLE = TABLES[0]


@pytest.mark.parametrize("name", SOLVERS)
def test_a_table_makes_the_solver_of_its_name_with_the_same_defaults(name):
    (kind,) = (kind for kind in TABLES if kind.__name__ == f"{SOLVERS[name].__name__}Table")
    settings = kind(method=name).settings()
    assert settings["method"] == name
    assert "together" not in settings
    assert solver_of(settings) == SOLVERS[name]()


def test_two_settings_that_do_not_fit_each_other_are_refused(monkeypatch):
    class Picky(SOLVERS["sgd"]):
        def __post_init__(self):
            super().__post_init__()
            if self.momentum and self.clip:
                raise ToroidsError("momentum and clip do not go together.")

    monkeypatch.setitem(SOLVERS, "sgd", Picky)
    with pytest.raises(ValueError, match="momentum and clip do not go together"):
        SGD_TABLE(method="sgd", clip=1.0)


def test_the_path_of_a_network_that_was_trained_elsewhere():
    config = FilesConfig(method="files", files="w/{architecture}/{seed}.safetensors")
    assert config.file("mlp", 3).as_posix() == "w/mlp/3.safetensors"
    with pytest.raises(ValueError, match="pattern"):
        FilesConfig(method="files", files="w/0.safetensors")


def test_a_solver_may_be_for_some_architectures():
    config = SGD_TABLE(method="sgd", architectures=("mlp",))
    assert (config.is_for("mlp"), config.is_for("net")) == (True, False)
    assert SGD_TABLE(method="sgd").is_for("net")
