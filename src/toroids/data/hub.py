"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 from the Hugging Face hub."""

from pathlib import Path
from typing import Any

from torch import Tensor

from toroids.arguments.checked import checked_data
from toroids.data.dataset import Dataset
from toroids.data.images import decode_images
from toroids.data.parquet import IMAGE_COLUMNS, LABEL_COLUMNS, column, encoded, integers
from toroids.errors import DataError
from toroids.extras import load_extra

SETS = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
}


@checked_data
def hub(name: str, label: str | None = None, cache: str | Path | None = None) -> Dataset:
    """Loads a well-known data set of images by its name on the Hugging Face hub.

    Downloads it the first time, and reads it from the cache of `datasets` from then on.

    Args:
        name: "mnist", "fashion_mnist", "cifar10" or "cifar100", with or without the owner before
            it, as in "ylecun/mnist".
        label: column of the labels; CIFAR-100 has "fine_label" (the default) and "coarse_label".
        cache: folder of the downloads; that of `datasets` if not given.

    Returns:
        Inputs of shape (n, channels, height, width) in [0, 1]: 1 x 28 x 28 or 3 x 32 x 32.

    Raises:
        DataError: the name is unknown, the set cannot be reached, or a package of the extra `hub`
            is not installed.

    Example:
        >>> import toroids as td
        >>> data = td.data.hub("cifar10")  # doctest: +SKIP
    """
    source = SETS.get(name.rpartition("/")[2])
    if source is None or ("/" in name and name != source):
        raise DataError(
            f"there is no set {name!r} here; choose from {', '.join(SETS)}, or copy another one "
            "and use td.data.folder."
        )
    datasets = load_extra("datasets", "hub")
    try:
        found = datasets.load_dataset(source, cache_dir=cache and str(cache))
    # Whatever goes wrong on the way (network, disk, server), the remedy is the same.
    except Exception as error:
        cached = cache or datasets.config.HF_DATASETS_CACHE
        raise DataError(
            f"`{source}` is neither in the cache `{cached}` nor can it be had from "
            f"{datasets.config.HF_ENDPOINT} ({type(error).__name__}: {error}); where there is a "
            f"network, run `hf download {source} --repo-type dataset --local-dir DIR`, copy DIR "
            "to this machine and use td.data.folder(DIR)."
        ) from error
    missing = [part for part in ("train", "test") if part not in found]
    if missing:
        raise DataError(f"`{source}` has {sorted(found)}, but no {missing[0]}; expected both.")
    train, test = (_tensors(datasets, found[part], source, label) for part in ("train", "test"))
    labels = column(found["train"].column_names, (label,) if label else LABEL_COLUMNS, "label")
    return Dataset(train=train, test=test, classes=found["train"].features[labels].num_classes)


def _tensors(datasets: Any, rows: Any, source: str, label: str | None) -> tuple[Tensor, Tensor]:
    images = column(rows.column_names, IMAGE_COLUMNS, "image")
    labels = column(rows.column_names, (label,) if label else LABEL_COLUMNS, "label")
    # as the bytes of the files, so that both ways of reading decode alike
    cells = rows.select_columns([images]).cast_column(images, datasets.Image(decode=False))
    pixels = decode_images(encoded(cells[:][images], f"`{source}`"))
    return pixels, integers(rows.select_columns([labels])[:][labels], labels)
