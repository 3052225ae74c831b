"""Questions of a forward that no data decide: whether a mask of ones has any zero.

Where an argument is left out, many a forward makes what it stands for and then looks at that. What
is made of numbers and sizes alone, and of nothing that the module was given or that is saved with
it, answers in every call of these sizes as it does in a plain one; a trace, which knows no numbers,
takes the answer from there. Numbers, unlike truth, are taken for granted at these sizes only. Once
a number of the data has been read, nothing counts as made of numbers alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from toroids.discovery.tracing.example import Example

READ = (
    Tensor.__bool__, Tensor.item, Tensor.tolist, Tensor.__int__, Tensor.__float__, Tensor.__index__,
)  # fmt: skip
# What takes no numbers of its argument.
SHAPED = {
    torch.zeros_like, torch.ones_like, torch.full_like, Tensor.new_zeros, Tensor.new_ones,
    Tensor.new_full, Tensor.new_tensor,
}  # fmt: skip


class Given(TorchFunctionMode):
    """Follows tensors that are made of numbers and sizes alone, and what is asked of them.

    Attributes:
        answers: what was answered so far.
    """

    def __init__(self, model: nn.Module, answers: Sequence[Any] = ()) -> None:
        """Answers the first questions so, and the others truly; `model` is about to be called."""
        super().__init__()
        self._given = answers
        self._made = {id(tensor): tensor for tensor in _unsaved(model)}
        self._read = False
        self.answers: list[Any] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls an operator, or answers in its place."""
        kwargs = kwargs or {}
        used = list(tensors_in((*args, *kwargs.values())))
        made = not self._read and all(id(tensor) in self._made for tensor in used)
        if func in READ and not made:
            self._read = True
        if func in READ and made:
            return self._answer(func, args)
        found = func(*args, **kwargs)
        if made or (func in SHAPED and not self._read):
            self._made |= {id(tensor): tensor for tensor in tensors_in((found,))}
        elif used:  # what is written into has them afterwards
            self._made.pop(id(used[0]), None)
        return found

    def _answer(self, func: Callable[..., Any], args: Sequence[Any]) -> Any:
        asked = len(self.answers)
        self.answers.append(self._given[asked] if asked < len(self._given) else func(*args))
        return self.answers[-1]


def _unsaved(model: nn.Module) -> Iterator[Tensor]:
    """The buffers that are not saved with a module, and hold what its code put there."""
    for module in model.modules():
        for name in module._non_persistent_buffers_set:
            buffer = module._buffers.get(name)
            if buffer is not None:
                yield buffer


def given_answers(counted: nn.Module, example: Example) -> tuple[Any, ...]:
    """What no data decide of what a forward asks, in order.

    Args:
        counted: called on the tensors of the example, in evaluation mode.
        example: on which it runs.

    Returns:
        The answers.
    """
    with Given(counted) as heard:
        counted(*example.tensors)
    return tuple(heard.answers)


def tensors_in(values: Sequence[Any]) -> Iterator[Tensor]:
    """The tensors among values, and in lists and tuples of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)
