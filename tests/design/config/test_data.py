from dataclasses import replace

import pydantic
import pytest
import torch

from toroids import data
from toroids.data.find import KNOWN
from toroids.design.config.data import DataConfig
from toroids.design.config.fields import HERE
from toroids.errors import ConfigError

ADAPTER = pydantic.TypeAdapter(DataConfig)


def config(**settings):
    return ADAPTER.validate_python(settings)


def same(a, b):
    return all(
        torch.equal(x, y) for x, y in zip((*a.train, *a.test), (*b.train, *b.test), strict=True)
    )


SETS = [
    ({"name": "digits", "train": 100, "seed": 3}, lambda: data.digits(100, 3)),
    (
        {"name": "glyphs", "train": 20, "test": 10, "size": 12, "classes": 5, "colour": True},
        lambda: data.glyphs(20, 10, size=12, classes=5, colour=True),
    ),
    (
        {"name": "teacher", "inputs": 11, "train": 20, "test": 10, "teacher": "committee", "hidden": 5,
         "noise": 0.1, "binary": True, "seed": 2},
        lambda: data.teacher(11, 20, 10, teacher="committee", hidden=5, noise=0.1, binary=True, seed=2),
    ),
    (
        {"name": "patterns", "inputs": 21, "density": 0.7, "seed": 4, "binary": True},
        lambda: data.patterns(21, 0.7, seed=4, binary=True),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "make"), SETS, ids=[settings["name"] for settings, _ in SETS])
def test_data_are_those_of_the_function_of_the_same_name(settings, make):
    if settings["name"] == "glyphs":
        pytest.importorskip("matplotlib"), pytest.importorskip("PIL")
    found = config(**settings)
    loaded = found.load()
    assert same(loaded, make())
    assert found.layout == (tuple(loaded.train[0].shape[1:]), loaded.classes)
    assert found.examples == len(loaded.train[0])
    assert found.identity() == found.model_dump(mode="json")


def test_digits_as_images_are_the_same_digits():
    flat, image = (config(name="digits", image=image).load() for image in (False, True))
    assert image.train[0].shape == (600, 1, 8, 8)
    assert torch.equal(image.train[0].flatten(1), flat.train[0])
    assert torch.equal(image.test[0].flatten(1), flat.test[0])
    assert config(name="digits", image=True).layout == ((1, 8, 8), 10)


