"""Numbers that know how they follow from the lengths of a module's inputs.

A forward that computes with a length, as `-(-x.shape[2] // 8) % 2`, gets whole numbers and floating
ones as it always does. These carry their formula along, and say when they are compared, taken for
true or false, or made into something that has no formula, as a text.
"""

import math
import operator
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from toroids.discovery.tracing.example import Axis
from toroids.discovery.tracing.middle import Middle, Sizes

# A whole number in a formula that is no place.
NUMBER = re.compile(r"(?<![\w.\[])[0-9]+(?![\w.])")
LONGEST = 300  # characters of a formula: a loop that goes on makes no more of it


@dataclass(frozen=True, eq=False)
class Term:
    """A number, or a condition, as a formula in the lengths of the inputs.

    Attributes:
        text: the formula as Python writes it.
        at: its value where the lengths are others.
        lengths: those in the formula: axes of inputs, and lengths in the middle of the module.
    """

    text: str
    at: Callable[[Sizes], Any]
    lengths: frozenset[Axis | Middle]

    @property
    def axes(self) -> list[Axis]:
        """On whose lengths it depends."""
        parts = [x.formula.axes if isinstance(x, Middle) else (x,) for x in self.lengths]
        return sorted({axis for axes in parts for axis in axes})

    @property
    def numbers(self) -> list[int]:
        """The whole numbers in it that are no places."""
        return [int(n) for n in NUMBER.findall(self.text)]

    @property
    def picks(self) -> bool:
        """Whether it is made to be one of a few numbers, as a remainder is."""
        return any(symbol in self.text for symbol in ("%", "&"))

    @property
    def is_inside(self) -> bool:
        """Whether there is a length in the middle of the module in it."""
        return any(isinstance(length, Middle) for length in self.lengths)

    def is_true(self, sizes: Sizes) -> bool | None:
        """Whether it is true at other lengths; None where it has no value."""
        try:
            return bool(self.at(sizes))
        except (ArithmeticError, ValueError, TypeError, MemoryError):
            return None


class Listener(Protocol):
    """What is told how numbers are used, and by which code."""

    def born(self, number: Any, frame: FrameType, calculated: bool) -> None:
        """Notes a number that has a formula."""

    def used(self, number: Any, frame: FrameType) -> None:
        """Notes that more is calculated with a number."""

    def ask(self, frame: FrameType, condition: Term, answer: bool) -> None:
        """Notes that code asked for a condition."""

    def ask_of_code(self, term: Term, frame: FrameType) -> None:
        """Notes that code made something of a number which says no more."""


class Length(int):
    """A whole number with its formula."""

    term: Term
    listener: Listener

    def __reduce__(self) -> Any:
        """A copy is a number."""
        return int, (plain(self),)


class Ratio(float):
    """A floating number with its formula."""

    term: Term
    listener: Listener

    def __reduce__(self) -> Any:
        """A copy is a number."""
        return float, (plain(self),)


def length_of(name: str, axis: Axis) -> Term:
    """The length of an axis of an input that has this name."""
    return Term(f"{name}.shape[{axis[1]}]", operator.itemgetter(axis), frozenset([axis]))


def length_inside(middle: Middle) -> Term:
    """A length in the middle of the module."""
    text = f"value{middle.number}.shape[{middle.position}]"
    return Term(text, lambda sizes: middle.formula.at(sizes), frozenset([middle]))


def applied(symbol: str, function: Callable[..., Any], *parts: Any) -> Term:
    """The formula of a function of numbers, of which some may have one.

    Args:
        symbol: how Python writes it: an operator of two numbers, or a name.
        function: computes it.
        parts: numbers or formulas.

    Returns:
        The formula.
    """
    terms = [_term(x) for x in parts]
    texts = [term.text for term in terms]
    binary = len(terms) == 2 and not symbol.isalpha()
    text = f"({texts[0]} {symbol} {texts[1]})" if binary else f"{symbol}({', '.join(texts)})"
    lengths = frozenset[Axis | Middle]().union(*(term.lengths for term in terms))
    return Term(text, lambda sizes: function(*(term.at(sizes) for term in terms)), lengths)


