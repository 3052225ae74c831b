"""What a module keeps besides its parameters, so that running it leaves no trace.

A forward may keep what it computed: attributes, caches, counters, hidden states, in the module, in
objects and containers that it holds, in globals and closures of its class. All of it is noted
before the module is run for somebody else, and put back afterwards.
"""

import contextlib
import functools
import operator
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from toroids.evaluation.inside import DRAWS, Inside, copied, inside_of

# Neither changed by a forward, nor worth following: their parts are those of Python and PyTorch.
OPAQUE = (
    type, types.ModuleType, types.BuiltinFunctionType, str, bytes, int, float, complex, bool,
    type(None), torch.dtype, torch.device, torch.Size, torch.Generator,
)  # fmt: skip
CACHED = type(functools.lru_cache(lambda: None))
BOUND = types.MethodType | functools.partial | weakref.ref | CACHED
FOREIGN = ("torch", "numpy", "builtins", "threading", "logging", "_thread", "weakref", "re")


HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called",
)  # fmt: skip
# What every module has, and no forward writes into.
OWN = frozenset(vars(nn.Module())) - {"_parameters", "_buffers", "_modules"}


@dataclass
class _Slots:
    """What stands in a place by key, now and when it was noted.

    Attributes:
        name: of the place.
        read: gives what stands there.
        put: makes it what it was.
        write: sets one entry.
        skipped: keys under which nothing is said to change, or followed.
        grows: the list that it is, if it is one.
        before: what stood there.
    """

    name: str
    read: Callable[[], dict[Any, Any]]
    put: Callable[[dict[Any, Any]], object]
    write: Callable[[Any, Any], object]
    skipped: Container[Any] = ()
    grows: list[Any] | deque[Any] | None = None
    before: dict[Any, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Notes what stands there."""
        self.before = self.read()

    def named(self, key: Any) -> str:
        """The name of an entry; that of the place where it is one of a list."""
        return self.name if self.grows is not None else f"{self.name}.{key}".strip(".")

    def is_current(self) -> bool:
        """Whether the same stands there."""
        now = self.read()
        return len(now) == len(self.before) and not self._others(now)

    def restore(self) -> None:
        """Puts back what stood there, if something else does."""
        if not self.is_current():
            self.put(self.before)

    def replace(self, live: Any, copy: Any) -> None:
        """Has a copy of what stood there put back."""
        self.before |= {key: copy for key, x in self.before.items() if x is live}

    def changed(self) -> Iterable[str]:
        """Names of entries that are others, or new."""
        return (self.named(key) for key in self._others(self.read()) if key not in self.skipped)

    def advance(self, times: int) -> None:
        """Makes numbers and lists that have grown larger still, so many times."""
        if self.grows is not None and len(self.grows) > len(self.before):
            self.grows.extend([*self.grows] * times)
        for key in self._others(now := self.read()):
            value, old = now[key], self.before.get(key, 0)
            if _is_number(value) and _is_number(old):
                self.write(key, value + times * (value - old))
            elif isinstance(value, list) and key not in self.before:
                value.extend(value * times)

    def _others(self, now: dict[Any, Any]) -> list[Any]:
        known = self.before
        return [key for key, x in now.items() if key not in known or known[key] is not x]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Kept:
    """What a module keeps besides its parameters, as it is now.

    Example:
        >>> class Network(nn.Module):
        ...     pass
        >>> model = Network()
        >>> kept = Kept(model)
        >>> model.seen = 3
        >>> kept.changed()
        ['seen']
        >>> kept.restore()
        >>> hasattr(model, "seen")
        False
    """

    def __init__(self, model: nn.Module) -> None:
        """Notes attributes, containers and tensors; parameters are left out."""
        self._caches: list[tuple[Any, int]] = []
        self._slots: list[_Slots] = []
        self._tensors: list[tuple[str, Tensor, int, Tensor]] = []
        self._inside: list[tuple[str, Any, Inside, Any, Any]] = []
        self._globals: set[tuple[int, str]] = set()
        self._known: set[int] = {id(parameter) for parameter in model.parameters()}
        self._alive: list[Any] = []  # what is known by its id must not go
        self._modules = list(model.modules())
        pending: list[tuple[str, Any]] = list(model.named_modules())
        # those that a forward adds; what they gather is somebody's own, and meant to stay
        hooks = [vars(module).get(name, {}) for _, module in pending for name in HOOKS]
        self._hooks = [(live, dict(live) if live else {}) for live in hooks]
        while pending:
            name, value = pending.pop()
            if id(value) in self._known or isinstance(value, OPAQUE):
                continue
            self._known.add(id(value))
            self._alive.append(value)
            pending += self._note(name, value)

    def is_current(self, model: nn.Module) -> bool:
        """Whether a module has the same parts and keeps what it kept, so that this is it still."""
        parts = list(model.modules())
        return (
            len(parts) == len(self._modules)
            and all(map(operator.is_, parts, self._modules))
            and all(live.keys() == before.keys() for live, before in self._hooks)
            and all(slots.is_current() for slots in self._slots)
            and all(live._version == version for _, live, version, _ in self._tensors)
            and all(_filled(function) == before for function, before in self._caches)
            and not self._moved()
        )

    def restore(self) -> None:
        """Puts everything back; what was not changed is not touched."""
        for _, live, inside, before, copy in self._moved():
            if inside.put is not None:
                inside.put(before)
            for slots in self._slots:
                slots.replace(live, copy)
        for slots in self._slots:
            slots.restore()
        for _, live, version, copy in self._tensors:
            if live._version != version:
                live.detach().copy_(copy)
        for function, filled in self._caches:
            if _filled(function) != filled:
                function.cache_clear()
        for live, before in self._hooks:
            if live.keys() != before.keys():
                live.clear()
                live.update(before)

    def changed(self) -> list[str]:
        """Names of what was replaced, written into, or has grown since."""
        written = (name for name, live, version, _ in self._tensors if live._version != version)
        inside = (name for name, *_ in self._moved())
        return [*(name for slots in self._slots for name in slots.changed()), *written, *inside]

    def ran_on(self) -> list[str]:
        """Names of iterators from which something was taken since."""
        return [
            name
            for name, live, inside, *_ in self._moved()
            if inside.grow is None and not isinstance(live, DRAWS)
        ]

    def drew(self) -> list[str]:
        """Names of sources of random numbers from which some were drawn since."""
        return [name for name, live, *_ in self._moved() if isinstance(live, DRAWS)]

    def _moved(self) -> list[tuple[str, Any, Inside, Any, Any]]:
        return [x for x in self._inside if not x[2].same(x[2].read(), x[3])]

    def advance(self, times: int) -> None:
        """Makes numbers and lists that have grown larger still, as so many more calls would do."""
        for slots in self._slots:
            slots.advance(times)
        for _, _, inside, before, _ in self._moved():
            if inside.grow is not None:
                inside.grow(before, times)

    def _note(self, name: str, value: Any) -> Iterator[tuple[str, Any]]:
        """Notes one value; yields what it holds, by name."""
        if isinstance(value, nn.Module):
            if not _is_plain(value):
                yield from self._mapping(name, vars(value), OWN)
                for base in filter(_is_own, type(value).__mro__):
                    yield from self._class(base)
        elif isinstance(value, Tensor):
            self._tensor(name, value)
        elif isinstance(value, dict):
            yield from self._mapping(name, value)
        elif isinstance(value, list | deque):
            yield from self._sequence(name, value)
        elif isinstance(value, tuple):
            yield from ((name, part) for part in value)
        elif isinstance(value, types.FunctionType):
            yield from self._function(value)
        elif isinstance(value, CACHED):
            self._caches.append((value, _filled(value)))
        else:
            yield from ((name, part) for part in _reached(value))
            yield from self._object(name, value)

    def _noted(self, slots: _Slots) -> Iterator[tuple[str, Any]]:
        self._slots.append(slots)
        for key, value in slots.before.items():
            if key not in slots.skipped:
                yield slots.named(key), value

    def _mapping(
        self, name: str, live: dict[Any, Any], own: Container[Any] = ()
    ) -> Iterator[tuple[str, Any]]:
        """Notes a mapping; yields what it holds, but for what stands under the names `own`."""

        def put(before: dict[Any, Any]) -> None:
            live.clear()
            live.update(before)

        # some look up other things than they hold
        return self._noted(_Slots(name, lambda: dict(dict.items(live)), put, live.__setitem__, own))

    def _sequence(self, name: str, live: list[Any] | deque[Any]) -> Iterator[tuple[str, Any]]:
        def put(before: dict[int, Any]) -> None:
            live.clear()
            live.extend(before.values())

        return self._noted(
            _Slots(name, lambda: dict(enumerate(live)), put, live.__setitem__, grows=live)
        )

    def _object(self, name: str, value: Any) -> Iterator[tuple[str, Any]]:
        """Notes what an object of any other kind holds."""
        inside = inside_of(value)
        if inside is not None:
            self._inside.append((name, value, inside, inside.read(), copied(value)))
        if _is_own(type(value)) or isinstance(value, threading.local):
            if isinstance(getattr(value, "__dict__", None), dict):
                yield from self._mapping(name, vars(value))
            slots = _slots_of(type(value))
            if slots:
                yield from self._attributes(
                    name, value, lambda: {k: getattr(value, k) for k in slots if hasattr(value, k)}
                )

    def _class(self, kind: type) -> Iterator[tuple[str, Any]]:
        """Notes the attributes of a module's class; yields these, and its functions."""

        def read() -> dict[str, Any]:
            return {k: x for k, x in vars(kind).items() if k[:2] != "__" and not callable(x)}

        yield from self._attributes(kind.__name__, kind, read)
        yield from ((key, _unwrapped(value)) for key, value in vars(kind).items())

    def _attributes(
        self, name: str, owner: Any, read: Callable[[], dict[str, Any]]
    ) -> Iterator[tuple[str, Any]]:
        """Notes attributes that no mapping holds."""

        def put(before: dict[str, Any]) -> None:
            now = read()
            for key in now.keys() - before.keys():
                delattr(owner, key)
            for key, value in before.items():
                if now.get(key) is not value:
                    setattr(owner, key, value)

        write = functools.partial(setattr, owner)
        return self._noted(_Slots(name, read, put, write))

    def _tensor(self, name: str, live: Tensor) -> None:
        if live.is_meta or live.layout != torch.strided or live.is_inference():
            return
        self._tensors.append((name, live, live._version, live.detach().clone()))

    def _function(self, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
        """What a function holds: attributes, defaults, its closure, the globals that it names."""
        name, code, home = function.__name__, function.__code__, function.__globals__
        if vars(function) or name in code.co_names:
            yield from self._mapping(name, vars(function))
        yield from ((name, x) for x in function.__defaults__ or ())
        yield from (function.__kwdefaults__ or {}).items()
        for own, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # not filled yet
                yield from self._cell(own, cell)
        for own in _names(code):
            if own in home and (id(home), own) not in self._globals:
                self._globals.add((id(home), own))
                yield from self._global(own, home)

    def _cell(self, name: str, cell: types.CellType) -> Iterator[tuple[str, Any]]:
        def read() -> dict[str, Any]:
            return {name: cell.cell_contents}

        def write(_: str, value: Any) -> None:
            cell.cell_contents = value

        found = self._noted(_Slots("", read, lambda before: write(name, before[name]), write))
        return ((name, x) for name, x in found if not _acts(x))

    def _global(self, name: str, home: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        value = home[name]
        if isinstance(value, types.FunctionType) and value.__globals__ is home:
            yield name, value  # a helper beside the class
        elif not isinstance(value, types.FunctionType | types.ModuleType) and not _acts(value):
            yield from self._noted(
                _Slots("", lambda: {name: home.get(name)}, home.update, home.__setitem__)
            )


def _filled(function: Any) -> int:
    """How much a cached function has kept."""
    return int(function.cache_info().currsize)


def _acts(value: Any) -> bool:
    """Whether a value does something, and need not be followed for what it holds."""
    if isinstance(value, types.FunctionType):
        return _is_foreign(value)
    foreign = isinstance(value, OPAQUE) or _is_foreign(type(value))
    return callable(value) and foreign and not (isinstance(value, nn.Module | BOUND))


def _reached(value: Any) -> tuple[Any, ...]:
    """What is called, or given, along with a value."""
    if isinstance(value, types.MethodType):
        return value.__self__, value.__func__
    if isinstance(value, functools.partial):
        return value.func, *value.args, *value.keywords.values()
    return (value(),) if isinstance(value, weakref.ref) else ()


def _slots_of(kind: type) -> list[str]:
    """The names of attributes that objects of a class have in place of a mapping."""
    named = (vars(base).get("__slots__", ()) for base in kind.__mro__ if _is_own(base))
    found = [name for own in named for name in ([own] if isinstance(own, str) else own)]
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def _is_foreign(kind: type | types.FunctionType) -> bool:
    return str(kind.__module__).partition(".")[0] in FOREIGN


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is one of PyTorch's that keeps nothing in evaluation mode."""
    hooked = module._forward_hooks or module._forward_pre_hooks
    return _is_foreign(type(module)) and not hooked and not isinstance(module, nn.RNNBase)


def _is_own(kind: type) -> bool:
    return not _is_foreign(kind)


def _unwrapped(value: Any) -> Any:
    """The function that an attribute of a class stands for; any other attribute as it is."""
    return getattr(value, "__func__", getattr(value, "fget", value))


@functools.cache
def _names(code: types.CodeType) -> frozenset[str]:
    """The global names that code uses, and those of the functions that it defines."""
    inside = (_names(x) for x in code.co_consts if isinstance(x, types.CodeType))
    return frozenset(code.co_names).union(*inside)
