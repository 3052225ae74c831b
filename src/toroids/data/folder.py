"""Images from a local folder, in whichever of the usual formats they are kept there."""

import os
from pathlib import Path

import torch
from torch import Tensor

from toroids.arguments.checked import checked_data
from toroids.data.cifar import cifar_files, read_cifar
from toroids.data.dataset import Dataset
from toroids.data.idx import idx_sets, read_idx
from toroids.data.images import MOST_BYTES, decode_images
from toroids.data.parquet import EXPECTED, SPLITS, read_parquet
from toroids.errors import DataError
from toroids.files.reading import read_file, told

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm"}


@checked_data
def folder(
    path: str | Path,
    image: str | None = None,
    label: str | None = None,
    prefix: str | None = None,
) -> Dataset:
    """Reads a data set of images that has been copied to this machine.

    The first of these that is in `path`, or in a folder below it:

    - parquet files of a data set on the Hugging Face hub (train-00000-of-00001.parquet and the
      like, or train/*.parquet), with a column of encoded images and one of labels;
    - files in the IDX format of MNIST, Fashion-MNIST, EMNIST and KMNIST, packed with gzip or not:
      train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and
      t10k-labels-idx1-ubyte.gz. Images of EMNIST are stored with rows and columns exchanged, and
      stay so;
    - the binary batches of CIFAR-10 (data_batch_1.bin to data_batch_5.bin, test_batch.bin) and
      CIFAR-100 (train.bin, test.bin);
    - image files in one folder per class, train/CLASS/*.png in `path` itself, where the classes are
      numbered in the order of their names.

    "validation" or "val" serve as test where there is no "test". Nothing is unpickled.

    Args:
        path: the folder.
        image: column of the images in parquet files; "image" or "img" if not given.
        label: column of the labels in parquet files, "label", "labels" or "fine_label" if not
            given; of CIFAR-100 "fine_label" or "coarse_label".
        prefix: of files in the IDX format, where there are several sets: with what the names of one
            begin, as "emnist-letters".

    Returns:
        Inputs of shape (n, channels, height, width) in [0, 1], one channel if all images are grey.

    Raises:
        DataError: the folder is missing or holds something else, files are missing or damaged,
            images differ in size, or a package of the extra `hub` is not installed.

    Example:
        >>> import toroids as td
        >>> data = td.data.folder("copied/mnist")  # doctest: +SKIP
    """
    path = Path(path)
    if not os.path.isdir(path):
        raise DataError(f"there is no folder `{path}`; {EXPECTED}.")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    parquet = [file for file in files if file.suffix == ".parquet"]
    if parquet:
        return read_parquet(path, parquet, image, label)
    sets = idx_sets(files)
    if sets or prefix is not None:
        return read_idx(path, sets, prefix)
    batches = cifar_files(files)
    return read_cifar(*batches, label) if batches else _from_images(path)


def _from_images(path: Path) -> Dataset:
    split: dict[str, tuple[Tensor, Tensor]] = {}
    classes: list[str] = []
    below = {entry.name.lower(): entry for entry in _folders(path)}
    for part, names in SPLITS.items():
        place = next((below[name] for name in names if name in below), None)
        if place is None:
            raise DataError(f"`{path}` has no folder for {part}; {EXPECTED}.")
        own = [entry.name for entry in _folders(place)]
        classes = classes or own  # training comes first
        strange = [name for name in own if name not in classes]
        if strange:
            raise DataError(
                f"`{place}` has a class `{strange[0]}` that is not among those of training: "
                f"{', '.join(classes)}."
            )
        files = [(file, classes.index(name)) for name in own for file in _images(place / name)]
        if not files:
            raise DataError(f"`{place}` has no images in folders of classes; {EXPECTED}.")
        pixels = decode_images((f"`{file}`", _content(file)) for file, _ in files)
        split[part] = (pixels, torch.tensor([index for _, index in files]))
    return Dataset(train=split["train"], test=split["test"], classes=len(classes))


def _folders(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_dir() and file.name[0] != ".")


def _content(file: Path) -> bytes:
    advice = "remove it, or put an image there"
    with told(file, "image", advice, DataError):
        return read_file(file, MOST_BYTES)


def _images(path: Path) -> list[Path]:
    return sorted(
        file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.name[0] != "."
    )
