"""CIFAR-10 and CIFAR-100 in the binary batches of their authors.

A record is one byte of label (CIFAR-10) or two, of a coarse and a fine one (CIFAR-100), and 3072
bytes of pixels: red, green, blue, each 32 rows of 32. Source: cs.toronto.edu/~kriz/cifar.html.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from toroids.data.dataset import Dataset
from toroids.errors import DataError
from toroids.files.reading import read_file, told

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
MOST = 2**30  # bytes of a file; the largest has 1.5e8


@dataclass(frozen=True)
class Batches:
    """How one of the two sets is laid out.

    Attributes:
        name: as its authors call it.
        train: names of the files of training images.
        test: name of the file of test images.
        labels: what each byte before the pixels is called, and how many classes it has.
        pickled: files of the version for Python, by which one knows it.
    """

    name: str
    train: tuple[str, ...]
    test: str
    labels: dict[str, int]
    pickled: tuple[str, ...]


CIFAR = (
    Batches(
        "CIFAR-10",
        tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test_batch.bin",
        {"label": 10},
        ("data_batch_1", "test_batch"),
    ),
    Batches(
        "CIFAR-100",
        ("train.bin",),
        "test.bin",
        {"coarse_label": 20, "fine_label": 100},
        ("train", "test"),
    ),
)


def cifar_files(files: Iterable[Path]) -> tuple[Batches, dict[str, Path]] | None:
    """Finds the binary batches of CIFAR among files.

    Args:
        files: any files.

    Returns:
        Which set it is, and its files by name; None where there are none.

    Raises:
        DataError: there are several sets, or only the version for Python.
    """
    found: list[tuple[Batches, dict[str, Path]]] = []
    everything = sorted(files)
    for kind in CIFAR:
        for place in sorted({f.parent for f in everything if f.name in (*kind.train, kind.test)}):
            own = {f.name: f for f in everything if f.parent == place}
            found.append((kind, {n: own[n] for n in (*kind.train, kind.test) if n in own}))
    if len(found) > 1:
        places = ", ".join(f"`{next(iter(own.values())).parent}`" for _, own in found)
        raise DataError(
            f"there are several sets of binary batches, in {places}; pass one of these."
        )
    if not found:
        _refuse_pickles(everything)
    return found[0] if found else None


def _refuse_pickles(files: Sequence[Path]) -> None:
    """Raises where there is the version for Python."""
    for kind in CIFAR:
        for file in files:
            if _is_pickled(file, kind):
                raise DataError(
                    f"`{file}` is of the version of {kind.name} for Python, a pickle, which can "
                    f"run anything when it is read; get the binary version, {kind.name.lower()}"
                    "-binary.tar.gz, from https://www.cs.toronto.edu/~kriz/cifar.html."
                )


def _is_pickled(file: Path, kind: Batches) -> bool:
    beside = [file.with_name(name) for name in ("batches.meta", "meta")]
    return file.name in kind.pickled and any(other.is_file() for other in beside)


def read_cifar(kind: Batches, files: dict[str, Path], label: str | None) -> Dataset:
    """Reads binary batches.

    Args:
        kind: which set they are of.
        files: its files by name.
        label: of CIFAR-100 "fine_label", the default, or "coarse_label".

    Returns:
        Images of shape (n, 3, 32, 32) in [0, 1], and their labels.

    Raises:
        DataError: a file is missing or damaged, or there is no such label.
    """
    names = [*kind.labels]
    label = label or names[-1]
    if label not in names:
        raise DataError(f"{kind.name} has no labels {label!r}; choose from {', '.join(names)}.")
    missing = [name for name in (*kind.train, kind.test) if name not in files]
    if missing:
        place = next(iter(files.values())).parent
        raise DataError(
            f"`{place}` lacks `{missing[0]}` of {kind.name}; copy all of "
            f"{', '.join((*kind.train, kind.test))}."
        )
    column = names.index(label)
    batches = {name: _read(files[name], len(names)) for name in (*kind.train, kind.test)}
    _check_counts(kind, files, batches)
    train, test = (
        _tensors([batches[name] for name in part], len(names), column)
        for part in (kind.train, (kind.test,))
    )
    return Dataset(train=train, test=test, classes=kind.labels[label])


def _read(file: Path, before: int) -> Tensor:
    size = before + PIXELS
    with told(file, "binary batch", "copy it anew", DataError):
        content = read_file(file, MOST)
    if not content or len(content) % size:
        raise DataError(
            f"`{file}` has {len(content):,} bytes, which are no whole number of records of {size}; "
            "copy it anew."
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(-1, size)


def _check_counts(kind: Batches, files: dict[str, Path], batches: dict[str, Tensor]) -> None:
    """Training batches are equally long: one that is cut off between two records is not whole."""
    counts = {name: len(batches[name]) for name in kind.train}
    short = min(counts, key=lambda name: counts[name])
    if counts[short] < max(counts.values()):
        raise DataError(
            f"`{files[short]}` holds {counts[short]} images but other batches "
            f"{max(counts.values())}; copy it anew."
        )


def _tensors(batches: Sequence[Tensor], before: int, column: int) -> tuple[Tensor, Tensor]:
    records = torch.cat(list(batches))
    images = records[:, before:].reshape(-1, *SHAPE).float().div_(255)
    return images, records[:, column].long()
