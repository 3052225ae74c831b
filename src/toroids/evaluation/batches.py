"""Data as batches: a pair of inputs and targets, or any iterable of such pairs."""

from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any, TypeAlias

import torch
from torch import Tensor

from toroids.arguments.networks import hollow_kind
from toroids.errors import DataError

# One tensor, or several by the names of keyword arguments.
Inputs: TypeAlias = Tensor | Mapping[str, Tensor]
Batch: TypeAlias = tuple[Inputs, Tensor]
TensorPair: TypeAlias = tuple[Tensor, Tensor]
Data: TypeAlias = Batch | Iterable[Batch]

_EXPECTED = (
    "expected a pair of tensors (inputs, labels), where inputs may be a mapping of keyword "
    "arguments, or an iterable of such pairs"
)


def batches(data: Data, batch_size: int) -> Iterable[Batch]:
    """Cuts a pair into batches; keeps an iterable that can be run through again.

    Args:
        data: a pair `(inputs, targets)` or an iterable of such pairs.
        batch_size: how many examples of a pair go into one batch.

    Returns:
        A list for tensors and for one-shot iterators, else `data` itself (a DataLoader draws
        anew, so it is neither copied nor held in memory). The batches of a pair are of equal
        size, or differ by one example.

    Raises:
        DataError: no examples, or unequal numbers of inputs and targets.
    """
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise DataError(f"batch_size is {batch_size!r}; pass a whole number, at least 1.")
    if _is_pair(data):
        return _cut(check_pair(data), batch_size)
    plain = isinstance(data, Tensor | Mapping | str | bytes) or hasattr(data, "__array__")
    if plain or not isinstance(data, Iterable):
        raise DataError(f"the data is a {type(data).__name__};{_advice(data)} {_EXPECTED}.")
    # a generator can be run through only once
    if isinstance(data, list | tuple | Iterator):
        return [check_pair(batch) for batch in data]
    return data


def check_pair(batch: object) -> Batch:
    """Returns `batch` if it is a pair of inputs and targets with an axis of examples.

    Args:
        batch: what came as one batch.

    Returns:
        Inputs and targets.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2 or not _is_pair(batch):
        kind = type(batch).__name__
        raise DataError(f"a batch is a {kind}, not a pair;{_advice(batch)} {_EXPECTED}.")
    inputs, targets = batch
    tensors = [*(inputs.values() if isinstance(inputs, Mapping) else (inputs,)), targets]
    if not all(isinstance(part, Tensor) and part.ndim for part in tensors):
        raise DataError(f"a batch is not a pair of tensors with an axis of examples; {_EXPECTED}.")
    for part in tensors:
        if kind := hollow_kind(part):
            raise DataError(
                f"a tensor of a batch is {kind}; pass dense tensors that hold their values, as "
                "tensor.to_dense() or tensor.dequantize() makes them."
            )
        if len(part) != len(targets):
            raise DataError(
                f"there are {len(part)} inputs but {len(targets)} labels; pass one label each."
            )
    return inputs, targets


def _advice(data: object) -> str:
    if hasattr(data, "train"):
        return " pass its .train or .test;"
    array = hasattr(data, "__array__") and not isinstance(data, Tensor)
    return " make tensors of arrays by torch.as_tensor;" if array else ""


def check_tensors(data: object) -> TensorPair:
    """Returns `data` if it is a pair of one tensor of inputs and one of labels.

    Args:
        data: what came as data.

    Returns:
        Inputs and labels.

    Raises:
        DataError: it is something else.
    """
    inputs, labels = check_pair(data)
    if not isinstance(inputs, Tensor):
        raise DataError("the inputs are a mapping; pass one tensor of inputs and one of labels.")
    return inputs, labels


def to_place(batch: Batch, device: torch.device, dtype: torch.dtype) -> Batch:
    """Moves a batch to a device; what is floating gets the precision, integers become int64."""

    def moved(tensor: Tensor) -> Tensor:
        return tensor.detach().to(
            device, dtype if tensor.is_floating_point() else None, non_blocking=True
        )

    inputs, targets = batch
    targets = moved(targets) if targets.is_floating_point() else targets.to(device, torch.long)
    return map_inputs(moved, inputs), targets


def map_inputs(function: Any, inputs: Inputs) -> Any:
    """Applies a function to the inputs, by name where they are several."""
    if isinstance(inputs, Mapping):
        return {name: function(tensor) for name, tensor in inputs.items()}
    return function(inputs)


def _is_pair(data: object) -> bool:
    return (
        isinstance(data, tuple | list)
        and len(data) == 2
        and isinstance(data[0], Tensor | Mapping)
        and isinstance(data[1], Tensor)
    )


def _cut(pair: Batch, batch_size: int) -> list[Batch]:
    inputs, targets = pair
    if len(targets) == 0:
        raise DataError("the data holds no examples; pass at least one.")
    # equal sizes: a last batch of one example has no variance for a batch norm to estimate
    count = -(-len(targets) // batch_size)
    cut = zip(*(x.tensor_split(count) for x in _tensors(inputs)), strict=True)
    if isinstance(inputs, Mapping):
        parts: list[Inputs] = [dict(zip(inputs, part, strict=True)) for part in cut]
    else:
        parts = [part for (part,) in cut]
    return list(zip(parts, targets.tensor_split(count), strict=True))


def _tensors(inputs: Inputs) -> list[Tensor]:
    return list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]
