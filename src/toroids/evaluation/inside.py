"""What objects hold whose parts have no names: sets, arrays, iterators, sources of random numbers.

Such an object tells what it holds in a form of its own, which is compared with what it told before.
"""

import array
import collections
import contextlib
import copy
import itertools
import operator
import random
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

# Iterators that a copy goes on like, and beside which nothing else is taken from.
LISTED: tuple[Any, ...] = ([], (), range(0))
APART: tuple[type, ...] = (itertools.count, itertools.repeat, *(type(iter(x)) for x in LISTED))
NUMBERED = (bytearray, array.array)
DRAWS = (random.Random, np.random.Generator, np.random.RandomState)
OF_PYTHON = ("builtins", "itertools")  # iterators of other classes hold attributes
DEEP = 8  # iterators within iterators that are followed


@dataclass(frozen=True)
class Inside:
    """How to look at what one object holds.

    Attributes:
        read: tells what it holds.
        put: makes it hold what was told; None where nothing does.
        grow: adds more of what it has got since, so many times; None where nobody can.
        same: whether two answers are equal.
    """

    read: Callable[[], Any]
    put: Callable[[Any], object] | None = None
    grow: Callable[[Any, int], object] | None = None
    same: Callable[[Any, Any], bool] = operator.eq


def inside_of(value: Any) -> Inside | None:
    """How to look at what an object holds; None where it is none of these kinds."""
    if isinstance(value, set):
        return Inside(lambda: set(value), _refill(value), lambda _, n: value.update(_fresh(n)))
    if isinstance(value, NUMBERED):
        return Inside(lambda: value[:], _rewrite(value), lambda _, n: value.extend(value * n))
    if isinstance(value, np.ndarray):
        return Inside(value.copy, _rewrite(value), _further(value), _equal)
    if isinstance(value, DRAWS):
        return _drawing(value)
    if isinstance(value, Iterator) and type(value).__module__ in OF_PYTHON:
        return Inside(lambda: place_of(value))
    return None


def copied(value: Any) -> Any:
    """An iterator that goes on as another one, from where that is now; itself where none can."""
    if not isinstance(value, APART):
        return value
    try:
        with _without_warnings():
            return copy.copy(value)
    except TypeError:  # of those of `itertools`, from Python 3.14 on
        return value


def place_of(iterator: Any, deep: int = DEEP) -> Any:
    """How far an iterator has gone, as far as it says; equal when nothing was taken from it."""
    if isinstance(iterator, types.GeneratorType):
        frame = iterator.gi_frame
        if frame is None:
            return None
        local = {name: _told(x, deep) for name, x in frame.f_locals.items()}
        return frame.f_lasti, local, _told(iterator.gi_yieldfrom, deep)
    if isinstance(iterator, itertools.count):
        return repr(iterator)
    try:
        with _without_warnings():
            told = iterator.__reduce__()
    except TypeError:  # as of a file, and of `itertools` from Python 3.14 on
        return None
    return _told(told, deep)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Leaves out what Python says from 3.12 on where iterators of `itertools` are copied."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _told(x: Any, deep: int) -> Any:
    if x is None or isinstance(x, int | float | str | range):
        return x
    if isinstance(x, tuple):
        return tuple(_told(part, deep) for part in x)
    if isinstance(x, list | collections.deque):
        return id(x), len(x)
    return place_of(x, deep - 1) if isinstance(x, Iterator) and deep else id(x)


@contextlib.contextmanager
def heard_draws() -> Iterator[Callable[[], bool]]:
    """Keeps the random numbers of Python and NumPy going on as they would.

    Yields:
        Tells whether any were drawn.
    """
    sources = [_drawing(random._inst), _drawing(np.random.mtrand._rand)]
    before = [source.read() for source in sources]

    def drew() -> bool:
        pairs = zip(sources, before, strict=True)
        return not all(source.same(source.read(), state) for source, state in pairs)

    try:
        yield drew
    finally:
        for source, state in zip(sources, before, strict=True):
            if source.put is not None:
                source.put(state)


def _refill(live: Any) -> Callable[[Any], object]:
    def put(before: Any) -> None:
        live.clear()
        live.update(before)

    return put


def _fresh(times: int) -> list[object]:
    return [object() for _ in range(times)]


def _rewrite(live: Any) -> Callable[[Any], object]:
    def put(before: Any) -> None:
        live[... if isinstance(live, np.ndarray) else slice(None)] = before

    return put


def _further(live: Any) -> Callable[[Any, int], object]:
    def grow(before: Any, times: int) -> None:
        if live.dtype.kind in "iufc" and live.shape == before.shape:
            live[...] = live + times * (live - before)

    return grow


def _equal(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))


def _drawing(source: Any) -> Inside:
    """The state of a source of random numbers."""
    if isinstance(source, random.Random):
        return Inside(source.getstate, source.setstate)
    if isinstance(source, np.random.RandomState):
        return Inside(source.get_state, source.set_state, same=_alike)

    def put(state: Any) -> None:
        source.bit_generator.state = state

    return Inside(lambda: source.bit_generator.state, put, same=_alike)


def _alike(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)
