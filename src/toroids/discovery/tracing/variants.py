"""An example in other forms that a forward may tell apart: in memory, in its axes, in its lists."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from toroids.discovery.tracing.example import Example, example_of


def laid_out_otherwise(example: Example) -> Iterator[Example]:
    """The same numbers in another order in memory, which is all that is different."""
    yield example.with_tensors([_ordered(x, [*range(x.ndim)][::-1]) for x in example.tensors])
    # as images are whose channels lie side by side
    yield example.with_tensors([_ordered(x, [0, *range(2, x.ndim), 1]) for x in example.tensors])


def _ordered(x: Tensor, order: Sequence[int]) -> Tensor:
    """The same tensor, whose axes lie in memory in this order."""
    if x.ndim < 2:
        return x
    back = [order.index(axis) for axis in range(x.ndim)]
    return x.permute(*order).contiguous().permute(*back)


def of_other_rank(example: Example) -> Iterator[Example]:
    """Without the first axis; with one more before it."""
    if all(x.ndim > 1 for x in example.tensors):
        yield example.with_tensors([x[0] for x in example.tensors])
    yield example.with_tensors(
        [torch.stack([x, x.flip(0) if x.ndim else x]) for x in example.tensors]
    )


def of_other_lists(model: nn.Module, example: Example) -> Iterator[Example]:
    """With one more tensor, and with one less, in lists of tensors."""
    given = example.arguments(example.tensors)
    for change in (lambda x: [*x, x[-1]], lambda x: x[:-1]):
        args, kwargs = _relisted(given, change)
        other = example_of(model, args or kwargs)
        if len(other.tensors) != len(example.tensors):
            yield other


def _relisted(value: Any, change: Callable[[Any], Any]) -> Any:
    """Changes all lists of two or more tensors of one shape."""
    if isinstance(value, dict):
        return {key: _relisted(x, change) for key, x in value.items()}
    if type(value) not in (list, tuple):
        return value
    if type(value) is list and value and all(isinstance(x, Tensor) for x in value):
        return change(value) if len(value) > 1 or len(change(value)) else value
    return type(value)(_relisted(x, change) for x in value)
