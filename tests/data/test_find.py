import importlib
import sys
from dataclasses import replace

import pytest
import torch
from data.small_images import expected, random_pixels, write_idx

import toroids as td
from toroids.data.find import KNOWN, places_of
from toroids.errors import DataError

PIXELS = random_pixels(4)


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """A Fashion-MNIST of a few images, and nothing on this machine."""
    own = replace(
        KNOWN["fashion-mnist"], shape=(1, 6, 5), counts=(4, 4), classes=3,
        places=(str(tmp_path / "debian"),),
    )  # fmt: skip
    monkeypatch.setitem(KNOWN, "fashion-mnist", own)
    monkeypatch.setenv("TOROIDS_DATA", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "datasets", None)


def write(folder, labels=(0, 1, 2, 0)):
    write_idx(folder, (PIXELS, list(labels)), (PIXELS, [2, 1, 0, 0]))


def test_the_cache_comes_before_the_system(tmp_path):
    write(tmp_path / "debian")
    assert td.data.find("fashion-mnist").train[1].tolist() == [0, 1, 2, 0]
    write(tmp_path / "cache" / "fashion-mnist", [2, 2, 1, 0])
    found = td.data.find("fashion-mnist")
    assert found.train[1].tolist() == [2, 2, 1, 0]
    assert torch.equal(found.train[0], expected(PIXELS))


def test_where_debian_and_a_cache_of_ones_own_are(monkeypatch):
    monkeypatch.delenv("TOROIDS_DATA")
    monkeypatch.undo()
    monkeypatch.delenv("TOROIDS_DATA", raising=False)
    cache, debian, *_ = map(str, places_of("fashion-mnist"))
    assert cache.endswith(".cache/toroids/fashion-mnist")
    assert debian == "/usr/share/datasets/fashion-mnist"


def test_it_says_where_it_looked_and_how_to_get_it(tmp_path):
    with pytest.raises(
        DataError,
        match=rf"no `fashion-mnist` in `{tmp_path}/debian` or `{tmp_path}/cache/fashion-mnist`; run "
        r"`apt-get install dataset-fashion-mnist`.*the hub: this needs the package `datasets`",
    ):
        td.data.find("fashion-mnist")


def test_a_place_where_nobody_may_look_is_passed_over(tmp_path, monkeypatch):
    def refused(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.is_dir", refused)
    with pytest.raises(DataError, match="no `fashion-mnist` in"):
        td.data.find("fashion-mnist")


def test_the_hub_is_asked_last(monkeypatch):
    asked = []
    module = importlib.import_module("toroids.data.find")
    monkeypatch.setattr(module, "hub", lambda name: asked.append(name) or "data")
    assert td.data.find("fashion-mnist") == "data" and asked == ["fashion_mnist"]


def test_a_set_that_is_not_whole(tmp_path):
    write_idx(tmp_path / "debian", (PIXELS[:3], [0, 1, 2]), (PIXELS, [0, 1, 2, 0]))
    with pytest.raises(
        DataError, match=r"debian` has 3 \+ 4 images .* but `fashion-mnist` has 4 \+ 4"
    ):
        td.data.find("fashion-mnist")


def test_a_name_that_nobody_knows():
    with pytest.raises(DataError, match="no known set 'fashion'; choose from mnist, fashion-mnist"):
        td.data.find("fashion")
