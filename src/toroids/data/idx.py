"""Images and labels in the IDX format of MNIST, Fashion-MNIST, EMNIST and KMNIST.

Two zero bytes, the type of an entry (8: unsigned bytes), the number of axes, their lengths as
big-endian integers of four bytes, then all entries. Source: yann.lecun.com/exdb/mnist.
"""

import gzip
import math
import os
import re
import zlib
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toroids.data.dataset import Dataset
from toroids.errors import DataError
from toroids.files.reading import open_file, told

# train-images-idx3-ubyte.gz, with what EMNIST puts before it, or a dot as some unpack it.
NAME = re.compile(r"(.*?)(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(\.gz)?", re.I)
ZIPPED = b"\x1f\x8b"
BYTES = 8  # the type of unsigned bytes
MOST = 2**30  # bytes; the largest set, EMNIST by class, has 5e8
Key = tuple[str, str]  # the part and what is in the file: ("train", "images")
Files = dict[Key, Path]
Sets = dict[tuple[str, str], Files]  # by folder, and what names begin with
ADVICE = "copy it anew"


def idx_sets(files: Iterable[Path]) -> Sets:
    """Sorts files in the IDX format by the set to which they belong.

    Args:
        files: any files.

    Returns:
        By folder and what names begin with the files of every set; one that is there both packed
        and not is taken unpacked.
    """
    found: Sets = {}
    for file in sorted(files, reverse=True):  # what ends on .gz comes first, and is replaced
        match = NAME.fullmatch(file.name)
        if match and file.name[0] != ".":
            part = "train" if match[2].lower() == "train" else "test"
            name = str(file.parent), match[1].rstrip("-_.")
            found.setdefault(name, {})[part, match[3].lower()] = file
    return found


def read_idx(path: Path, sets: Sets, prefix: str | None) -> Dataset:
    """Reads the one set that there is, or the one whose files begin as asked for.

    Args:
        path: the folder that was given, for messages.
        sets: as `idx_sets` gives them.
        prefix: with which the names of its files begin, where there are several sets.

    Returns:
        Images of shape (n, 1, height, width) in [0, 1], and their labels; those of a set that
        counts its classes from one are counted from zero.

    Raises:
        DataError: there are several sets, none of that name, a file is missing or damaged, or
            there are not as many labels as images.
    """
    files = _chosen(path, sets, prefix)
    split: dict[str, tuple[Tensor, Tensor]] = {}
    for part in ("train", "test"):
        images, labels = (read_array(_file(files, part, what)) for what in ("images", "labels"))
        _check(files, part, images, labels)
        split[part] = images.float().div_(255).unsqueeze(1), labels.long()
    first = min(int(labels.min()) for _, labels in split.values())
    if first == 1:  # the letters of EMNIST
        split = {part: (images, labels - 1) for part, (images, labels) in split.items()}
    classes = 1 + max(int(labels.max()) for _, labels in split.values())
    return Dataset(train=split["train"], test=split["test"], classes=classes)


def _chosen(path: Path, sets: Sets, prefix: str | None) -> Files:
    kept = [own for own in sets if prefix is None or own[1] == prefix.rstrip("-_.")]
    names = ", ".join(f"`{os.path.join(*own)}`" for own in sorted(sets))
    if not kept:
        there = f"; there are {names}" if sets else ""
        raise DataError(f"`{path}` has no IDX files whose names begin with {prefix!r}{there}.")
    if len(kept) > 1:
        raise DataError(
            f"`{path}` has several sets in the IDX format, {names}; pass the folder of one, or "
            "with prefix=... what the names of its files begin with."
        )
    return sets[kept[0]]


def _file(files: Files, part: str, what: str) -> Path:
    if (part, what) not in files:
        there = ", ".join(f"`{file.name}`" for file in sorted(files.values()))
        place = next(iter(files.values())).parent
        name = (
            f"{'t10k' if part == 'test' else part}-{what}-idx{3 if what == 'images' else 1}-ubyte"
        )
        raise DataError(
            f"`{place}` has {there}, but no {what} of the {part} part; copy `{name}.gz` too."
        )
    return files[part, what]


def _check(files: Files, part: str, images: Tensor, labels: Tensor) -> None:
    for what, array, rank in (("images", images, 3), ("labels", labels, 1)):
        if array.ndim != rank or not array.numel():
            raise DataError(
                f"`{files[part, what]}` holds an array of shape {tuple(array.shape)}; expected "
                f"{what}, {'(n, height, width)' if rank == 3 else '(n,)'}."
            )
    if len(images) != len(labels):
        raise DataError(
            f"`{files[part, 'images']}` holds {len(images)} images but "
            f"`{files[part, 'labels']}` {len(labels)} labels; copy both from one set."
        )


def read_array(file: Path) -> Tensor:
    """Reads a file in the IDX format, packed with gzip or not.

    Args:
        file: of unsigned bytes.

    Returns:
        The array, uint8.

    Raises:
        DataError: the file is missing, damaged, of another format, or of other numbers.
    """
    with told(file, "IDX file", ADVICE, DataError), open_file(file) as stream:
        packed = stream.peek(2)[:2] == ZIPPED
        try:
            return _array(file, gzip.open(stream) if packed else stream)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"`{file}` is a damaged gzip file ({error}); {ADVICE}.") from error


def _array(file: Path, stream: BufferedReader | gzip.GzipFile) -> Tensor:
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or not 1 <= start[3] <= 4:
        raise DataError(
            f"`{file}` begins with the bytes {start.hex(' ') or 'of nothing'}, not with "
            f"00 00 08 and a number of axes, so that it is no IDX file; {ADVICE}."
        )
    if start[2] != BYTES:
        raise DataError(
            f"`{file}` holds numbers of the IDX type 0x{start[2]:02x}; expected unsigned bytes, "
            "0x08."
        )
    header = stream.read(4 * start[3])
    if len(header) < 4 * start[3]:
        raise DataError(f"`{file}` ends before it tells the shape of its array; {ADVICE}.")
    lengths = np.frombuffer(header, dtype=">u4").tolist()
    expected = math.prod(lengths)
    if expected > MOST:
        raise DataError(
            f"`{file}` tells of an array of shape {tuple(lengths)}, which no set has; {ADVICE}."
        )
    content = stream.read(expected + 1)  # to the end, where gzip keeps its checksum
    if len(content) != expected:
        many = "more" if len(content) > expected else f"{len(content):,}"
        raise DataError(
            f"`{file}` tells of {expected:,} bytes, an array of shape {tuple(lengths)}, but "
            f"holds {many}; {ADVICE}."
        )
    return torch.from_numpy(np.frombuffer(bytearray(content), np.uint8)).reshape(lengths)
