"""A classification data set as tensors."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Dataset:
    """Training and test examples of one classification task.

    Attributes:
        train: inputs of shape (n, ...) in float32 and labels of shape (n,).
        test: the same for examples that no solver sees.
        classes: number of classes.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classes: int