def with_formula(
    number: Any, term: Term, listener: Listener, frame: FrameType, calculated: bool = True
) -> Any:
    """A number that carries its formula; as it is where the formula says nothing, or too much."""
    kind = {int: Length, float: Ratio}.get(type(number))
    if kind is None or not term.lengths or len(term.text) > LONGEST:
        return number
    found: Any = kind(number)
    found.term, found.listener = term, listener
    listener.born(found, frame, calculated)
    return found


def plain(number: Any) -> Any:
    """The number alone."""
    if isinstance(number, Length):
        return int.__int__(number)
    return float.__float__(number) if isinstance(number, Ratio) else number


def _term(x: Any) -> Term:
    if isinstance(x, Term):
        return x
    if isinstance(x, Length | Ratio):
        return x.term
    return Term(repr(x), lambda sizes: x, frozenset())


def _calculated(symbol: str, function: Callable[..., Any], swapped: bool = False) -> Any:
    def method(self: Any, *others: Any) -> Any:
        others = tuple(x for x in others if x is not None)  # as in round(n, None)
        if not all(isinstance(x, int | float) for x in others):
            return NotImplemented
        parts = (*others, self) if swapped else (self, *others)
        frame = sys._getframe(1)
        for part in parts:
            self.listener.used(part, frame)
        found = function(*map(plain, parts))
        return with_formula(found, applied(symbol, function, *parts), self.listener, frame)

    return method


def _asked(symbol: str, function: Callable[..., Any]) -> Any:
    def method(self: Any, *others: Any) -> Any:
        if not all(isinstance(x, int | float) for x in others):
            return NotImplemented
        frame, parts = sys._getframe(1), (self, *others)
        for part in parts:
            self.listener.used(part, frame)
        answer = function(*map(plain, parts))
        self.listener.ask(frame, applied(symbol, function, *parts), answer)
        return answer

    return method


def _is_true(self: Any) -> bool:
    frame, answer = sys._getframe(1), bool(plain(self))
    self.listener.used(self, frame)
    self.listener.ask(frame, self.term, answer)
    return answer


def _escaping(name: str) -> Any:
    def method(self: Any, *others: Any) -> Any:
        frame, number = sys._getframe(1), plain(self)
        self.listener.used(self, frame)
        self.listener.ask_of_code(self.term, frame)
        return getattr(number, name)(*others)

    return method


# What gives another number, with its formula.
BINARY = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "lshift": "<<", "rshift": ">>", "and_": "&", "or_": "|", "xor": "^",
}  # fmt: skip
UNARY: dict[str, Callable[..., Any]] = {
    "neg": operator.neg, "pos": operator.pos, "abs": abs, "invert": operator.invert,
    "round": round, "floor": math.floor, "ceil": math.ceil, "trunc": math.trunc,
}  # fmt: skip
WHOLE = {"bit_length": int.bit_length, "bit_count": int.bit_count}
# What gives an answer.
COMPARED: dict[str, Callable[..., bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip
# What makes something else of a number, as a text or a key, of which no question is seen.
ESCAPES = ("__hash__", "__int__", "__float__", "__str__", "__repr__", "__format__")


def _install() -> None:
    methods: dict[str, Any] = {name: _escaping(name) for name in ESCAPES}
    for name, symbol in BINARY.items():
        function, short = pow if name == "pow" else getattr(operator, name), name.strip("_")
        methods[f"__{short}__"] = _calculated(symbol, function)
        methods[f"__r{short}__"] = _calculated(symbol, function, swapped=True)
    for name, function in UNARY.items():
        methods[f"__{name}__"] = _calculated(name, function)
    for symbol, function in COMPARED.items():
        methods[f"__{function.__name__}__"] = _asked(symbol, function)
    methods["__bool__"] = _is_true
    methods["__divmod__"] = lambda self, other: (self // other, self % other)
    methods["__rdivmod__"] = lambda self, other: (other // self, other % self)
    of_one: dict[type, dict[str, Any]] = {
        Length: {name: _calculated(name, function) for name, function in WHOLE.items()},
        Ratio: {"is_integer": _asked("is_integer", float.is_integer)},
    }
    for kind, more in of_one.items():
        for name, method in (methods | more).items():
            setattr(kind, name, method)


_install()
