import importlib
import io
import sys

import pytest
import torch
from data.small_images import expected, png, random_pixels, write_parquet
from PIL import Image

import toroids as td
from toroids.errors import DataError


def write_images(folder, pixels, name="png"):
    folder.mkdir(parents=True)
    for row, one in enumerate(pixels):
        (folder / f"{row:03}.{name}").write_bytes(png(one))


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("below", ["", "plain_text/"])
def test_parquet_files_of_the_hub(tmp_path, colour, below):
    train, test = random_pixels(10, colour=colour), random_pixels(4, colour=colour, seed=1)
    names = {"image": "img", "label": "fine_label"} if colour else {}
    labels = [3, 1, 0, 2, 3, 0, 1, 0, 0, 2]
    for shard, rows in enumerate((slice(0, 6), slice(6, 10))):
        path = tmp_path / f"{below}train-0000{shard}-of-00002.parquet"
        write_parquet(path, train[rows], labels[rows], classes=7, **names)
    path = tmp_path / f"{below}test-00000-of-00001.parquet"
    write_parquet(path, test, [0, 1, 1, 0], classes=7, **names)
    (tmp_path / "README.md").write_text("a card")
    data = td.data.folder(tmp_path)
    assert torch.equal(data.train[0], expected(train))
    assert torch.equal(data.test[0], expected(test))
    assert data.train[1].tolist() == labels
    assert data.test[1].tolist() == [0, 1, 1, 0]
    assert data.classes == 7


def test_parquet_files_in_folders_and_without_names_of_classes(tmp_path):
    pixels = random_pixels(4)
    write_parquet(tmp_path / "train" / "0000.parquet", pixels, [0, 1, 2, 0], label="digit")
    write_parquet(tmp_path / "validation" / "0000.parquet", pixels, [0, 3, 2, 0], label="digit")
    data = td.data.folder(str(tmp_path), label="digit")
    assert data.classes == 4
    with pytest.raises(DataError, match=r"no column of labels among \['image', 'digit'\].*label="):
        td.data.folder(tmp_path)
    with pytest.raises(DataError, match=r"no column of images .*expected pixels"):
        td.data.folder(tmp_path, image="pixels")


def test_an_image_folder(tmp_path):
    pixels = random_pixels(6)
    write_images(tmp_path / "train" / "cat", pixels[:3])
    write_images(tmp_path / "train" / "ape", pixels[3:5])
    write_images(tmp_path / "val" / "cat", pixels[5:], "PNG")
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    data = td.data.folder(tmp_path)
    assert data.classes == 2
    assert data.train[1].tolist() == [0, 0, 1, 1, 1]  # in the order of the names
    assert torch.equal(data.train[0], expected(pixels[[3, 4, 0, 1, 2]]))
    assert data.test[1].tolist() == [1]
    assert torch.equal(data.test[0], expected(pixels[5:]))
    write_images(tmp_path / "val" / "dog", pixels[5:])
    with pytest.raises(DataError, match="class `dog` that is not among .* ape, cat"):
        td.data.folder(tmp_path)


def test_grey_images_among_coloured_ones_get_three_channels(tmp_path):
    for part in ("train", "test"):
        write_images(tmp_path / part / "grey", random_pixels(2))
        write_images(tmp_path / part / "red", random_pixels(1, colour=True))
    images, _ = td.data.folder(tmp_path).train
    assert images.shape == (3, 3, 6, 5)
    assert torch.equal(images[:2], expected(random_pixels(2)).expand(-1, 3, -1, -1))
    (tmp_path / "test" / "red" / "000.png").unlink()
    with pytest.raises(DataError, match=r"shape \(3, 6, 5\) but a test input \(1, 6, 5\)"):
        td.data.folder(tmp_path)


def test_folders_that_are_not_there_or_empty(tmp_path):
    with pytest.raises(DataError, match=r"no folder `.*gone`; expected parquet files train-\*"):
        td.data.folder(tmp_path / "gone")
    with pytest.raises(DataError, match="has no folder for train; expected"):
        td.data.folder(tmp_path)
    (tmp_path / "train" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="has no images in folders of classes"):
        td.data.folder(tmp_path)
    write_images(tmp_path / "train" / "b", random_pixels(1))
    with pytest.raises(DataError, match="has no folder for test"):
        td.data.folder(tmp_path)


def sixteen_bits():
    stream = io.BytesIO()
    Image.new("I;16", (5, 6)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"no image",
            r"b/000.png` is not an image that can be read: it is in no known format; put",
        ),
        # programs, which another program would run
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 6\n%%EndComments\n", "in no known format"),
        (png(random_pixels(1)[0])[:60], r"b/000.png` is not an image that can be read"),
        (png(random_pixels(1, (3, 4))[0]), r"b/000.png` is 4 x 3 pixels but others are 5 x 6"),
        (sixteen_bits(), r"b/000.png` has pixels of mode I;16; expected 8-bit"),
    ],
)
def test_images_that_cannot_be_used(tmp_path, content, message):
    write_images(tmp_path / "train" / "a", random_pixels(1))
    (tmp_path / "train" / "b").mkdir()
    (tmp_path / "train" / "b" / "000.png").write_bytes(content)
    with pytest.raises(DataError, match=message):
        td.data.folder(tmp_path)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 5], 4, "run from 0 to 5 but there are 4 classes"),
        ([0, -1], None, "run from -1 to 0"),
        ([0, None], None, "`label` holds None; expected integers"),
        (["cat", "dog"], None, "`label` holds 'cat'; expected integers"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path, labels, classes, message):
    write_parquet(tmp_path / "train.parquet", random_pixels(2), labels, classes=classes)
    write_parquet(tmp_path / "test.parquet", random_pixels(2), [0, 0], classes=classes)
    with pytest.raises(DataError, match=message):
        td.data.folder(tmp_path)


def test_parquet_files_that_cannot_be_used(tmp_path):
    pixels = random_pixels(2)
    write_parquet(tmp_path / "a" / "train-00000-of-00002.parquet", pixels, [0, 1])
    with pytest.raises(DataError, match="holds 1 of the 2 parquet files of train; copy all"):
        td.data.folder(tmp_path)
    write_parquet(tmp_path / "a" / "train-00001-of-00002.parquet", pixels, [0, 1])
    with pytest.raises(DataError, match="parquet files but none for test"):
        td.data.folder(tmp_path)
    (tmp_path / "a" / "test.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"test.parquet` is not a parquet file"):
        td.data.folder(tmp_path)
    write_parquet(tmp_path / "b" / "train.parquet", pixels, [0, 1])
    with pytest.raises(DataError, match=r"several data sets, in .*a, .*b; pass one"):
        td.data.folder(tmp_path)
    write_parquet(tmp_path / "c" / "train.parquet", pixels, [0, 1], image="link")
    with pytest.raises(DataError, match="row 0 of .* holds no image"):
        td.data.folder(tmp_path / "c", image="label")


def test_a_package_that_is_missing(tmp_path, monkeypatch):
    write_parquet(tmp_path / "train.parquet", random_pixels(2), [0, 1])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"`pyarrow`.*pip install 'toroids\[hub\]'"):
        td.data.folder(tmp_path)


def test_a_file_that_is_too_long_for_an_image_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("toroids.data.folder"), "MOST_BYTES", 50)
    write_images(tmp_path / "train" / "a", random_pixels(1))
    with pytest.raises(DataError, match="it has more than 50 bytes; remove it"):
        td.data.folder(tmp_path)
