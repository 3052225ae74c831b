import pickle

import pytest
import torch

import toroids as td
from toroids.errors import DataError

COUNT = 3


def records(labels, seed=0):
    """Records of one or two labels each and of random pixels; and the pixels."""
    labels = torch.tensor(labels).reshape(len(labels), -1).byte()
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (len(labels), 3072), generator=generator).byte()
    return torch.cat([labels, pixels], 1).numpy().tobytes(), pixels.reshape(-1, 3, 32, 32) / 255


def write_ten(folder, count=COUNT):
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = [], []
    for number in range(1, 6):
        own = [(number + k) % 10 for k in range(count)]
        content, pixels = records(own, number)
        (folder / f"data_batch_{number}.bin").write_bytes(content)
        images, labels = [*images, pixels], [*labels, *own]
    content, pixels = records([9, 0])
    (folder / "test_batch.bin").write_bytes(content)
    (folder / "batches.meta.txt").write_text("airplane\n")
    return torch.cat(images), labels, pixels


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_cifar_10(tmp_path, below):
    images, labels, test = write_ten(tmp_path / below)
    data = td.data.folder(tmp_path)
    assert torch.equal(data.train[0], images) and data.train[1].tolist() == labels
    assert torch.equal(data.test[0], test) and data.test[1].tolist() == [9, 0]
    assert data.classes == 10


def test_cifar_100_has_two_kinds_of_labels(tmp_path):
    content, images = records([[3, 99], [19, 0], [0, 57]])
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(content)
    fine, coarse = (td.data.folder(tmp_path, label=label) for label in (None, "coarse_label"))
    assert torch.equal(fine.train[0], images) and torch.equal(coarse.test[0], images)
    assert fine.train[1].tolist() == [99, 0, 57] and fine.classes == 100
    assert coarse.train[1].tolist() == [3, 19, 0] and coarse.classes == 20
    with pytest.raises(DataError, match="no labels 'label'; choose from coarse_label, fine_label"):
        td.data.folder(tmp_path, label="label")


def test_what_is_not_whole_is_told_in_one_sentence(tmp_path):
    write_ten(tmp_path)
    third = tmp_path / "data_batch_3.bin"
    whole = third.read_bytes()
    for content, message in (
        (whole[:-1], r"data_batch_3.bin` has 9,218 bytes, which are no whole number of records"),
        (b"", "data_batch_3.bin` has 0 bytes"),
        (whole[: 2 * 3073], "data_batch_3.bin` holds 2 images but other batches 3; copy it anew"),
        (bytes([10]) + whole[1:], "train labels run from 1 to 10 but there are 10 classes"),
    ):
        third.write_bytes(content)
        with pytest.raises(DataError, match=message):
            td.data.folder(tmp_path)
    third.unlink()
    with pytest.raises(DataError, match=r"lacks `data_batch_3.bin` of CIFAR-10; copy all of data_"):
        td.data.folder(tmp_path)


def test_several_sets(tmp_path):
    write_ten(tmp_path / "a")
    write_ten(tmp_path / "b")
    with pytest.raises(DataError, match=r"several sets of binary batches, in .*a`, .*b`; pass one"):
        td.data.folder(tmp_path)


class Trap:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize(
    ("names", "version"),
    [
        (("data_batch_1", "test_batch", "batches.meta"), "cifar-10-binary.tar.gz"),
        (("train", "test", "meta"), "cifar-100-binary.tar.gz"),
    ],
)
def test_the_version_for_python_is_refused_and_never_unpickled(tmp_path, names, version):
    for name in names:
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match=f"a pickle, .*get the binary version, {version}, from"):
        td.data.folder(tmp_path)


def test_the_binary_version_is_read_where_both_are(tmp_path):
    images, _, _ = write_ten(tmp_path / "bin")
    (tmp_path / "py").mkdir()
    for name in ("data_batch_1", "batches.meta"):
        (tmp_path / "py" / name).write_bytes(pickle.dumps(Trap()))
    assert torch.equal(td.data.folder(tmp_path).train[0], images)
