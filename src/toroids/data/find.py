"""Well-known sets of images, wherever this machine has them."""

import os
from dataclasses import dataclass
from pathlib import Path

from toroids.arguments.checked import checked_data
from toroids.data.dataset import Dataset
from toroids.data.folder import folder
from toroids.data.hub import hub
from toroids.errors import DataError


@dataclass(frozen=True)
class Known:
    """A set of images that people have on their disks.

    Attributes:
        on_hub: what `hub` calls it.
        places: folders in which it is kept, by packages of the system or other libraries, from the
            current folder on.
        get: how to get it without the hub.
        shape: of an input.
        counts: numbers of training and test images.
        classes: number of classes.
    """

    on_hub: str
    places: tuple[str, ...]
    get: str
    shape: tuple[int, int, int]
    counts: tuple[int, int]
    classes: int


_CIFAR = "from https://www.cs.toronto.edu/~kriz/cifar.html and unpack it there"
KNOWN = {
    "mnist": Known(
        "mnist", ("/usr/share/datasets/mnist", "data/MNIST/raw"), "copy its four IDX files there",
        (1, 28, 28), (60_000, 10_000), 10,
    ),
    "fashion-mnist": Known(
        "fashion_mnist", ("/usr/share/datasets/fashion-mnist", "data/FashionMNIST/raw"),
        "run `apt-get install dataset-fashion-mnist`, or copy its four IDX files there",
        (1, 28, 28), (60_000, 10_000), 10,
    ),
    "cifar-10": Known(
        "cifar10", ("data/cifar-10-batches-bin",), f"get cifar-10-binary.tar.gz {_CIFAR}",
        (3, 32, 32), (50_000, 10_000), 10,
    ),
    "cifar-100": Known(
        "cifar100", ("data/cifar-100-binary",), f"get cifar-100-binary.tar.gz {_CIFAR}",
        (3, 32, 32), (50_000, 10_000), 100,
    ),
}  # fmt: skip


@checked_data
def find(name: str) -> Dataset:
    """Loads a well-known set of images from where it usually is, or else from the hub.

    Looked at are, in this order, the folder of that name in the cache of toroids
    (`$TOROIDS_DATA`, or `~/.cache/toroids`), the folder in which packages of Debian keep it
    (`dataset-fashion-mnist` in `/usr/share/datasets/fashion-mnist`), that of other libraries below
    `data` in the current folder, and the Hugging Face hub. Files as in `folder`.

    Args:
        name: "mnist", "fashion-mnist", "cifar-10" or "cifar-100".

    Returns:
        Inputs of shape (n, channels, height, width) in [0, 1].

    Raises:
        DataError: the name is unknown, the set is nowhere, or it is damaged or not whole.

    Example:
        >>> import toroids as td
        >>> data = td.data.find("fashion-mnist")  # doctest: +SKIP
    """
    known = _known(name)
    looked = places_of(name)
    for place in looked:
        if os.path.isdir(place):  # False also where nobody may look
            return _whole(name, known, place, folder(place))
    try:
        return hub(known.on_hub)
    except DataError as error:
        raise DataError(f"{nowhere(name)}; the hub: {error}") from error


def places_of(name: str) -> list[Path]:
    """The folders in which a known set may be, in the order in which they are looked at."""
    cache = os.environ.get("TOROIDS_DATA") or os.path.expanduser("~/.cache/toroids")
    return [Path(cache) / name, *map(Path, _known(name).places)]


def nowhere(name: str) -> str:
    """Says where a known set was looked for in vain, and how to get it."""
    known, looked = _known(name), places_of(name)
    return (
        f"there is no `{name}` in {', '.join(f'`{place}`' for place in looked[1:])} or "
        f"`{looked[0]}`; {known.get}, or where there is a network install the extra, pip install "
        "'toroids[hub]'"
    )


def _known(name: str) -> Known:
    if name not in KNOWN:
        raise DataError(
            f"there is no known set {name!r}; choose from {', '.join(KNOWN)}, or name a folder "
            "with td.data.folder."
        )
    return KNOWN[name]


def _whole(name: str, known: Known, place: Path, data: Dataset) -> Dataset:
    """The data, if there are as many as the set has."""
    counts = len(data.train[1]), len(data.test[1])
    shape = tuple(data.train[0].shape[1:])
    if (counts, shape, data.classes) != (known.counts, known.shape, known.classes):
        raise DataError(
            f"`{place}` has {counts[0]} + {counts[1]} images of shape {shape} in {data.classes} "
            f"classes, but `{name}` has {known.counts[0]} + {known.counts[1]} of {known.shape} in "
            f"{known.classes}; copy it anew, or name the folder with td.data.folder."
        )
    return data
