"""Listens to what a forward asks in Python about its inputs, while it runs.

A trace follows one answer to `if x.shape[1] == 7`. A call that hands out lengths which note what
they are asked tells what was asked, in networks of any size, and so where to look again.
"""

import operator
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from toroids.discovery.tracing.asked import Asked, Question
from toroids.discovery.tracing.cuts import cuts_of
from toroids.discovery.tracing.example import Axis, Example
from toroids.discovery.tracing.frames import LONGEST, asking, handlers, numbers_in
from toroids.discovery.tracing.lengths import (
    COMPARED,
    Length,
    Ratio,
    Term,
    applied,
    length_inside,
    length_of,
    plain,
    with_formula,
)
from toroids.discovery.tracing.middle import Middle

MOST = 200  # questions that are guessed in one call
PER_PLACE = 48  # unlike questions of one place in the code, as in a loop
BEFORE = 8  # conditions that are kept of what was asked before another one
ALIKE = 4  # questions of one place that are alike but for the value, of the same length
FAR = 8  # from where on numbers may be bounds of lengths of which no question was heard
VALUES = 6  # small numbers which a number may be that picks one of several things
LISTING = {"unbind", "__iter__"}  # what gives as many tensors as an axis is long
# What makes tensors of a given shape; its numbers tell no path from another.
SHAPING = {"arange", "broadcast_to", "expand", "full", "new_full", "new_ones", "new_zeros", "ones"}
SHAPING |= {"repeat", "reshape", "tile", "unflatten", "view", "zeros"}
MEASURES = {"size", "numel", "nelement", "__len__"}
LAYOUTS = {"is_contiguous", "stride", "data_ptr", "storage_offset"}
TYPES = {"is_floating_point", "type", "element_size", "itemsize"}
ATTRIBUTES = {
    Tensor.shape: "shape",
    Tensor.nbytes: "nbytes",
    Tensor.dtype: "dtype",
    Tensor.ndim: "dim",
}


@dataclass(frozen=True)
class _Unused:
    """A number with a formula, of which nothing was heard since code got it.

    Attributes:
        number: it.
        place: the code, and where in it.
        numbers: what the code names.
        calculated: whether the code made it of others.
    """

    number: Any
    place: tuple[CodeType, int]
    numbers: Sequence[int]
    calculated: bool


