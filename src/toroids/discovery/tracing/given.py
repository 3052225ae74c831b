"""Questions of a forward that no data decide: whether a mask of ones has any zero.

Where an argument is left out, many a forward makes what it stands for and then looks at that. What
is made of numbers and sizes alone, and of nothing that the module was given or that is saved with
it, answers in every call of these sizes as it does in a plain one; a trace, which knows no numbers,
takes the answer from there. So does a buffer of whole numbers or truth that no call writes, as a
flag: what is found holds for what it holds. Numbers, unlike truth, are taken for granted at these
sizes only. Once a number of the data has been read, nothing counts as made of numbers alone.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from toroids.discovery.tracing.frames import Line, line_of

Answers: TypeAlias = Mapping[Line, Sequence[Any]]
READ = (
    Tensor.__bool__, Tensor.item, Tensor.tolist, Tensor.__int__, Tensor.__float__, Tensor.__index__,
)  # fmt: skip
# What takes no numbers of its argument.
SHAPED = {
    torch.zeros_like, torch.ones_like, torch.full_like, Tensor.new_zeros, Tensor.new_ones,
    Tensor.new_full, Tensor.new_tensor,
}  # fmt: skip
# What takes numbers in the place of lengths, and reads them where it is given tensors: behind its
# first argument, or from that on.
FITTED = {
    functional.pad, functional.interpolate, Tensor.view, Tensor.reshape, torch.reshape,
    Tensor.expand, Tensor.repeat, Tensor.narrow, Tensor.new_zeros, Tensor.new_ones, Tensor.new_full,
    Tensor.__getitem__,
}  # fmt: skip
MAKING = {torch.zeros, torch.ones, torch.full, torch.empty, torch.arange}


class Given(TorchFunctionMode):
    """Follows tensors that are made of numbers and sizes alone, and what is asked of them.

    Attributes:
        answers: what was answered so far, in order, by the place in the code that asked.
        flags: names of the saved buffers of which some answer was made.
    """

    def __init__(self, model: nn.Module, answers: Answers | None = None) -> None:
        """Answers the first questions so, and the others truly; `model` is about to be called."""
        super().__init__()
        self._given = answers or {}
        flags = {name: x for name, x in model.named_buffers() if not _is_learned(x)}
        self._made = {id(tensor): tensor for tensor in (*flags.values(), *_unsaved(model))}
        # of every such tensor the buffers that it was made of
        self._of = {id(tensor): frozenset({name}) for name, tensor in flags.items()}
        self._read = False
        self.flags: set[str] = set()
        self.answers: dict[Line, list[Any]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls an operator, or answers in its place."""
        kwargs = kwargs or {}
        if func in FITTED | MAKING:
            first = func in FITTED
            args = (*args[:first], *(self._read_in(x, func) for x in args[first:]))
            kwargs = {name: self._read_in(x, func) for name, x in kwargs.items()}
        used = list(tensors_in((*args, *kwargs.values())))
        made = not self._read and all(id(tensor) in self._made for tensor in used)
        if func in READ and not made:
            self._read = True
        if func in READ and made:
            return self._answer(func, args)
        found = func(*args, **kwargs)
        if made or (func in SHAPED and not self._read):
            self._made |= {id(tensor): tensor for tensor in tensors_in((found,))}
            of = frozenset[str]().union(*(self._of.get(id(x), ()) for x in used))
            self._of |= {id(tensor): of for tensor in tensors_in((found,))}
        elif used:  # what is written into has them afterwards
            self._made.pop(id(used[0]), None)
        return found

    def _read_in(self, value: Any, func: Callable[..., Any]) -> Any:
        """An argument with numbers in place of the tensors that stand for lengths."""
        if isinstance(value, slice):
            ends = (value.start, value.stop, value.step)
            return slice(*(self._length(x) for x in ends))
        if isinstance(value, list | tuple):
            found = [self._read_in(x, func) for x in value]
            return found if isinstance(value, list) else tuple(found)
        return value if func is Tensor.__getitem__ else self._length(value)

    def _length(self, value: Any) -> Any:
        """The number in a tensor of no axes, where no data decide it."""
        if not isinstance(value, Tensor) or value.ndim or not _is_whole(value):
            return value
        if not self._read and id(value) in self._made:
            return self._answer(Tensor.__int__, (value,))
        self._read = True
        return value

    def _answer(self, func: Callable[..., Any], args: Sequence[Any]) -> Any:
        place = line_of(sys._getframe(1))  # a trace may leave out questions that a call asks
        given, answers = self._given.get(place, ()), self.answers.setdefault(place, [])
        found = given[len(answers)] if len(answers) < len(given) else func(*args)
        answers.append(found)
        self.flags |= self._of.get(id(args[0]), frozenset())
        return found


def _is_whole(tensor: Tensor) -> bool:
    return not (_is_learned(tensor) or tensor.dtype == torch.bool)


def _is_learned(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _unsaved(model: nn.Module) -> Iterator[Tensor]:
    """The buffers that are not saved with a module, and single numbers that its code put there."""
    saved = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        for value in vars(module).values():
            single = isinstance(value, Tensor) and not value.ndim and _is_whole(value)
            if single and id(value) not in saved:
                yield value
        for name in module._non_persistent_buffers_set:
            buffer = module._buffers.get(name)
            if buffer is not None:
                yield buffer


def given_answers(model: nn.Module, called: Callable[[], Any]) -> tuple[Answers, frozenset[str]]:
    """What no data decide of what a forward asks.

    Args:
        model: that asks.
        called: calls it on the example.

    Returns:
        The answers, in order, by the place in the code that asks; and the names of the buffers that
        gave them. Nothing where the call writes into one of these.
    """
    before = _states(model)
    heard = Given(model)
    with heard:
        called()
    now = _states(model)
    if any(now.get(name) != before[name] for name in heard.flags):
        return {}, frozenset()
    return heard.answers, frozenset(heard.flags)


def _states(model: nn.Module) -> dict[str, tuple[int, int]]:
    """What tells whether buffers were written."""
    return {name: (id(x), x._version) for name, x in model.named_buffers()}


def tensors_in(values: Sequence[Any]) -> Iterator[Tensor]:
    """The tensors among values, and in lists and tuples of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)
