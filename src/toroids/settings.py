"""Settings of a method: what their types say of their bounds holds in Python and in a study file.

A method is a frozen dataclass whose fields have these types. `check_settings` reads the bounds when
one is made in Python; pydantic reads the same ones where a study file sets them.
"""

import math
import operator
import types
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from toroids.arguments.bounds import LARGEST_OF_ALL
from toroids.arguments.checked import check_fields
from toroids.errors import ToroidsError

# The upper bounds only keep slips of the keyboard from asking for what no machine can do.
MOST = 1_000_000
NonNegative: TypeAlias = Annotated[float, Ge(0), Le(MOST)]
Positive: TypeAlias = Annotated[float, Gt(0), Le(MOST)]
Rate: TypeAlias = Annotated[float, Gt(0)]
Seconds: TypeAlias = Annotated[float, Gt(0), Le(LARGEST_OF_ALL)]
Share: TypeAlias = Annotated[float, Ge(0), Lt(1)]
Fraction: TypeAlias = Annotated[float, Ge(0), Le(1)]
Count: TypeAlias = Annotated[int, Ge(1), Le(MOST)]


@dataclass(frozen=True)
class OneOf:
    """One of some words, as a bound in an annotation.

    Attributes:
        names: the words.
    """

    names: tuple[str, ...]


# Marks a field that a study file does not have, as what only Python can pass.
IN_PYTHON = {"study": False}

_KINDS = {int: "a whole number", float: "a number"}
_LIMITS = {
    "gt": (operator.gt, "above"),
    "ge": (operator.ge, "at least"),
    "lt": (operator.lt, "below"),
    "le": (operator.le, "at most"),
}


def check_settings(made: Any) -> None:
    """Refuses fields of a dataclass that are not what their annotations say; reads the others.

    Args:
        made: the dataclass; lists where it has tuples become tuples.

    Raises:
        ToroidsError: names the field, and says what it may be.
    """
    check_fields(made)
    for field in fields(made):
        value = getattr(made, field.name)
        if isinstance(value, list):  # as JSON gives them
            value = tuple(value)
            object.__setattr__(made, field.name, value)
        if get_origin(field.type) is Literal and value not in get_args(field.type):
            choices = get_args(field.type)
            raise ToroidsError(f"there is no {field.name} {value!r}; choose from {choices}.")
        if words := _missed(field.type, value):
            raise ToroidsError(f"{field.name} is {value!r}; pass {words}.")


def _missed(annotation: Any, value: Any) -> str:
    """What a value of the right kind should be; empty where it is that."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType) and type(None) in args:
        rest = [each for each in args if each is not type(None)]
        if value is None or len(rest) > 1:
            return ""
        words = _missed(rest[0], value)
        return f"{words}, or None" if words else ""
    if origin is tuple and args[1:] != (...,):
        found = [_missed(each, item) for each, item in zip(args, value, strict=True)]
        words = next(filter(None, found), "")
        return f"{len(args)}, each {words}" if words else ""
    if origin is not Annotated:
        return ""
    bounds = [
        (*_LIMITS[name], limit) for bound in args[1:] for name, limit in asdict(bound).items()
    ]
    if math.isfinite(value) and all(holds(value, limit) for holds, _, limit in bounds):
        return ""
    return f"{_KINDS[args[0]]} {' and '.join(f'{word} {limit:,}' for _, word, limit in bounds)}"
