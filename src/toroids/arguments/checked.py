"""Arguments of the kinds that the signature of a function says: checked here, and only here.

`checked` reads the annotations of a public function, and refuses what is of another kind in one
sentence, before the function is entered. What a kind leaves open (ranges, names of methods, what
two arguments demand of each other) the function itself checks.
"""

import functools
import inspect
import types
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ParamSpec, TypeVar, cast

from toroids.arguments.annotations import rule_of
from toroids.arguments.rule import Rule
from toroids.errors import (
    ArgumentError,
    DataArgumentError,
    NotEnoughMemory,
    ToroidsError,
    first_line,
    is_out_of_memory,
    said,
)

P = ParamSpec("P")


R = TypeVar("R")


K = TypeVar("K")


def checked(function: Callable[P, R], error: type[ArgumentError] = ArgumentError) -> Callable[P, R]:
    """Makes a function refuse arguments of other kinds than its annotations say.

    Args:
        function: public; also the `__init__` of a class.
        error: what is raised; or a ParamsError where networks are wrong.

    Returns:
        The same function, which raises an error first, and says in one sentence where the memory
        does not suffice.
    """
    signature = inspect.signature(function)
    rules = dict(_rules((p.name, p.annotation) for p in signature.parameters.values()))

    call = functools.partial(_call, function, signature, rules, error)

    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return call(*args, **kwargs)

    # with the globals of the function's own module, where doctest looks for functions
    made = types.FunctionType(
        wrapper.__code__, function.__globals__, function.__name__, None, wrapper.__closure__
    )
    return cast(Callable[P, R], functools.wraps(function)(made))


def checked_data(function: Callable[P, R]) -> Callable[P, R]:
    """Makes a function that makes data refuse arguments, as `checked`, by a DataError."""
    return checked(function, DataArgumentError)


def _call(
    function: Callable[..., R],
    signature: inspect.Signature,
    rules: Mapping[str, Rule],
    error: type[ArgumentError],
    *args: Any,
    **kwargs: Any,
) -> R:
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # too few or too many: Python itself says so
        return function(*args, **kwargs)
    try:
        for name, value in bound.arguments.items():
            if name in rules and value is not signature.parameters[name].default:
                bound.arguments[name] = rules[name].check(name, value, error)
        return function(*bound.args, **bound.kwargs)
    except (RuntimeError, MemoryError) as raised:
        if "without overflow" in said(raised):  # of torch, where a number meets a tensor
            raise ToroidsError(
                f"a number is too large for the precision of the weights ({first_line(raised)}); "
                "pass a smaller one, or wider weights."
            ) from raised
        if isinstance(raised, NotEnoughMemory) or not is_out_of_memory(raised):
            raise
        raise NotEnoughMemory(raised) from raised


def checked_methods(kind: type[K]) -> type[K]:
    """Makes all public methods of a class, and `__init__` where it has one, refuse arguments.

    Args:
        kind: a class; of a dataclass the fields are checked by `check_fields`.

    Returns:
        The same class.
    """
    for name, member in list(vars(kind).items()):
        if name.startswith("_") and name not in ("__init__", "__call__"):
            continue
        if isinstance(member, staticmethod):
            setattr(kind, name, staticmethod(checked(member.__func__)))
        elif isinstance(member, types.FunctionType) and not _is_made(kind, name):
            setattr(kind, name, checked(member))
    return kind


def _is_made(kind: type, name: str) -> bool:
    """Whether a method is what `dataclass` made."""
    return name == "__init__" and is_dataclass(kind)


def check_fields(made: Any, bounded: bool = True) -> None:
    """Refuses fields of a dataclass of other kinds than their annotations say; reads the others.

    Args:
        made: the dataclass.
        bounded: whether numbers are bounded by their names, as arguments are.

    Raises:
        ArgumentError: names the field.
    """
    for name, rule in _fields(cast(Hashable, type(made)), bounded):
        value = getattr(made, name)
        if (read := rule.check(name, value)) is not value:
            object.__setattr__(made, name, read)


@functools.cache
def _fields(kind: Any, bounded: bool) -> tuple[tuple[str, Rule], ...]:
    found = fields(kind)
    rules = (rule_of(x.type, x.name if bounded else "") for x in found)
    return tuple((x.name, rule) for x, rule in zip(found, rules, strict=True) if rule is not None)


def _rules(annotated: Any) -> Iterator[tuple[str, Rule]]:
    for name, annotation in annotated:
        rule = None if annotation is inspect.Parameter.empty else rule_of(annotation, name)
        if rule is not None:
            yield name, rule
