"""Scikit-learn's embedded handwritten digits: 1797 images of 8 x 8 pixels, ten classes."""

from numbers import Integral

import torch

from toroids.arguments.checked import checked_data
from toroids.data.dataset import Dataset
from toroids.errors import DataError
from toroids.extras import load_extra


@checked_data
def digits(train: int = 600, seed: int = 0) -> Dataset:
    """Splits the digits at random into `train` training images and the rest for test.

    Args:
        train: number of training images, 1 to 1796.
        seed: of the split.

    Returns:
        Inputs of shape (n, 64) with grey values in [0, 1].

    Raises:
        DataError: `train` is out of range, or scikit-learn, of the extra `study`, is not installed.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=600)
        >>> data.train[0].shape, data.test[0].shape
        (torch.Size([600, 64]), torch.Size([1197, 64]))

    Reference:
        E. Alpaydin, C. Kaynak, Optical recognition of handwritten digits, UCI, 1998.
    """
    # its import takes longer than that of toroids
    images, labels = load_extra("sklearn.datasets", "study").load_digits(return_X_y=True)
    if not isinstance(train, Integral) or not 1 <= train < len(labels):
        raise DataError(
            f"the digits have {len(labels)} images but train is {train}; "
            f"pass 1 to {len(labels) - 1}, the rest is for test."
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    inputs = torch.from_numpy(images).float()[order] / 16  # grey values are 0 to 16
    targets = torch.from_numpy(labels).long()[order]
    return Dataset(
        train=(inputs[:train], targets[:train]),
        test=(inputs[train:], targets[train:]),
        classes=10,
    )
