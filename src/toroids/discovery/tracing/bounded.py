"""Stops calls of PyTorch that would read beyond their memory, and may end the process."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

BAGS = inspect.signature(functional.embedding_bag)


class Bounded(TorchFunctionMode):
    """Fails, as a call at sizes that do not fit fails, where PyTorch does not look."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs a function of PyTorch, or raises IndexError."""
        if func is functional.embedding_bag:
            _check_bags(**BAGS.bind(*args, **(kwargs or {})).arguments)
        return func(*args, **(kwargs or {}))


def check_states(x: Tensor, states: Sequence[Tensor], *others: Any) -> None:
    """Raises where an LSTM's states are of another number of sequences than its input.

    Args:
        x: of shape (sequences, positions, features), the first two in the order that `others` says.
        states: of shape (layers, sequences, units); of packed sequences something else, unchecked.
        others: the further arguments of `aten::lstm`.

    Raises:
        IndexError: they are; PyTorch checks it in `nn.LSTM` only, not where a trace calls it.
    """
    sequences = x.shape[0 if others[-1] else 1]
    if isinstance(states, list | tuple) and any(state.shape[1] != sequences for state in states):
        raise IndexError("states are of another number of sequences")


def _check_bags(
    input: Tensor, offsets: Tensor | None = None, include_last_offset: bool = False, **_: Any
) -> None:
    """Bags begin and end within what there is, one after another."""
    if offsets is None or input.is_meta or isinstance(input, torch._subclasses.FakeTensor):
        return
    starts = offsets.tolist()
    if include_last_offset and len(starts) < 2:
        raise IndexError("bags have no end")
    if starts != sorted(starts) or any(not 0 <= start <= len(input) for start in starts):
        raise IndexError("bags lie beyond what is in them")
