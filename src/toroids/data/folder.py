"""Images from a local folder, in the parquet files of the Hugging Face hub or as image files."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toroids.data.dataset import Dataset
from toroids.data.extras import load_extra
from toroids.data.images import decode_images
from toroids.errors import DataError

# What the parts of a data set are called; the first that is there is taken.
SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "validation", "valid", "val"),
}
IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm"}
_EXPECTED = (
    "expected parquet files train-*.parquet and test-*.parquet, as the hub keeps them, "
    "or images in train/CLASS/*.png and test/CLASS/*.png"
)


def folder(path: str | Path, image: str | None = None, label: str | None = None) -> Dataset:
    """Reads a data set of images that has been copied to this machine.

    Either the parquet files of a data set on the Hugging Face hub, in `path` or in a folder below
    it (train-00000-of-00001.parquet and the like, or train/*.parquet), with a column of encoded
    images and one of labels; or image files in one folder per class, train/CLASS/*.png, where the
    classes are numbered in the order of their names. "validation" or "val" serve as test where
    there is no "test".

    Args:
        path: the folder.
        image: column of the images in parquet files; "image" or "img" if not given.
        label: column of the labels in parquet files; "label", "labels" or "fine_label" if not
            given.

    Returns:
        Inputs of shape (n, channels, height, width) in [0, 1], one channel if all images are grey.

    Raises:
        DataError: the folder is missing or holds something else, images differ in size, or a
            package of the extra `hub` is not installed.

    Example:
        >>> import toroids as td
        >>> data = td.data.folder("copied/mnist")  # doctest: +SKIP
    """
    path = Path(path)
    if not path.is_dir():
        raise DataError(f"there is no folder `{path}`; {_EXPECTED}.")
    files = sorted(file for file in path.rglob("*.parquet") if file.is_file())
    return _from_parquet(path, files, image, label) if files else _from_images(path)


def column(names: list[str], choices: tuple[str, ...], what: str) -> str:
    """Picks the first of `choices` that is among `names`, or raises DataError."""
    for name in choices:
        if name in names:
            return name
    raise DataError(
        f"no column of {what}s among {names}; expected {' or '.join(choices)}, "
        f"name yours with {what}=..."
    )


def encoded(cells: list[Any], name: str) -> Iterator[tuple[str, bytes]]:
    """Yields each image of a column and what to call it, from the hub's {bytes, path}."""
    for row, cell in enumerate(cells):
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(content, bytes):
            raise DataError(f"row {row} of {name} holds no image; expected its encoded bytes.")
        yield f"row {row} of {name}", content


def _from_parquet(path: Path, files: list[Path], image: str | None, label: str | None) -> Dataset:
    parquet = load_extra("pyarrow.parquet", "hub")
    split: dict[str, tuple[Tensor, Tensor]] = {}
    counts = []
    for part in SPLITS:
        shards = _shards(path, files, part)
        tables = [parquet.read_table(shard) for shard in shards]
        names = tables[0].column_names
        images = column(names, (image,) if image else IMAGE_COLUMNS, "image")
        labels = column(names, (label,) if label else LABEL_COLUMNS, "label")
        pixels = decode_images(
            cell
            for shard, table in zip(shards, tables, strict=True)
            for cell in encoded(table[images].to_pylist(), f"`{shard}`")
        )
        targets = [value for table in tables for value in table[labels].to_pylist()]
        split[part] = (pixels, integers(targets, labels))
        counts.append(_class_count(tables[0].schema.metadata, labels))
    known = [count for count in counts if count] or [
        1 + max(int(labels.max()) for _, labels in split.values())
    ]
    return Dataset(train=split["train"], test=split["test"], classes=max(known))


def integers(values: list[Any], name: str) -> Tensor:
    """Turns a column of labels into a tensor, or raises DataError."""
    wrong = [value for value in values if not isinstance(value, int)]
    if wrong:
        raise DataError(f"the label column `{name}` holds {wrong[0]!r}; expected integers.")
    return torch.tensor(values, dtype=torch.long)


def _shards(path: Path, files: list[Path], part: str) -> list[Path]:
    """The files of one part, all of them and in order."""
    for name in SPLITS[part]:
        # `train-00000-of-00002.parquet`, or any name in a folder `train`
        shards = [
            file
            for file in files
            if re.split(r"[-_.]", file.name.lower())[0] == name or file.parent.name.lower() == name
        ]
        if not shards:
            continue
        folders = sorted({str(file.parent) for file in shards})
        if len(folders) > 1:
            raise DataError(
                f"`{path}` holds several data sets, in {', '.join(folders)}; pass one of these."
            )
        total = re.search(r"-of-(\d+)\.parquet$", shards[0].name)
        if total and int(total[1]) != len(shards):
            raise DataError(
                f"`{shards[0].parent}` holds {len(shards)} of the {int(total[1])} parquet files "
                f"of {name}; copy all."
            )
        return shards
    raise DataError(f"`{path}` has parquet files but none for {part}; {_EXPECTED}.")


def _class_count(metadata: dict[bytes, bytes] | None, name: str) -> int | None:
    """The number of classes that `datasets` notes in the file, if it does."""
    try:
        noted = json.loads((metadata or {})[b"huggingface"])
        return len(noted["info"]["features"][name]["names"])
    except (KeyError, TypeError, ValueError):
        return None


def _from_images(path: Path) -> Dataset:
    split = {}
    classes: list[str] = []
    for part, names in SPLITS.items():
        below = {file.name.lower(): file for file in path.iterdir() if file.is_dir()}
        found = [below[name] for name in names if name in below]
        if not found:
            raise DataError(f"`{path}` has no folder for {part}; {_EXPECTED}.")
        own = sorted(
            file.name
            for file in found[0].iterdir()
            if file.is_dir() and not file.name.startswith(".")
        )
        classes = classes or own
        strange = [name for name in own if name not in classes]
        if strange:
            raise DataError(
                f"`{found[0]}` has a class `{strange[0]}` that is not among those of training: "
                f"{', '.join(classes)}."
            )
        files = [
            (file, classes.index(name))
            for name in own
            for file in sorted((found[0] / name).iterdir())
            if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
        ]
        if not files:
            raise DataError(f"`{found[0]}` has no images in folders of classes; {_EXPECTED}.")
        pixels = decode_images((f"`{file}`", file.read_bytes()) for file, _ in files)
        split[part] = (pixels, torch.tensor([index for _, index in files]))
    return Dataset(train=split["train"], test=split["test"], classes=len(classes))
