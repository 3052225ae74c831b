"""The numbers that the lengths of a traced module's inputs stand for."""

import itertools
from collections.abc import Mapping
from functools import cache
from typing import Any

import sympy
import torch

from toroids.discovery.axes.values import OpenFloat, OpenInt
from toroids.discovery.tracing.assumed import evaluated, fails
from toroids.discovery.tracing.example import Axis, Example
from toroids.discovery.tracing.program import Program


@cache
def varies(expression: sympy.Expr) -> bool:
    """Whether an expression of lengths depends on them, as 16 s // (4 s) does not."""
    found = {evaluated(expression, lengths) for lengths in probes(expression)} - {None}
    return len(found) != 1


@cache
def probes(expression: sympy.Expr) -> tuple[dict[sympy.Symbol, sympy.Integer], ...]:
    """Unlike lengths, short and long ones, and those near the numbers of an expression."""
    # where max(0, s - 100) or s == 77 are something else, a number in them says
    symbols = sorted(expression.free_symbols, key=str)
    near = {int(x) for x in expression.atoms(sympy.Integer) if 1 < abs(x) < 2**31}
    firsts = [5, 12, 41, *sorted({abs(n) + k for n in near for k in (-1, 0, 1)}), 1009, 100_003]
    spread = [{x: first + 6 * n + n % 2 for n, x in enumerate(symbols)} for first in firsts]
    apart = [dict.fromkeys(symbols, 12) | {x: n} for x in symbols for n in (12, 2003)]
    lengths = [
        one
        for one in (*spread, *(apart if len(symbols) > 1 else []))
        if all(size > 0 for size in one.values())
    ]
    return tuple({x: sympy.Integer(size) for x, size in one.items()} for one in lengths)


class Sizes:
    """The numbers that lengths stand for, in one call of a traced module.

    A length that depends on data, as the number of entries that are not zero, stands for a number
    of its own.
    """

    def __init__(self, program: Program, sizes: Mapping[Axis, int] | None = None) -> None:
        """Takes the lengths of the example, or others."""
        self._numbers: dict[sympy.Symbol, sympy.Integer] = {}
        self._equal = program.equal
        self._known: dict[sympy.Expr, Any] = {}
        self._data = itertools.count(101, 2)
        for axis, length in program.lengths.items():
            size = program.example.size(axis) if sizes is None else sizes[axis]
            for symbol in length.free_symbols - self._numbers.keys():
                found = sympy.solve(sympy.Eq(length, size), symbol) if length != symbol else [size]
                if len(length.free_symbols) == 1 and found:
                    self._numbers[symbol] = sympy.Integer(found[0])

    def __call__(self, x: Any) -> Any:
        """A size as a number, open where it depends on the inputs; anything else as it is."""
        if not isinstance(x, torch.SymInt | torch.SymFloat | torch.SymBool):
            return x
        expression = x.node.expr.xreplace(self._equal)
        if expression not in self._known:
            for symbol in sorted(expression.free_symbols - self._numbers.keys(), key=str):
                self._numbers[symbol] = sympy.Integer(next(self._data))
            number = expression.xreplace(self._numbers)
            self._known[expression] = _number(x, expression, number)
        return self._known[expression]

    def of(self, expression: sympy.Expr) -> Any:
        """The number that an expression of lengths is."""
        return evaluated(expression, self._numbers)

    def elsewhere(self, program: Program, expression: sympy.Expr) -> dict[Axis, int] | None:
        """Lengths that the trace allows at which an expression is another number, if there are."""
        now = self.of(expression)
        for lengths in probes(expression):
            numbers = self._numbers | lengths
            if evaluated(expression, numbers) != now and _allows(program, numbers):
                return {axis: int(own.xreplace(numbers)) for axis, own in program.lengths.items()}
        return None


def _number(x: Any, expression: sympy.Expr, number: sympy.Basic) -> Any:
    """What a symbolic number is, marked where it depends on lengths."""
    if isinstance(x, torch.SymFloat):
        return OpenFloat(number).made_by(expression)
    if varies(expression):
        return OpenInt(bool(number) if isinstance(x, torch.SymBool) else number).made_by(expression)
    return bool(number) if isinstance(x, torch.SymBool) else int(number)


def holds_at(program: Program, axis: Axis, size: int) -> bool:
    """Whether the guards of a trace on one length alone hold where it is this one."""
    length = program.lengths[axis]
    return not any(fails(guard, {length: size}) for guard in _alone(program.guards, length))


@cache
def _alone(guards: tuple[sympy.Basic, ...], length: sympy.Expr) -> list[sympy.Basic]:
    """The guards on one length alone."""
    return [guard for guard in guards if guard.free_symbols == {length}]


def relates(program: Program, example: Example) -> bool:
    """Whether the lengths of an example are to each other as a trace takes for granted."""
    numbers: dict[sympy.Symbol, sympy.Integer] = {}
    for axis, length in program.lengths.items():
        size = sympy.Integer(example.size(axis))
        if length.is_Symbol and numbers.setdefault(length, size) != size:
            return False
    several = [guard for guard in program.guards if len(guard.free_symbols) > 1]
    return not any(fails(guard, numbers) for guard in several)


def _allows(program: Program, numbers: Mapping[sympy.Symbol, sympy.Integer]) -> bool:
    """Whether a trace holds where its symbols stand for these numbers."""
    for symbol, number in numbers.items():
        least, most = program.ranges.get(str(symbol), (1, None))
        if number < least or (most is not None and number > most):
            return False
    return not any(fails(guard, numbers) for guard in program.guards)


def other_sizes(program: Program) -> dict[Axis, int]:
    """Lengths of all free axes that differ from the example's, where one more is allowed."""
    found = {}
    for axis, length in program.lengths.items():
        size = program.example.size(axis)
        _, most = program.ranges.get(str(length), (2, size))
        found[axis] = size + 1 if most is None or size < most else size
    return found
