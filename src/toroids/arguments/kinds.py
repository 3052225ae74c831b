"""Rules of single values: numbers, texts, paths, modules, tensors, functions."""

import inspect
import os
import sys
from contextlib import suppress
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toroids.arguments.networks import check_module, is_hollow, passes
from toroids.arguments.rule import Rule, Unfit, where
from toroids.arguments.shown import shown


def whole(most: int) -> Rule:
    """A whole number whose size is bounded."""
    limit = f" up to {most:,}" if most < 2**63 - 1 else " below 2^63"

    def read(value: Any) -> int:
        if not _is_whole(value) or abs(int(value)) > most:
            raise Unfit
        return value if type(value) is int else int(value)

    return Rule(f"a whole number{limit}", read)


def _is_whole(value: Any) -> bool:
    if type(value) is int:  # the test of kinds below takes longer
        return True
    return isinstance(value, Integral) and not _is_bool(value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool"  # numpy's as well


def _number(value: Any) -> Any:
    """Also NaN, which every bound of a function refuses."""
    if not isinstance(value, Real) or _is_bool(value):
        raise Unfit
    if isinstance(value, Integral):
        return whole(2**63 - 1).read(value)  # torch takes none larger
    try:
        return float(value)  # itself where it is Python's own
    except OverflowError:  # of a fraction
        raise Unfit(shown(value), f"pass a number up to {sys.float_info.max:.2g}") from None


def _is_path(value: Any) -> bool:
    if not isinstance(value, str | PathLike) or "\0" in str(value):
        return False
    with suppress(UnicodeEncodeError):  # of half of a character, as "\ud800"
        os.fsencode(value)
        return True
    return False


SIMPLE: dict[Any, Rule] = {
    bool: Rule("True or False", where(_is_bool)),
    float: Rule("a number", _number),
    str: Rule("a text", where(lambda value: isinstance(value, str))),
    Path: Rule("a path", where(_is_path)),
    type(None): Rule("None", where(lambda value: value is None)),
    nn.Module: Rule(
        "an instance of torch.nn.Module", where(lambda value: passes(check_module, value)),
        lambda name, value: check_module(value, f"the {name}"),
    ),
    torch.Tensor: Rule(
        "a dense tensor that holds its values",
        where(lambda value: isinstance(value, torch.Tensor) and not is_hollow(value)),
    ),
    torch.Generator: Rule(
        "a torch.Generator", where(lambda value: isinstance(value, torch.Generator))
    ),
}  # fmt: skip


def function_of(arguments: Any) -> Rule:
    """Something to be called with so many arguments."""
    count = len(arguments) if isinstance(arguments, list) else None
    words = "a function" if count is None else f"a function of {count} arguments"

    return Rule(words, where(callable if count is None else lambda value: takes(value, count)))


def takes(value: Any, count: int) -> bool:
    """Tells whether something can be called with so many arguments, as far as it says so."""
    if not callable(value):
        return False
    try:
        inspect.signature(value).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # written in C: it does not tell
        return not isinstance(value, type)
    return True
