"""What a module keeps besides its parameters, so that running it leaves no trace.

A forward may keep what it computed: attributes, caches, counters, hidden states, in the module, in
objects and containers that it holds, in globals and closures of its class. All of it is noted
before the module is run for somebody else, and put back afterwards.
"""

import functools
import operator
import types
from collections import deque
from collections.abc import Callable, Container, Iterator
from typing import Any

import torch
from torch import Tensor, nn

# Neither changed by a forward, nor worth following: their parts are those of Python and PyTorch.
OPAQUE = (
    type, types.ModuleType, types.BuiltinFunctionType, str, bytes, int, float, complex, bool,
    type(None), torch.dtype, torch.device, torch.Size, torch.Generator,
)  # fmt: skip
CACHED = type(functools.lru_cache(lambda: None))
FOREIGN = ("torch", "numpy", "builtins", "threading", "logging", "_thread", "weakref", "re")


HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called",
)  # fmt: skip
# What every module has, and no forward writes into.
OWN = frozenset(vars(nn.Module())) - {"_parameters", "_buffers", "_modules"}


class Kept:
    """What a module keeps besides its parameters, as it is now.

    Example:
        >>> class Network(nn.Module):
        ...     pass
        >>> model = Network()
        >>> kept = Kept(model)
        >>> model.seen = 3
        >>> kept.restore()
        >>> hasattr(model, "seen")
        False
    """

    def __init__(self, model: nn.Module) -> None:
        """Notes attributes, containers and tensors; parameters are left out."""
        self._undo: list[Callable[[], None]] = []
        self._known: set[int] = {id(parameter) for parameter in model.parameters()}
        self._alive: list[Any] = []  # what is known by its id must not go
        pending: list[Any] = list(model.modules())
        # those that a forward adds; what they gather is somebody's own, and meant to stay
        hooks = [vars(module).get(name, {}) for module in pending for name in HOOKS]
        self._hooks = [(live, dict(live) if live else {}) for live in hooks]
        while pending:
            value = pending.pop()
            if id(value) in self._known or isinstance(value, OPAQUE):
                continue
            self._known.add(id(value))
            self._alive.append(value)
            pending += self._note(value)

    def restore(self) -> None:
        """Puts everything back; what was not changed is not touched."""
        for undo in self._undo:
            undo()
        for live, before in self._hooks:
            if live.keys() != before.keys():
                live.clear()
                live.update(before)

    def _note(self, value: Any) -> Iterator[Any]:
        """Notes one value; yields what it holds."""
        if isinstance(value, nn.Module):
            if not _is_plain(value):
                yield from self._mapping(vars(value), OWN)
                yield from _functions(type(value))
        elif isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, dict):
            yield from self._mapping(value)
        elif isinstance(value, list | deque):
            self._sequence(value)
            yield from list(value)
        elif isinstance(value, set):
            self._set(value)
        elif isinstance(value, tuple):
            yield from value
        elif isinstance(value, types.FunctionType):
            yield from self._function(value)
        elif isinstance(value, CACHED):
            self._cached(value)
        elif isinstance(getattr(value, "__dict__", None), dict) and not _is_foreign(type(value)):
            yield from self._mapping(vars(value))

    def _mapping(self, live: dict[Any, Any], own: Container[Any] = ()) -> list[Any]:
        """Notes a mapping; returns what it holds, but for what stands under the names `own`."""
        before = dict(dict.items(live))  # some look up other things than they hold

        def undo() -> None:
            if len(live) == len(before) and all(
                map(operator.is_, [*live, *dict.values(live)], [*before, *before.values()])
            ):
                return
            live.clear()
            live.update(before)

        self._undo.append(undo)
        return [value for key, value in before.items() if key not in own]

    def _sequence(self, live: list[Any] | deque[Any]) -> None:
        before = list(live)

        def undo() -> None:
            if len(live) != len(before) or not all(map(operator.is_, live, before)):
                live.clear()
                live.extend(before)

        self._undo.append(undo)

    def _set(self, live: set[Any]) -> None:
        before = set(live)

        def undo() -> None:
            if live != before:
                live.clear()
                live.update(before)

        self._undo.append(undo)

    def _tensor(self, live: Tensor) -> None:
        if live.is_meta or live.layout != torch.strided or live.is_inference():
            return
        version, before = live._version, live.detach().clone()

        def undo() -> None:
            if live._version != version:
                live.detach().copy_(before)

        self._undo.append(undo)

    def _function(self, function: types.FunctionType) -> Iterator[Any]:
        """What a function of the module's class reaches: its closure and the globals it names."""
        for cell in function.__closure__ or ():
            try:
                yield self._cell(cell)
            except ValueError:  # not filled yet
                continue
        names, home = function.__code__.co_names, function.__globals__
        for name in names:
            if name in home:
                yield self._global(home, name)

    def _cell(self, cell: types.CellType) -> Any:
        before = cell.cell_contents

        def undo() -> None:
            cell.cell_contents = before

        self._undo.append(undo)
        return None if callable(before) else before

    def _global(self, home: dict[str, Any], name: str) -> Any:
        before = home[name]
        if isinstance(before, types.FunctionType):  # a helper beside the class
            return before if before.__globals__ is home else None
        if callable(before) and not isinstance(before, CACHED | nn.Module):
            return None

        def undo() -> None:
            if home.get(name) is not before:
                home[name] = before

        self._undo.append(undo)
        return before

    def _cached(self, function: Any) -> None:
        before = function.cache_info().currsize

        def undo() -> None:
            if function.cache_info().currsize != before:
                function.cache_clear()

        self._undo.append(undo)


def _is_foreign(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in FOREIGN


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is one of PyTorch's that keeps nothing in evaluation mode."""
    hooked = module._forward_hooks or module._forward_pre_hooks
    return _is_foreign(type(module)) and not hooked and not isinstance(module, nn.RNNBase)


def _functions(kind: type) -> Iterator[Any]:
    """The functions of a class and of those it is made from, PyTorch's left out."""
    for base in kind.__mro__:
        if not _is_foreign(base):
            for value in vars(base).values():
                yield getattr(value, "__func__", getattr(value, "fget", value))