def test_a_part_and_wrong_labels():
    whole = config(name="digits", seed=5).load()
    part = config(name="digits", seed=5, subset=200, label_noise=0.25).load()
    assert same(part, whole.subset(200, 5).label_noise(0.25, 5))
    assert (part.train[1] != whole.subset(200, 5).train[1]).sum() == 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "digits", "train": 1797}, "less than 1797"),
        ({"name": "digits", "label_noise": 1.1}, "less than or equal to 1"),
        ({"name": "digits", "subset": 0}, "greater than or equal to 1"),
        ({"name": "digits", "subset": 601}, "there are 600 training examples; .*, got 601"),
        ({"name": "digits", "test": 7}, "Extra inputs"),
        ({"name": "glyphs", "train": 5}, "Field required"),
        ({"name": "glyphs", "train": 5, "test": 5, "size": 7}, "greater than or equal to 8"),
        ({"name": "glyphs", "train": 5, "test": 5, "classes": 37}, "less than or equal to 36"),
        ({"name": "glyphs", "train": 5, "test": 5, "distortion": 0}, "greater than or equal to 0.01"),
        ({"name": "teacher", "inputs": 5, "train": 5, "test": 5, "teacher": "tree"}, "choose from perceptron"),
        (
            {"name": "teacher", "inputs": 5, "train": 5, "test": 5, "teacher": "committee", "hidden": 4},
            "odd number",
        ),
        ({"name": "patterns", "inputs": 10, "density": 0.01}, "no pattern; pass 0.05 or more"),
        ({"name": "hub", "set": "imagenet"}, "choose from mnist, fashion_mnist, cifar10, cifar100"),
        ({"name": "folder"}, "Field required"),
    ],
)  # fmt: skip
def test_wrong_settings(settings, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        config(**settings)


def test_data_of_the_hub_are_those_of_their_label_wherever_they_are_kept():
    a, b = (config(name="hub", set="cifar100", cache=cache) for cache in ("/a", None))
    assert a.identity() == b.identity() and a.layout == ((3, 32, 32), 100)
    coarse = config(name="hub", set="cifar100", label="coarse_label")
    assert coarse.identity() != a.identity() and coarse.layout is None


def written(folder):
    for part, shade in (("train", 0), ("test", 90)):
        for label, name in enumerate(("a", "b")):
            (folder / part / name).mkdir(parents=True)
            pixels = bytes([shade + 10 * label] * 16)
            (folder / part / name / "1.pgm").write_bytes(b"P5 4 4 255\n" + pixels)
    return folder


def test_a_text_is_its_content(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for path in (first, second):
        path.write_text("abc" * 100, encoding="utf-8")
    a, b = (config(name="text", path=str(path), length=5) for path in (first, second))
    assert a.identity() == b.identity() and "path" not in a.identity()
    assert same(a.load(), data.text(first, 5)) and a.layout is None
    second.write_text("abd" * 100, encoding="utf-8")
    assert a.identity() != b.identity()
    assert config(name="text").identity() != config(name="text", most=9).identity()
    with pytest.raises(pydantic.ValidationError, match="choose from characters, bytes"):
        config(name="text", unit="words")
    with pytest.raises(ConfigError, match="there is no file"):
        config(name="text", path=str(tmp_path / "gone")).identity()


def test_a_folder_is_its_content(tmp_path):
    pytest.importorskip("PIL")
    first, second = (written(tmp_path / name) for name in ("first", "second"))
    a, b = (config(name="folder", path=str(path)) for path in (first, second))
    assert a.identity() == b.identity() and "path" not in a.identity()
    assert a.load().train[0].shape == (2, 1, 4, 4) and a.layout is None and a.examples is None
    (second / ".hidden").write_text("of no account")
    assert a.identity() == b.identity()
    (second / "test" / "a" / "1.pgm").rename(second / "test" / "a" / "2.pgm")
    renamed = b.identity()
    assert a.identity() != renamed
    (second / "test" / "a" / "2.pgm").write_bytes(b"P5 4 4 255\n" + bytes(16))
    assert b.identity() not in (renamed, a.identity())


def test_of_a_folder_with_parquet_files_these_count(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"1")
    found = config(name="folder", path=str(tmp_path))
    before = found.identity()
    (tmp_path / "README.md").write_text("x")
    assert found.identity() == before
    (tmp_path / "train.parquet").write_bytes(b"2")
    assert found.identity() != before


def test_a_folder_that_is_gone(tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        config(name="folder", path=str(tmp_path / "gone")).identity()


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    known = replace(KNOWN["fashion-mnist"], places=(str(tmp_path / "system"),))
    monkeypatch.setitem(KNOWN, "fashion-mnist", known)
    monkeypatch.setenv("TOROIDS_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr("toroids.design.config.data.find_spec", lambda package: None)
    return tmp_path


def test_a_known_set_by_its_name_alone(nowhere):
    found = ADAPTER.validate_python("fashion-mnist")
    assert found == config(name="fashion-mnist")
    assert (found.layout, found.examples) == (((1, 28, 28), 10), 60_000)
    assert found.identity() == found.model_dump(mode="json")
    assert ADAPTER.validate_python("digits") == config(name="digits")


def test_a_known_set_is_looked_for_before_a_run(nowhere):
    message = r"no `fashion-mnist` in .*system` or .*cache/fashion-mnist`; run `apt-get install"
    with pytest.raises(pydantic.ValidationError, match=message):
        ADAPTER.validate_python("fashion-mnist", context=HERE)
    (nowhere / "cache" / "fashion-mnist").mkdir(parents=True)
    assert ADAPTER.validate_python("fashion-mnist", context=HERE).name == "fashion-mnist"


def test_a_prefix_tells_which_files_of_a_folder_are_read(tmp_path):
    (tmp_path / "a").write_text("x")
    plain, named = (config(name="folder", path=str(tmp_path), prefix=p) for p in (None, "a"))
    assert "prefix" not in plain.identity() and named.identity()["prefix"] == "a"
