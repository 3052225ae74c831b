"""Traces of what data may leave out: a loop over experts that are hit, a branch on an empty set.

Where a forward asks its data whether anything is there, the trace answers that it is: every expert
is hit, no set of tokens is empty, any of a mask is true. Other questions stay without an answer. On
inputs that leave something out the operators of that trace are given nothing, and mostly give
nothing; whether the module does the same is looked at, as everything that a trace says.
"""

import contextlib
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.overrides import TorchFunctionMode

from toroids.errors import said

FOUND = (torch.nonzero, Tensor.nonzero, torch.argwhere, Tensor.argwhere, torch.where, Tensor.where)
ANY = (torch.any, Tensor.any)
SAME = (
    Tensor.squeeze, torch.squeeze, Tensor.flatten, torch.flatten, Tensor.view, Tensor.reshape,
    Tensor.cpu, Tensor.to, Tensor.contiguous, Tensor.detach, Tensor.int, Tensor.long,
)  # fmt: skip
COMPARED = {
    function: getattr(operator, name)
    for name in ("eq", "ne", "lt", "le", "gt", "ge")
    for function in (getattr(Tensor, name), getattr(Tensor, f"__{name}__"), getattr(torch, name))
}
READ = (Tensor.item, Tensor.__int__, Tensor.__index__)


class Present(TorchFunctionMode):
    """Answers questions about data as if everything were there."""

    def __init__(self) -> None:
        """Has found nothing yet."""
        super().__init__()
        self._whole: list[tuple[Tensor, int]] = []  # positions of all entries of a vector
        self._known: list[tuple[Tensor, int]] = []  # tensors of equal entries, and which

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls an operator, or answers in its place."""
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is None:
            return func(*args, **(kwargs or {}))
        number, size = _of(first, self._known), _of(first, self._whole)
        if func is Tensor.__bool__ and number is not None:
            return bool(number)
        if func in READ and number is not None:
            return number
        if size is not None and func is Tensor.tolist:
            return _listed(range(size), first.ndim - 1)
        if size is not None and func in (Tensor.__iter__, Tensor.unbind, torch.unbind):
            rows = [torch.full(first.shape[1:], i) for i in range(size)]
            self._known += [(row, i) for i, row in enumerate(rows)]
            return iter(rows) if func is Tensor.__iter__ else rows
        if func is Tensor.__getitem__:
            args = [first, self._numbers(args[1])]
        found = func(*args, **(kwargs or {}))
        if func in FOUND:
            self._note(first, found)
        elif func in ANY and found.ndim == 0:
            self._known.append((found, 1))
        elif isinstance(found, Tensor):
            if size is not None and func in SAME:
                self._whole.append((found, size))
            if number is not None and (func in SAME or func is Tensor.__getitem__):
                self._known.append((found, number))
            if number is not None and func in COMPARED and isinstance(args[1], int):
                self._known.append((found, int(COMPARED[func](number, args[1]))))
        return found

    def _numbers(self, index: Any) -> Any:
        """An index with numbers instead of tensors that are known."""
        if isinstance(index, tuple):
            return tuple(map(self._numbers, index))
        number = _of(index, self._known) if isinstance(index, Tensor) else None
        return index if number is None or index.ndim else number

    def _note(self, source: Tensor, found: Any) -> None:
        """Takes for granted that something was found; of a vector of known length, all."""
        for part in found if isinstance(found, tuple | list) else [found]:
            if free_unbacked_symbols(part.shape):
                torch._check(part.shape[0] >= 1)  # type: ignore[no-untyped-call]
                if source.ndim == 1 and isinstance(source.shape[0], int):
                    self._whole.append((part, source.shape[0]))


@contextlib.contextmanager
def without_hints() -> Iterator[None]:
    """Keeps PyTorch's transformers from looking whether a mask is causal.

    They read its numbers to pass a hint on to attention, which computes the same without it.
    """
    name, module = "_detect_is_causal_mask", torch.nn.modules.transformer
    before = getattr(module, name, None)
    if before is None:
        yield
        return

    def as_told(mask: Any, is_causal: bool | None = None, size: int | None = None) -> bool:
        return bool(is_causal)

    setattr(module, name, as_told)
    try:
        yield
    finally:
        setattr(module, name, before)


def _of(tensor: Tensor, noted: Sequence[tuple[Tensor, int]]) -> int | None:
    return next((number for known, number in noted if known is tensor), None)


def _listed(numbers: Sequence[int], depth: int) -> list[Any]:
    """Numbers as `tolist` gives them, each in as many lists as there are further axes."""
    found: list[Any] = list(numbers)
    for _ in range(depth):
        found = [[x] for x in found]
    return found


def remove_checks(graph: fx.Graph) -> None:
    """Removes what raises an error where data leave something out."""
    for node in reversed(graph.nodes):
        if node.op == "call_function" and node.target is torch.ops.aten._assert_scalar.default:
            condition: Any = node.args[0]
            value = condition.meta.get("val") if isinstance(condition, fx.Node) else None
            if value is None or free_unbacked_symbols(value):
                graph.erase_node(node)


def asks_data(error: BaseException) -> bool:
    """Whether a trace failed because a forward asks its data what to do."""
    if isinstance(error, DataDependentOutputException | DynamicOutputShapeException):
        return True  # which say no more than the operator's name
    words = said(error).lower()
    return "data-dependent" in words or "unbacked" in words or "data dependent" in words
