import sys

import pytest
import torch
from data.small_images import expected, random_pixels, write_parquet

import toroids as td
from toroids.data.hub import SETS
from toroids.errors import DataError


def test_names_that_are_not_there():
    for name in ("imagenet", "somebody/mnist", ""):
        with pytest.raises(DataError, match=f"no set '{name}' here; choose from mnist, fashion_"):
            td.data.hub(name)


def test_the_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"`datasets`.*pip install 'toroids\[hub\]'"):
        td.data.hub("mnist")


@pytest.mark.parametrize("name", ["mnist", "ylecun/mnist", "cifar100"])
def test_a_set_is_the_same_through_the_hub_and_from_a_folder(name, tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    short = name.rpartition("/")[2]
    columns = {"image": "img", "label": "fine_label"} if short == "cifar100" else {}
    colour = short == "cifar100"
    source, train = tmp_path / "source", random_pixels(6, colour=colour)
    labels = [0, 1, 2, 2, 1, 0]
    write_parquet(source / "train-00000-of-00001.parquet", train, labels, classes=4, **columns)
    write_parquet(source / "test-00000-of-00001.parquet", train[:2], [1, 2], classes=4, **columns)
    real = sys.modules["datasets"].load_dataset
    asked = []

    def load(repo, cache_dir):
        asked.append(repo)
        return real(str(source), cache_dir=cache_dir)

    monkeypatch.setattr(sys.modules["datasets"], "load_dataset", load)
    data = td.data.hub(name, cache=tmp_path / "cache")
    assert asked == [SETS[short]]
    assert torch.equal(data.train[0], expected(train))
    assert data.train[1].tolist() == labels
    assert data.classes == 4
    local = td.data.folder(source)
    for one, other in zip((*data.train, *data.test), (*local.train, *local.test), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(DataError, match="no column of labels"):
        td.data.hub(name, cache=tmp_path / "cache", label="colour")


def test_files_that_datasets_writes_are_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    pixels, source = random_pixels(4), tmp_path / "source"
    for part in ("train", "test"):
        write_parquet(source / f"{part}.parquet", pixels, [0, 1, 0, 1], classes=3)
    # what `datasets` takes for images and classes, it writes in its own way
    read = datasets.load_dataset(str(source), cache_dir=str(tmp_path / "cache"))
    assert read["train"].features["label"].names == ["class 0", "class 1", "class 2"]
    (tmp_path / "copy").mkdir()
    for part in ("train", "test"):
        read[part].to_parquet(tmp_path / "copy" / f"{part}.parquet")
    data = td.data.folder(tmp_path / "copy")
    assert torch.equal(data.train[0], expected(pixels))
    assert data.classes == 3


def test_a_set_that_cannot_be_reached(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")

    def load(repo, cache_dir):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(DataError) as error:
        td.data.hub("cifar10", cache=tmp_path)
    for part in (str(tmp_path), "https://huggingface.co", "no network", "td.data.folder(DIR)"):
        assert part in str(error.value)
    assert "hf download uoft-cs/cifar10 --repo-type dataset" in str(error.value)
