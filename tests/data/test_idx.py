import gzip

import pytest
import torch
from data.small_images import expected, idx, random_pixels, write_idx

import toroids as td
from toroids.errors import DataError

TRAIN, TEST = random_pixels(4), random_pixels(3, seed=1)
LABELS, ANSWERS = [0, 2, 1, 0], [2, 2, 1]
IMAGES = "train-images-idx3-ubyte.gz"


def plain(content):
    return content


@pytest.mark.parametrize("pack", [plain, gzip.compress])
@pytest.mark.parametrize("below", ["", "MNIST/raw"])
@pytest.mark.parametrize(("prefix", "second"), [("", "t10k"), ("emnist-digits-", "test")])
def test_the_four_files_of_a_set(tmp_path, pack, below, prefix, second):
    write_idx(tmp_path / below, (TRAIN, LABELS), (TEST, ANSWERS), prefix, pack, second)
    (tmp_path / below / "._train-images-idx3-ubyte.gz").write_bytes(b"of a Mac")
    data = td.data.folder(tmp_path)
    assert torch.equal(data.train[0], expected(TRAIN))
    assert torch.equal(data.test[0], expected(TEST))
    assert data.train[1].tolist() == LABELS and data.test[1].tolist() == ANSWERS
    assert data.classes == 3


def test_a_set_that_is_there_packed_and_unpacked_is_one_set(tmp_path):
    write_idx(tmp_path, (TRAIN, LABELS), (TEST, ANSWERS))
    write_idx(tmp_path, (TRAIN, LABELS), (TEST, ANSWERS), pack=plain)
    (tmp_path / IMAGES).write_bytes(b"damaged")  # and not read
    assert torch.equal(td.data.folder(tmp_path).train[0], expected(TRAIN))


def test_files_unpacked_by_a_tool_that_writes_a_dot(tmp_path):
    write_idx(tmp_path, (TRAIN, LABELS), (TEST, ANSWERS), pack=plain, dot=".")
    assert td.data.folder(tmp_path).train[1].tolist() == LABELS


def test_letters_count_from_one(tmp_path):
    write_idx(tmp_path, (TRAIN, [1, 3, 2, 1]), (TEST, [3, 3, 2]), "emnist-letters-")
    data = td.data.folder(tmp_path)
    assert data.train[1].tolist() == LABELS and data.test[1].tolist() == ANSWERS
    assert data.classes == 3


def test_of_several_sets_one_is_named(tmp_path):
    write_idx(tmp_path, (TRAIN, LABELS), (TEST, ANSWERS), "emnist-digits-")
    write_idx(tmp_path, (TRAIN, LABELS[::-1]), (TEST, ANSWERS), "emnist-mnist-")
    assert td.data.folder(tmp_path, prefix="emnist-mnist").train[1].tolist() == LABELS[::-1]
    assert td.data.folder(tmp_path, prefix="emnist-digits-").train[1].tolist() == LABELS
    with pytest.raises(DataError, match=r"several sets .*emnist-digits`, .*emnist-mnist`; pass"):
        td.data.folder(tmp_path)
    with pytest.raises(DataError, match="begin with 'kmnist'; there are .*emnist-digits"):
        td.data.folder(tmp_path, prefix="kmnist")


def test_a_prefix_where_there_are_no_such_files(tmp_path):
    with pytest.raises(DataError, match="no IDX files whose names begin with 'kmnist'.$"):
        td.data.folder(tmp_path, prefix="kmnist")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(idx(TRAIN), mtime=0)[:-20], "is a damaged gzip file .*; copy it anew.$"),
        (gzip.compress(idx(TRAIN), mtime=0)[:6], "is a damaged gzip file"),
        (gzip.compress(idx(TRAIN), mtime=0)[:-8] + bytes(8), "is a damaged gzip file .CRC"),
        (b"\x1f\x8b" + bytes(40), "is a damaged gzip file"),
        (b"", "begins with the bytes of nothing, not with 00 00 08"),
        (b"\x89PNG" + bytes(40), "begins with the bytes 89 50 4e 47, .*no IDX file"),
        (gzip.compress(b"<html>not found", mtime=0), "begins with the bytes 3c 68 74 6d"),
        (idx(TRAIN, kind=0x0D), "holds numbers of the IDX type 0x0d; expected unsigned bytes"),
        (idx(TRAIN)[:9], "ends before it tells the shape of its array; copy it anew"),
        (idx(TRAIN, lengths=(2, 2**15, 2**15)), "tells of an array .*, which no set has"),
        (idx(TRAIN)[:-1], r"tells of 120 bytes, an array of shape \(4, 6, 5\), but holds 119"),
        (idx(TRAIN) + b"\0", r"tells of 120 bytes, .* but holds more; copy"),
        (idx(TRAIN.flatten(1)), r"holds an array of shape \(4, 30\); expected images, \(n, height"),
        (idx(TRAIN[:0]), r"holds an array of shape \(0, 6, 5\)"),
        (idx(TRAIN[:3]), "holds 3 images but .* 4 labels; copy both from one set"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_damaged_files_are_told_in_one_sentence(tmp_path, content, message):
    write_idx(tmp_path, (TRAIN, LABELS), (TEST, ANSWERS))
    (tmp_path / IMAGES).write_bytes(content)
    with pytest.raises(DataError, match=rf"train-images-idx3-ubyte.gz` {message}") as told:
        td.data.folder(tmp_path)
    assert "\n" not in str(told.value)


def test_a_file_that_is_missing(tmp_path):
    write_idx(tmp_path, (TRAIN, LABELS), (TEST, ANSWERS))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="no labels of the test part; copy `t10k-labels-idx1-ubyte"):
        td.data.folder(tmp_path)
