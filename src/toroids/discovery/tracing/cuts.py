"""Where a call cuts an axis: behind a number that the code names, nothing may be left.

A forward that does something else with `x[:, 20:]` asks nothing of its inputs. On short ones that
part is empty, and no trace shows what becomes of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from torch import Tensor

CUTTING = {"__getitem__", "__setitem__", "split", "unsafe_split", "tensor_split", "diagonal"}


def cuts_of(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Finds the numbers at which a function cuts its first argument.

    Args:
        func: of PyTorch.
        args: what it is called with.
        kwargs: by name.

    Yields:
        The axis, and how long it is where nothing is left behind the cut.
    """
    name = getattr(func, "__name__", "")
    if name not in CUTTING or not args or not isinstance(args[0], Tensor):
        return
    rank = args[0].ndim
    for axis, bound in _by_axis(name, rank, args, kwargs):
        if type(bound) is int and bound and -rank <= axis < rank:  # not one made of lengths
            yield axis % rank, abs(bound)


def _by_axis(
    name: str, rank: int, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[tuple[int, Any]]:
    if name.endswith("item__"):
        for axis, part in _indexed(args[1], rank):
            if isinstance(part, slice):
                yield from ((axis, bound) for bound in (part.start, part.stop))
        return
    named = {key: value for key, value in kwargs.items() if not key.startswith("dim")}
    bounds = next(chain(args[1:2], named.values()), 0)
    if name == "diagonal":
        ends = [*args[2:4], kwargs.get("dim1", 0), kwargs.get("dim2", 1)]
        yield from ((axis, bounds) for axis in ends[:2] if type(axis) is int)
    elif name == "tensor_split" or isinstance(bounds, int):
        axis = args[2] if len(args) > 2 else kwargs.get("dim", 0)
        listed = bounds if isinstance(bounds, list | tuple) else [bounds]
        yield from ((axis, bound) for bound in listed if type(axis) is int)


def _indexed(index: Any, rank: int) -> Iterator[tuple[int, Any]]:
    """The parts of an index, each with the axis on which it lies."""
    parts = index if isinstance(index, tuple) else (index,)
    own = [part for part in parts if part is not None]
    gap = next((i for i, part in enumerate(own) if part is Ellipsis), None)
    if gap is None:
        yield from enumerate(own)
        return
    yield from enumerate(own[:gap])
    after = own[gap + 1 :]
    yield from enumerate(after, rank - len(after))
