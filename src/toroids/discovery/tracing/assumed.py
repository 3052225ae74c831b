"""What a trace with open lengths takes for granted of them: the guards that PyTorch notes.

Where a forward asks in Python how long its inputs are (`if x.shape[1] == 7`), a trace follows one
answer, and notes the other as impossible. The guards tell at which lengths to look again.
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, SupportsInt

import sympy
import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves
from torch.utils._sympy.printers import PythonPrinter

from toroids.discovery.tracing.nearby import choices

MOST = 40  # guards that are looked at
SIMPLE = 30  # operations of an equation that is solved


def guards_of(graph: fx.GraphModule) -> tuple[sympy.Basic, ...]:
    """The conditions on lengths under which a graph was traced.

    Args:
        graph: of a module that was traced with open lengths.

    Returns:
        Conditions; empty where no length is open.
    """
    for node in graph.graph.nodes:
        for value in tree_leaves(node.meta.get("val")):
            sizes = value.shape if isinstance(value, Tensor) else [value]
            for size in sizes:
                if isinstance(size, torch.SymInt):
                    env = size.node.shape_env
                    return tuple(dict.fromkeys(guard.expr for guard in env.guards))
    return ()


def equal_lengths(guards: Sequence[sympy.Basic]) -> dict[sympy.Expr, sympy.Expr]:
    """Lengths that guards say are others, as those of two batches that meet.

    Args:
        guards: of a trace.

    Returns:
        For every such length the one, or the number, that stands for it; for an expression that is
        the same number wherever the trace holds, as `s // 4` below eight, that number.
    """
    found: dict[sympy.Expr, sympy.Expr] = {}
    # simple ones first, of which others are made
    equations = sorted((g for g in guards if isinstance(g, sympy.Eq)), key=sympy.count_ops)
    for guard in equations:
        sides = guard.lhs.xreplace(found), guard.rhs.xreplace(found)
        difference = sides[0] - sides[1]
        symbols = sorted(difference.free_symbols, key=str)
        if not symbols or sympy.count_ops(difference) > SIMPLE:
            continue
        if not difference.is_polynomial(*symbols):
            found |= {a: b for a, b in (sides, sides[::-1]) if b.is_Integer}
            found |= _rounded(difference)
            continue
        for symbol in symbols:
            solved = [x for x in sympy.solve(difference, symbol) if x != 0]
            if len(solved) == 1 and (solved[0].is_Symbol or solved[0].is_Integer):
                found = {old: new.xreplace({symbol: solved[0]}) for old, new in found.items()}
                found[symbol] = solved[0]
                break
    return found


def _rounded(difference: sympy.Expr) -> dict[sympy.Expr, sympy.Expr]:
    """The number that a quotient is, as `(s - 1) // 4`, wherever 6 of it less 18 are zero."""
    terms = dict(difference.expand().as_coefficients_dict())
    number = terms.pop(sympy.S.One, sympy.S.Zero)
    if len(terms) != 1:
        return {}
    ((quotient, times),) = terms.items()
    found = -number / times
    return {quotient: found} if found.is_Integer else {}


def excluded(
    guards: Sequence[sympy.Basic], numbers: Mapping[sympy.Symbol, int]
) -> Iterator[dict[sympy.Symbol, int]]:
    """Lengths that guards exclude, one choice for every guard.

    Args:
        guards: conditions on lengths.
        numbers: lengths for which all of them hold.

    Yields:
        Other numbers for one or two lengths, near by.
    """
    for guard in [g for g in guards if g.free_symbols and g.free_symbols <= numbers.keys()][:MOST]:
        symbols = sorted(guard.free_symbols, key=str)
        named = [int(n) for n in guard.atoms(sympy.Integer)]
        found = choices(symbols, numbers, partial(fails, guard), named)
        yield from itertools.islice(found, 1)


def fails(condition: sympy.Basic, numbers: Mapping[sympy.Symbol, SupportsInt]) -> bool:
    """Whether a condition on lengths does not hold at some of them.

    Args:
        condition: as PyTorch notes it.
        numbers: what lengths are.

    Returns:
        False, too, where that does not follow from the numbers.
    """
    symbols, function = _in_python(condition)
    if function is not None and numbers.keys() >= set(symbols):
        with contextlib.suppress(Exception):
            return function(*(int(numbers[symbol]) for symbol in symbols)) is False
    lengths = {symbol: sympy.Integer(int(n)) for symbol, n in numbers.items()}
    return bool(evaluated(condition, lengths) == sympy.false)


@cache
def _in_python(
    condition: sympy.Basic,
) -> tuple[tuple[sympy.Symbol, ...], Callable[..., Any] | None]:
    """A condition as a function of numbers, which is many times as quick as putting them in.

    Returns:
        The lengths that it takes; and None where Python has no words for the condition.
    """
    symbols = tuple(sorted(condition.free_symbols, key=str))
    try:
        code = f"lambda {', '.join(map(str, symbols))}: {PythonPrinter().doprint(condition)}"
        return symbols, eval(code, {"__builtins__": {}, "max": max, "min": min, "math": math})
    except Exception:  # whatever PyTorch says of what it cannot print
        return symbols, None


def evaluated(expression: sympy.Basic, lengths: Mapping[sympy.Symbol, sympy.Integer]) -> Any:
    """The number that an expression is; None where it is none, as of lengths below zero."""
    try:
        return expression.xreplace(dict(lengths))
    except (ZeroDivisionError, AssertionError, ValueError, TypeError):
        return None
