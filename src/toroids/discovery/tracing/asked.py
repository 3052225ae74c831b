"""What a forward asks in Python about its inputs, noted while it runs.

A trace follows one answer to `if x.shape[1] == 7`. A call that hands out lengths which note what
they are compared with tells what was asked, in networks of any size, and so where to look again.
"""

import dis
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import CodeType, FrameType
from typing import Any

import sympy
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from toroids.discovery.tracing.assumed import excluded
from toroids.discovery.tracing.example import Axis, Example

MOST = 200  # questions that are noted in one call
LONGEST = 512  # numbers in code that may be lengths
MEASURES = {"size", "numel", "nelement", "__len__"}
LAYOUTS = {"is_contiguous", "stride", "data_ptr", "storage_offset"}
TYPES = {"is_floating_point", "type", "element_size", "itemsize"}
BETWEEN = ("torch.overrides", "torch._tensor")  # modules through which functions of PyTorch pass
OURS = ("torch.", "toroids.evaluation.", "toroids.discovery.")  # whose questions decide nothing
CALLER = "toroids.discovery.tracing.trace"  # which calls the module
ATTRIBUTES = {
    Tensor.shape: "shape",
    Tensor.nbytes: "nbytes",
    Tensor.dtype: "dtype",
    Tensor.ndim: "dim",
}


def symbol_of(axis: Axis) -> sympy.Symbol:
    """The length of an axis of the inputs, as conditions name it."""
    return sympy.Symbol(f"n{axis[0]}_{axis[1]}", integer=True, positive=True)