class Asking(TorchFunctionMode):
    """Notes in `asked` what code outside PyTorch asks of tensors while the mode is on."""

    def __init__(
        self, asked: Asked, example: Example, inputs: Sequence[Tensor], held: Callable[[], Any]
    ) -> None:
        """Takes the tensors that the module is called with, and what gives those that it holds."""
        super().__init__()
        self.asked, self.example = asked, example
        self._inputs = {id(x): i for i, x in enumerate(inputs)}
        self._give_held = held
        self._held: dict[int, int] | None = None
        self._made: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._unused: dict[int, _Unused] = {}
        self._numbers: dict[int, list[int]] = {}  # of code
        self._sizes = {axis: example.size(axis) for axis in example.axes}
        self._count: Counter[Any] = Counter()
        self._asked: list[tuple[Term, bool]] = []  # of lengths of inputs, in order
        self._open = True

    def __exit__(self, *error: Any) -> None:
        """Notes nothing any more: a length may be kept somewhere."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for unused in list(self._unused.values()):
            self._ask_unused(unused)
        self._unused.clear()
        self._open = False

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs a function of PyTorch; lengths that it gives to the user's code are noted."""
        caller = sys._getframe(1)
        leaves = _leaves(args, []) if kwargs is None else _leaves(kwargs, _leaves(args, []))
        self._follow(func, leaves)
        try:
            result = func(*args, **(kwargs or {}))
        except Exception:
            self._ask_of_handlers(leaves, caller)
            raise
        self._note_cuts(func, args, kwargs or {}, caller)
        self._note_list(func, args, kwargs or {}, caller)
        self._note_made(result)
        name = _name(func)
        if name is None or not args or not isinstance(args[0], Tensor):
            return result
        frame = asking(caller)
        if frame is None:
            return result
        if name in ("shape", "nbytes", *MEASURES):
            return self._lengths(name, args, kwargs or {}, result, frame)
        self.asked.layout |= name in LAYOUTS
        self.asked.kind |= name in TYPES or name == "dtype"
        self.asked.rank |= name == "dim"
        return result

    def _follow(self, func: Any, leaves: Sequence[Any]) -> None:
        """Tells from the path so far, and from what a function is given, what path this is."""
        if self._held is None:
            self._held = {id(x): len(self._inputs) + i for i, x in enumerate(self._give_held())}
        told = [getattr(func, "__qualname__", "") or str(func)]
        shaping = getattr(func, "__name__", "") in SHAPING
        for x in leaves:
            # code may keep what it once made of a length, as a cache of shapes does
            told.append(None if shaping and type(x) is int else self._told(x))
            unused = self._unused.pop(id(x), None)
            if unused is not None and unused.calculated:
                self._ask_values(unused, (0,))
        self.asked.path = hash((self.asked.path, *told))

    def _told(self, x: Any) -> Any:
        """What tells an argument from others of the same kind, whatever the lengths."""
        if isinstance(x, Tensor):
            place = id(x)
            reference, number = self._made.get(place, (None, None))
            if reference is not None and reference() is x:
                return number
            return (self._held or {}).get(place, self._inputs.get(place))
        if isinstance(x, Length | Ratio):
            return plain(x) if x.term.picks or plain(x) == 0 else None
        return str(x) if isinstance(x, int | float | str) else None

    def _note_made(self, result: Any) -> None:
        """Tells what a function gives from all else by the path up to there."""
        parts = result if isinstance(result, list | tuple) else [result]
        made = [part for part in parts if isinstance(part, Tensor)]
        if any(0 in part.shape for part in made):  # of which a path may show nothing
            self.asked.path = hash((self.asked.path, *(0 in part.shape for part in made)))
        for i, part in enumerate(made):
            self._made[id(part)] = weakref.ref(part), hash((self.asked.path, i))

    def _note_cuts(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], frame: FrameType
    ) -> None:
        """Asks whether there is more of an axis than what a number cuts off."""
        for axis, bound in cuts_of(func, args, kwargs):
            if id(args[0]) not in (self._held or {}):
                more = applied(">", operator.gt, self._term(args[0], axis), bound)
                self._note(_place(frame), more, args[0].shape[axis] > bound, cuts=True)

    def _note_list(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], frame: FrameType
    ) -> None:
        """Asks what code may ask of a list that is as long as an axis, where nobody hears it."""
        code = asking(frame) if getattr(func, "__name__", "") in LISTING else None
        if code is None or id(args[0]) in (self._held or {}):
            return
        axis = args[1] if len(args) > 1 else kwargs.get("dim", 0)
        term = self._term(args[0], axis % args[0].ndim)
        self.asked.told |= term.lengths
        for n in self._of_code(code):
            if n >= FAR:
                self._note(_place(code), applied(">", operator.gt, term, n))

    def _lengths(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        result: Any,
        frame: FrameType,
    ) -> Any:
        x = args[0]
        if id(x) in (self._held or {}):
            return result
        if name == "__len__":  # Python takes whole numbers only: what follows is not seen
            self.ask_of_code(self._term(x, 0), frame)
            return result
        if 0 in x.shape:  # as what is left of a short input behind its first entries
            for axis in self.example.axes:
                self.ask_of_code(self._length(axis), frame)
            return result
        if isinstance(result, torch.Size):
            return torch.Size(
                [
                    with_formula(n, self._term(x, i), self, frame, calculated=False)
                    for i, n in enumerate(result)
                ]
            )
        if not isinstance(result, int):
            return result
        if name == "size":
            axis = args[1] if len(args) > 1 else kwargs["dim"]
            return with_formula(result, self._term(x, axis % x.ndim), self, frame, calculated=False)
        share = result // max(x.numel(), 1)  # bytes of an entry
        terms = [self._term(x, i) for i in range(x.ndim)]
        term = reduce(partial(applied, "*", operator.mul), terms, share)
        return with_formula(result, term, self, frame, calculated=False)

    def _length(self, axis: Axis) -> Term:
        return length_of(self.example.names[axis[0]], axis)

    def _term(self, x: Tensor, axis: int) -> Term:
        number = self._inputs.get(id(x))
        if number is not None:
            return self._length((number, axis))
        key = self._told(x), axis, *self.example.axes_per_tensor
        middles = self.asked.middles
        middle = middles.setdefault(key, Middle(len(middles), axis))
        middle.see(self._sizes, int(x.shape[axis]))
        return length_inside(middle)

    def born(self, number: Any, frame: FrameType, calculated: bool) -> None:
        """Notes a number that code gets; what is asked of it is still to come."""
        code = asking(frame)
        if code is not None and self._open:
            self.asked.told |= number.term.lengths
            self._unused[id(number)] = _Unused(
                number, _place(code), self._of_code(code), calculated
            )

    def _of_code(self, frame: FrameType) -> list[int]:
        place = id(frame.f_code)
        if place not in self._numbers:
            self._numbers[place] = numbers_in(frame)
        return self._numbers[place]

    def used(self, number: Any, frame: FrameType) -> None:
        """Notes that code compares a number, or calculates with it."""
        if asking(frame) is not None:
            self._unused.pop(id(number), None)

    def ask(self, frame: FrameType, condition: Term, answer: bool) -> None:
        """Notes that a condition was asked."""
        code = asking(frame)
        if code is not None:
            self._note(_place(code), condition, answer)

    def ask_of_code(self, term: Term, frame: FrameType) -> None:
        """Asks of a length all that code may ask which names the numbers that it names."""
        code = asking(frame)
        if code is not None:
            self.asked.told |= term.lengths
            named = self._of_code(code)
            # roots, digits and numbers of bits may have been taken before
            more = [m for n in named for m in (n * n, *((2**n, 2 ** (n - 1)) if n < 10 else ()))]
            self._ask_all(term, dict.fromkeys([*named, *(n for n in more if n <= LONGEST)]), code)

    def _ask_all(self, term: Term, numbers: Iterable[int], frame: FrameType) -> None:
        for n in numbers:
            for symbol in ("==", "<", ">"):
                self._note(_place(frame), applied(symbol, COMPARED[symbol], term, n))
            rest = applied("%", operator.mod, term, n)
            self._note(_place(frame), applied("==", operator.eq, rest, 0))

    def _ask_of_handlers(self, leaves: Sequence[Any], frame: FrameType) -> None:
        """Asks of all lengths whether an operator takes them, where code handles what it raised."""
        for code in handlers(frame):
            numbers = {n for x in leaves if isinstance(x, Tensor) for n in map(int, x.shape)}
            numbers |= {plain(x) for x in leaves if isinstance(x, int) and 1 < x <= LONGEST}
            for axis in self.example.axes:
                self._ask_all(self._length(axis), numbers, code)

    def _ask_unused(self, unused: _Unused) -> None:
        """Asks what may have been asked of a number where nobody hears it.

        So one may that picks an entry of a list, or counts a loop, or is compared with a fraction.
        """
        if unused.calculated and (unused.number.term.picks or plain(unused.number) < VALUES):
            self._ask_values(unused, range(VALUES))
        for n in unused.numbers:
            if n >= FAR:
                self._note(unused.place, applied(">", operator.gt, unused.number, n))

    def _ask_values(self, unused: _Unused, values: Iterable[int]) -> None:
        for value in values:
            self._note(unused.place, applied("==", operator.eq, unused.number, value))

    def _note(
        self,
        place: tuple[CodeType, int],
        condition: Term,
        answer: bool | None = None,
        cuts: bool = False,
    ) -> None:
        """Notes a question; without an answer one that may have been asked."""
        if not condition.lengths or not self._open:
            return
        guessed, before = answer is None, self._before(condition)
        if answer is None:
            answer = condition.is_true(self._sizes)
        elif not cuts and not condition.is_inside:
            self._asked.append((condition, answer))
        key = place, condition.text, answer
        if answer is None or key in self.asked.questions:
            return
        question = Question(place, condition, answer, self.example, guessed, cuts, before)
        asks = "guessed" if guessed else place
        alike = question.like, *sorted(map(self._length_now, condition.lengths))
        self._count[alike] += 1
        self._count[asks] += self._count[alike] == 1
        most = MOST if guessed else PER_PLACE
        if self._count[alike] <= ALIKE and self._count[asks] <= most:
            self.asked.questions[key] = question

    def _before(self, condition: Term) -> tuple[tuple[Term, bool], ...]:
        """What was asked of the same lengths, last."""
        own = condition.lengths
        return tuple(x for x in self._asked if own & x[0].lengths)[-BEFORE:]

    def _length_now(self, length: Axis | Middle) -> int:
        if isinstance(length, Middle):
            return length.formula.at(self._sizes)
        return self._sizes[length]


def _place(frame: FrameType) -> tuple[CodeType, int]:
    """The code, and where in it."""
    return frame.f_code, frame.f_lasti


def _leaves(x: Any, found: list[Any]) -> list[Any]:
    """Adds to a list what lists, tuples and tables hold, however deep."""
    for part in x.values() if isinstance(x, dict) else x:
        if isinstance(part, Tensor):
            found.append(part)
        elif isinstance(part, tuple | list | dict):
            _leaves(part, found)
        elif isinstance(part, slice):
            found += (part.start, part.stop, part.step)
        else:
            found.append(part)
    return found


def _name(func: Any) -> str | None:
    owner = getattr(func, "__self__", None)
    if owner in ATTRIBUTES:
        return ATTRIBUTES[owner]
    name = getattr(func, "__name__", "")
    return name if name in MEASURES | LAYOUTS | TYPES | {"dim", "ndimension"} else None
