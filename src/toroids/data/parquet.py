"""Images in parquet files, as the Hugging Face hub keeps them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toroids.data.dataset import Dataset
from toroids.data.images import decode_images
from toroids.errors import DataError
from toroids.extras import load_extra

# What the parts of a data set are called; the first that is there is taken.
SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "validation", "valid", "val"),
}
IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
EXPECTED = (
    "expected parquet files train-*.parquet and test-*.parquet, as the hub keeps them, images in "
    "train/CLASS/*.png and test/CLASS/*.png, IDX files as train-images-idx3-ubyte.gz, or the "
    "binary batches of CIFAR"
)


def read_parquet(path: Path, files: list[Path], image: str | None, label: str | None) -> Dataset:
    """Reads the parquet files of one data set.

    Args:
        path: the folder that was given, for messages.
        files: all parquet files below it.
        image: column of the images, if not one of IMAGE_COLUMNS.
        label: column of the labels, if not one of LABEL_COLUMNS.

    Returns:
        Images and labels, with as many classes as the files note, or as there are labels.

    Raises:
        DataError: a file is missing or cannot be read, or a column is missing.
    """
    split: dict[str, tuple[Tensor, Tensor]] = {}
    counts = []
    for part in SPLITS:
        shards = _shards(path, files, part)
        tables = [_read(shard) for shard in shards]
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


def integers(values: list[Any], name: str) -> Tensor:
    """Turns a column of labels into a tensor, or raises DataError."""
    wrong = [value for value in values if not isinstance(value, int)]
    if wrong:
        raise DataError(f"the label column `{name}` holds {wrong[0]!r}; expected integers.")
    return torch.tensor(values, dtype=torch.long)


def _read(file: Path) -> Any:
    parquet = load_extra("pyarrow.parquet", "hub")
    try:
        return parquet.read_table(file)
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise DataError(f"`{file}` is not a parquet file that can be read: {error}.") from error


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
    raise DataError(f"`{path}` has parquet files but none for {part}; {EXPECTED}.")


def _class_count(metadata: dict[bytes, bytes] | None, name: str) -> int | None:
    """The number of classes that `datasets` notes in the file, if it does."""
    try:
        noted = json.loads((metadata or {})[b"huggingface"])
        return len(noted["info"]["features"][name]["names"])
    except (KeyError, TypeError, ValueError):
        return None