@dataclass(frozen=True)
class Question:
    """What was asked of lengths.

    Attributes:
        place: the code that asked, and where in it.
        condition: of the symbols of axes, true where it was asked.
        example: where it was asked.
        guessed: whether it is only one of those that the code may have asked.
    """

    place: tuple[CodeType, int]
    condition: sympy.Basic
    example: Example
    guessed: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from others, whatever the answer."""
        either = sorted((str(self.condition), str(sympy.Not(self.condition))))
        return (*self.place, *either)

    def otherwise(self) -> Iterator[Example]:
        """Examples near by at which the answer is the other one.

        Yields:
            One where an axis has another length; one where all axes of the same length have.
        """
        axes = {symbol_of(axis): axis for axis in self.example.axes}
        numbers = {x: self.example.size(axes[x]) for x in self.condition.free_symbols}
        for choice in excluded([self.condition], numbers):
            sizes = {axes[x]: n for x, n in choice.items()}
            yield self.example.resized(sizes)
            before = {self.example.size(axis): n for axis, n in sizes.items()}
            size = self.example.size
            alike = {a: before[size(a)] for a in self.example.axes if size(a) in before}
            if alike != sizes:
                yield self.example.resized(alike)


@dataclass
class Asked:
    """What calls have asked.

    Attributes:
        questions: of lengths.
        layout: whether it was asked how entries lie in memory.
        kind: whether it was asked which type an input or a value has.
        rank: whether it was asked how many axes there are.
        path: what was called, in order, on what the module holds and on which numbers; lengths
            count alike.
    """

    questions: dict[Any, Question] = field(default_factory=dict)
    layout: bool = False
    kind: bool = False
    rank: bool = False
    path: int = 0

    def add(self, other: "Asked") -> None:
        """Adds what another call has asked."""
        self.questions = other.questions | self.questions
        self.layout |= other.layout
        self.kind |= other.kind
        self.rank |= other.rank

    def unanswered(self) -> list[Question]:
        """Questions that were answered one way only."""
        first: dict[Any, Question] = {}
        answers: dict[Any, set[sympy.Basic]] = {}
        for question in self.questions.values():
            first.setdefault(question.key, question)
            answers.setdefault(question.key, set()).add(question.condition)
        found = [question for key, question in first.items() if len(answers[key]) == 1]
        return sorted(found, key=lambda question: question.guessed)


class Asking(TorchFunctionMode):
    """Notes in `asked` what code outside PyTorch asks of tensors while the mode is on."""

    def __init__(
        self, asked: Asked, example: Example, inputs: Sequence[Tensor], held: Callable[[], Any]
    ) -> None:
        """Takes the tensors that the module is called with, and what gives those that it holds."""
        super().__init__()
        self.asked, self.example = asked, example
        self._inputs = {id(x): i for i, x in enumerate(inputs)}
        self._held = held
        self._ids: dict[int, int] | None = None
        self._open = True

    def __exit__(self, *error: Any) -> None:
        """Notes nothing any more: a length may be kept somewhere."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._open = False

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs a function of PyTorch; lengths that it gives to the user's code are noted."""
        self._follow(func, args, kwargs)
        self._ask_of_handler((args, kwargs), sys._getframe(1))
        result = func(*args, **(kwargs or {}))
        name = _name(func)
        if name is None or not args or not isinstance(args[0], Tensor):
            return result
        frame = _asking(sys._getframe(1))
        if frame is None:
            return result
        if name in ("shape", "nbytes", *MEASURES):
            return self._lengths(name, args[0], result, frame)
        self.asked.layout |= name in LAYOUTS
        self.asked.kind |= name in TYPES or name == "dtype"
        self.asked.rank |= name == "dim"
        return result

    def _follow(self, func: Any, args: Any, kwargs: Any) -> None:
        if self._ids is None:
            self._ids = {id(held): number for number, held in enumerate(self._held())}
        name = getattr(func, "__qualname__", "") or str(func)
        leaves = (self._told(x) for x in tree_leaves((args, kwargs)))
        self.asked.path = hash((self.asked.path, name, *leaves))

    def _told(self, x: Any) -> Any:
        """What tells an argument from others of the same kind, whatever the lengths."""
        if isinstance(x, Tensor) and self._ids is not None:
            return self._ids.get(id(x))
        if isinstance(x, slice):
            return tuple(map(self._told, (x.start, x.stop, x.step)))
        return str(x) if isinstance(x, int | float | str) and not isinstance(x, Length) else None

    def _lengths(self, name: str, x: Tensor, result: Any, frame: FrameType) -> Any:
        if id(x) in (self._ids or {}):
            return result
        if name == "__len__":  # Python takes whole numbers only: what follows is not seen
            self.ask_of_code(self._term(x, 0), int(x.shape[0]), frame)
            return result
        if 0 in x.shape:  # as what is left of a short input behind its first entries
            for axis in self.example.axes:
                size = self.example.size(axis)
                self._ask_all(symbol_of(axis), size, numbers_in(frame), frame)
            return result
        if isinstance(result, torch.Size):
            return torch.Size([Length(n, self._term(x, i), self) for i, n in enumerate(result)])
        if not isinstance(result, int):
            return result
        if name == "size":
            term = self._guess(result)
            number = self._inputs.get(id(x))
            places = [i for i, n in enumerate(x.shape) if n == result]
            if number is not None and len(places) == 1:
                term = symbol_of((number, places[0]))
            return Length(result, term, self)
        share = result // max(x.numel(), 1)  # bytes of an entry
        return Length(result, sympy.Mul(share, *(self._term(x, i) for i in range(x.ndim))), self)

    def _term(self, x: Tensor, axis: int) -> sympy.Expr:
        number = self._inputs.get(id(x))
        return self._guess(int(x.shape[axis])) if number is None else symbol_of((number, axis))

    def _guess(self, size: int) -> sympy.Expr:
        """A length in the middle of a module in terms of those of the inputs: the same, a share."""
        found = [(axis, self.example.size(axis)) for axis in self.example.axes]
        for axis, n in found:
            if n == size:
                return symbol_of(axis)
        for k, (axis, n) in enumerate(found):
            for other, m in found[k + 1 :]:
                if n * m == size:
                    return symbol_of(axis) * symbol_of(other)
        for axis, n in reversed(found):
            if size > 1 and n > size and n // (n // size) == size:
                return sympy.floor(symbol_of(axis) / (n // size))
        return sympy.Integer(size)

    def ask_of_code(self, term: sympy.Expr, size: int, frame: FrameType) -> None:
        """Asks of a length all that code may ask which names the numbers that it names."""
        asking = _asking(frame)
        if asking is not None and self._open:
            self._ask_all(term, size, numbers_in(asking), asking)

    def _ask_all(
        self, term: sympy.Expr, size: int, numbers: Iterable[int], frame: FrameType
    ) -> None:
        for n in map(sympy.Integer, numbers):
            known = {symbol: sympy.Integer(size) for symbol in term.free_symbols}
            for condition in (
                sympy.Eq(term, n), sympy.Lt(term, n), sympy.Gt(term, n),
                sympy.Eq(sympy.Mod(term, n), 0),
            ):  # fmt: skip
                answer = condition.xreplace(known)
                if answer in (sympy.true, sympy.false):
                    self.ask(frame, condition, bool(answer), guessed=True)

    def _ask_of_handler(self, args: Any, frame: FrameType | None) -> None:
        """Asks of all lengths whether an operator takes them, where code handles what it raises."""
        for code in _callers(frame):
            if not handles(code.f_code) or _asking(code) is not code:
                continue
            leaves = tree_leaves(args)
            numbers = {n for x in leaves if isinstance(x, Tensor) for n in map(int, x.shape)}
            numbers |= {int(x) for x in leaves if isinstance(x, int) and 1 < x <= LONGEST}
            for axis in self.example.axes:
                self._ask_all(symbol_of(axis), self.example.size(axis), numbers, code)

    def ask(
        self,
        frame: FrameType | None,
        condition: sympy.Basic,
        answer: bool,
        guessed: bool = False,
    ) -> None:
        """Notes that a condition was asked."""
        frame = _asking(frame)
        found = self.asked.questions
        if frame is None or not condition.free_symbols or not self._open or len(found) > MOST:
            return
        place = frame.f_code, frame.f_lasti
        held = condition if answer else sympy.Not(condition)
        found.setdefault((place, held), Question(place, held, self.example, guessed))


def _name(func: Any) -> str | None:
    owner = getattr(func, "__self__", None)
    if owner in ATTRIBUTES:
        return ATTRIBUTES[owner]
    name = getattr(func, "__name__", "")
    return name if name in MEASURES | LAYOUTS | TYPES | {"dim", "ndimension"} else None


def _asking(frame: FrameType | None) -> FrameType | None:
    """The code that asks; None where PyTorch does for itself."""
    while frame is not None and frame.f_globals.get("__name__") in BETWEEN:
        frame = frame.f_back
    if frame is None or str(frame.f_globals.get("__name__", "")).startswith(OURS):
        return None
    return frame


def _callers(frame: FrameType | None) -> list[FrameType]:
    """The code that is running, up to what calls the module; none outside of the module."""
    found: list[FrameType] = []
    while frame is not None:
        if frame.f_globals.get("__name__") == CALLER:
            return found
        found.append(frame)
        frame = frame.f_back
    return []


def numbers_in(frame: FrameType) -> Iterator[int]:
    """The whole numbers that code names, as literals or as attributes of modules at hand."""
    code = frame.f_code
    modules = [x for x in frame.f_locals.values() if isinstance(x, nn.Module)]
    named = [vars(module).get(name) for module in modules for name in code.co_names]
    values = [*code.co_consts, *named]
    flat = [x for v in values for x in (v if isinstance(v, tuple | list | frozenset) else [v])]
    flat = [int(x) if isinstance(x, str) and x.isdecimal() and len(x) < 5 else x for x in flat]
    whole = dict.fromkeys(x for x in flat if type(x) is int and 1 <= x <= LONGEST)
    # roots, digits and numbers of bits may have been taken before
    found = [m for n in whole for m in (n, n * n, *((2**n, 2 ** (n - 1)) if n < 10 else ()))]
    yield from dict.fromkeys(n for n in found if n <= LONGEST)


@cache
def handles(code: CodeType) -> bool:
    """Whether code goes on in another way where something fails."""
    return any(step.opname == "CHECK_EXC_MATCH" for step in dis.get_instructions(code))


class Length(int):
    """A length that notes what it is compared with; otherwise the number that it is."""

    term: sympy.Expr
    asking: Asking

    def __new__(cls, number: int, term: sympy.Expr, asking: Asking) -> "Length":
        """Takes the number, and how it follows from the lengths of the inputs."""
        found = super().__new__(cls, number)
        found.term, found.asking = term, asking
        return found

    def __reduce__(self) -> Any:
        """A copy is a number."""
        return int, (int(self),)


def _compared(name: str, relation: Any) -> Any:
    plain = getattr(int, name)

    def method(self: Length, other: Any) -> Any:
        answer = plain(int(self), other)
        if answer is not NotImplemented and isinstance(other, int):
            term = other.term if isinstance(other, Length) else sympy.Integer(int(other))
            condition = relation(self.term, term)
            self.asking.ask(sys._getframe(1), condition, answer)
        return answer

    return method


def _escaping(name: str) -> Any:
    plain = getattr(int, name)

    def method(self: Length, *others: Any) -> Any:
        self.asking.ask_of_code(self.term, int(self), sys._getframe(1))
        return plain(int(self), *others)

    return method


def _calculated(name: str, calculation: Any) -> Any:
    plain = getattr(int, name)

    def method(self: Length, *others: Any) -> Any:
        number = plain(int(self), *others)
        if type(number) is not int:
            return number
        terms = [x.term if isinstance(x, Length) else sympy.Integer(int(x)) for x in others]
        return Length(number, calculation(self.term, *terms), self.asking)

    return method


COMPARED: dict[str, Any] = {
    "__eq__": sympy.Eq, "__ne__": sympy.Ne, "__lt__": sympy.Lt, "__le__": sympy.Le,
    "__gt__": sympy.Gt, "__ge__": sympy.Ge,
}  # fmt: skip
CALCULATED: dict[str, Any] = {
    "__add__": operator.add, "__radd__": operator.add, "__sub__": operator.sub,
    "__rsub__": lambda a, b: b - a, "__mul__": operator.mul, "__rmul__": operator.mul,
    "__floordiv__": lambda a, b: sympy.floor(a / b),
    "__rfloordiv__": lambda a, b: sympy.floor(b / a),
    "__mod__": sympy.Mod, "__rmod__": lambda a, b: sympy.Mod(b, a), "__neg__": operator.neg,
}  # fmt: skip
# What makes something else of a length, as a root, a text or a key, of which no question is seen.
ESCAPES = (
    "__hash__", "__float__", "__str__", "__repr__", "__format__", "__truediv__", "__rtruediv__",
    "__pow__", "__rpow__", "__divmod__", "__lshift__", "__rshift__", "__and__", "__or__", "__xor__",
    "bit_length",
)  # fmt: skip
for _method in ESCAPES:
    setattr(Length, _method, _escaping(_method))
for _method, _relation in COMPARED.items():
    setattr(Length, _method, _compared(_method, _relation))
for _method, _calculation in CALCULATED.items():
    setattr(Length, _method, _calculated(_method, _calculation))
