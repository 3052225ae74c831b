"""A classification data set as tensors."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from toroids.arguments.checked import checked_methods
from toroids.arguments.shown import shown
from toroids.errors import DataError
from toroids.params import unusable


@checked_methods
@dataclass(frozen=True)
class Dataset:
    """Training and test examples of one classification task.

    Attributes:
        train: inputs of shape (n, ...) in float32 and labels of shape (n,) in 0 to classes - 1; of
            sequences, tokens of shape (n, length) and one label for every token, (n, length).
        test: the same for examples that no solver sees.
        classes: number of classes.

    Example:
        >>> import torch, toroids as td
        >>> train = (torch.rand(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]))
        >>> data = td.data.Dataset(train, test=(torch.rand(3, 4), torch.arange(3)), classes=3)
        >>> data.subset(4).train[0].shape
        torch.Size([4, 4])
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classes: int

    def __post_init__(self) -> None:
        """Checks that labels fit the inputs and the classes."""
        for name, pair in (("train", self.train), ("test", self.test)):
            two = isinstance(pair, tuple | list) and len(pair) == 2
            if not two or not all(isinstance(part, Tensor) for part in pair):
                kinds = [type(part).__name__ for part in pair] if two else type(pair).__name__
                raise DataError(
                    f"{name} is {kinds}; pass a pair of tensors (inputs, labels), as "
                    "torch.as_tensor makes of arrays."
                )
        check_count("classes", self.classes, 1, 2**63)
        if self.train[0].shape[1:] != self.test[0].shape[1:]:
            raise DataError(
                f"a training input has shape {tuple(self.train[0].shape[1:])} but a test input "
                f"{tuple(self.test[0].shape[1:])}; bring them to one."
            )
        for name, (inputs, labels) in (("train", self.train), ("test", self.test)):
            shaped = labels.ndim == 1 or (labels.ndim == 2 and labels.shape == inputs.shape)
            if not shaped or labels.is_floating_point() or labels.is_complex():
                raise DataError(
                    f"the {name} labels are {tuple(labels.shape)} of {labels.dtype}; "
                    "pass one integer for every example, or for every token of a sequence."
                )
            if inputs.ndim == 0 or len(inputs) != len(labels):
                raise DataError(
                    f"{name} has inputs of shape {tuple(inputs.shape)} but {len(labels)} labels; "
                    "pass one label for every input."
                )
            # a meta tensor has no values to look at
            if labels.numel() and not labels.is_meta:
                low, high = int(labels.min()), int(labels.max())
                if low < 0 or high >= self.classes:
                    raise DataError(
                        f"the {name} labels run from {low} to {high} but there are {self.classes} "
                        f"classes; expected 0 to {self.classes - 1}."
                    )

    def subset(self, count: int, seed: int = 0) -> Self:
        """Keeps `count` training examples drawn at random, and all of the test examples.

        With the same seed a smaller subset is part of a larger one.

        Args:
            count: how many, 1 to all.
            seed: of the draw.

        Returns:
            The smaller data set.

        Raises:
            DataError: `count` is out of range.
        """
        inputs, labels = self.train
        check_count("count", count, 1, len(labels))
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        kept = order[:count].to(labels.device)
        return replace(self, train=(inputs[kept], labels[kept]))

    def label_noise(self, fraction: float, seed: int = 0) -> Self:
        """Gives a fraction of the training examples another, wrong label drawn at random.

        The number of wrong labels is exactly `fraction` of the examples (of sequences, of the
        tokens), rounded; all wrong classes are equally likely. The test labels stay. With the same
        seed the examples that a smaller fraction spoils are among those that a larger one does.

        Args:
            fraction: of the training labels, 0 to 1.
            seed: of the draw.

        Returns:
            The data set with noisy training labels.

        Raises:
            DataError: `fraction` is out of range, or there is one class only.

        Reference:
            C. Zhang et al., Understanding deep learning requires rethinking generalization, 2017,
            arXiv 1611.03530; there some of the labels drawn anew are right by chance.
        """
        check_range("fraction", fraction, 0, 1)
        if self.classes < 2:
            raise DataError("the data has one class; a wrong label needs at least 2.")
        inputs, labels = self.train
        generator = torch.Generator().manual_seed(seed)
        flat = labels.flatten()
        order = torch.randperm(len(flat), generator=generator)
        wrong = order[: round(fraction * len(flat))].to(labels.device)
        # one step for every label, used or not, so that it does not depend on the fraction
        steps = torch.randint(1, self.classes, flat.shape, generator=generator)
        noisy = flat.clone()
        noisy[wrong] = (flat[wrong] + steps.to(flat)[wrong]) % self.classes
        return replace(self, train=(inputs, noisy.view(labels.shape)))

    def to(self, device: str | torch.device) -> Self:
        """Moves all tensors to a device.

        Args:
            device: as "cpu" or "cuda:0".

        Returns:
            The data set there.

        Raises:
            DataError: there is no such device.
        """
        try:
            train, test = (
                (inputs.to(device), labels.to(device)) for inputs, labels in (self.train, self.test)
            )
        except (RuntimeError, AssertionError) as error:  # torch raises either without CUDA
            raise DataError(unusable(device, error)) from error
        return replace(self, train=train, test=test)


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raises DataError unless `value` lies in low to high."""
    if not low <= value <= high:
        raise DataError(f"`{name}` is {value}; pass {low} to {high}.")


def check_count(name: str, value: int, low: int, high: int) -> None:
    """Raises DataError unless `value` is an integer in low to high."""
    if not isinstance(value, int) or not low <= value <= high:
        raise DataError(f"`{name}` is {shown(value)}; pass an integer, {low} to {high}.")


def balanced_labels(count: int, classes: int, generator: torch.Generator) -> Tensor:
    """Draws labels in random order of which every class has as many as any other, or one more."""
    return (torch.arange(count) % classes)[torch.randperm(count, generator=generator)]
