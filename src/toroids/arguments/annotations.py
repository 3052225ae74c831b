"""The rule that an annotation says: single values, and lists, dicts and unions of them."""

import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import torch

from toroids.arguments.bounds import LARGEST, LARGEST_OF_ALL, LONGEST
from toroids.arguments.kinds import SIMPLE, function_of, whole
from toroids.arguments.networks import (
    Params,
    are_networks,
    are_params,
    is_hollow,
    refuse_networks,
    refuse_params,
)
from toroids.arguments.rule import Rule, Unfit, where

# What makes a thing of a kind, where its name does not tell.
MADE_BY = {
    "SymmetryGroup": "as td.discover(model, inputs) gives it",
    "Toroid": "as td.Toroid(group) makes it",
    "Hypercube": "as td.geometry.Hypercube(group) makes it",
    "Probe": "as td.probe.Probe(model, group, inputs) makes it",
    "Landscape": "as td.Landscape(model, data) makes it",
    "StudyConfig": "as load_config(path) reads it",
    "dtype": "as torch.bfloat16",
    "Element": "as group.random() gives it",
    "FlipEvaluator": "as td.landscape.FlipEvaluator(model, params, data) makes it",
}


def rule_of(annotation: Any, name: str) -> Rule | None:
    """The rule of an annotation; None where it is of a kind that functions check themselves."""
    if annotation is Any:
        return None
    if annotation is int:
        return whole(LARGEST.get(name, LARGEST_OF_ALL))
    if annotation in SIMPLE:
        return SIMPLE[annotation]
    if annotation == Params:
        return Rule("tensors by name", where(are_params), refuse_params)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:  # its bounds are for `check_settings`
        return rule_of(args[0], name)
    if origin is Literal:  # which of them, functions check themselves
        read = whole(LARGEST_OF_ALL).read if isinstance(args[0], int) else SIMPLE[str].read
        return Rule(f"one of {', '.join(map(repr, args))}", read)
    if origin in (Union, types.UnionType):
        kinds = [each for each in args if each is not str or Path not in args]
        return _any_of([rule_of(each, name) for each in kinds])
    if origin is Callable:
        return function_of(args[0])
    if origin in (dict, Mapping):
        return _named(rule_of(args[1], name))
    if origin is Iterable and args[0] is str:
        return Rule("names", _names)
    if origin in (tuple, list, Sequence, frozenset):
        return _several(origin, args, name)
    named = isinstance(annotation, type) and origin is None and not _is_protocol(annotation)
    if named and not issubclass(annotation, torch.Tensor | str):
        kind = annotation.__name__
        hint = MADE_BY.get(kind, "")
        article = "an" if kind[0] in "AEIOU" else "a"
        is_one = where(lambda value: isinstance(value, annotation))
        return Rule(f"{article} {kind}", is_one, hint=hint)
    return None


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _any_of(rules: Sequence[Rule | None]) -> Rule | None:
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules):
        return None
    words = " or ".join(dict.fromkeys(rule.words for rule in known))
    own = next((rule.refuse for rule in known if rule.refuse is not None), None)
    hint = next((rule.hint for rule in known if rule.hint), "")

    def read(value: Any) -> Any:
        found, unfit = [], Unfit()
        for rule in known:
            try:
                found.append(rule.read(value))
            except Unfit as error:
                unfit = error if error.args else unfit
        if not found:
            raise unfit
        return value if any(each is value for each in found) else found[0]

    return Rule(words, read, own, hint)


def _named(each: Rule | None) -> Rule:
    """A mapping, whose names are texts and whose values are of a kind, where that is known."""

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Unfit
        if each is None:
            return value
        if not all(isinstance(name, str) for name in value):
            raise Unfit
        found = {name: each.read(item) for name, item in value.items()}
        return value if _same(found.values(), value.values()) else found

    words = "a dict" if each is None else f"a dict of {_plural(each.words)}"
    return Rule(words, read)


def _several(origin: Any, args: tuple[Any, ...], name: str) -> Rule | None:
    if origin is tuple and args[-1] is not ...:
        return _tuple([rule_of(each, name) for each in args])
    if args[0] == Params:
        return Rule("a list of state dicts", where(are_networks), refuse_networks)
    each, is_set = rule_of(args[0], name), origin is frozenset
    if each is None:
        return Rule("a list", _items)

    def read(value: Any) -> Any:
        if is_set and not isinstance(value, frozenset | set):
            raise Unfit
        items = value if is_set else _items(value)
        found = [each.read(item) for item in items]
        if _same(found, items):
            return items
        return frozenset(found) if is_set else tuple(found)

    return Rule(f"a {'frozenset' if is_set else 'list'} of {_plural(each.words)}", read)


def _same(found: Iterable[Any], items: Iterable[Any]) -> bool:
    return all(a is b for a, b in zip(found, items, strict=True))


def _plural(words: str) -> str:
    """Of "a number up to 3" "numbers up to 3"; what has no article stays as it is."""
    if words[0].isdigit():
        return f"lists of {words}"
    if found := re.match(r"a (list|dict|frozenset) of ", words):
        return f"{found[1]}s of {words[found.end() :]}"
    return re.sub(r"^an? (.*?)( up to .*| below .*| that .*|$)", r"\1s\2", words, count=1)


def _tuple(rules: Sequence[Rule | None]) -> Rule | None:
    # pairs of tensors are data, of which more has to be said
    known = [rule for rule in rules if rule is not None and rule is not SIMPLE[torch.Tensor]]
    if len(known) < len(rules):
        return None

    def read(value: Any) -> Any:
        if not isinstance(value, tuple | list) or len(value) != len(known):
            raise Unfit
        found = tuple(rule.read(item) for rule, item in zip(known, value, strict=True))
        return value if _same(found, value) else found

    return Rule(f"{len(known)} {_plural(known[0].words)}", read)


def _names(value: Any) -> Any:
    """Any iterable of texts; one that is no collection as a list, since it is read only once."""
    if isinstance(value, str | bytes | torch.Tensor) or not isinstance(value, Iterable):
        raise Unfit
    if getattr(value, "ndim", 1) == 0:  # an array, which says that it is iterable
        raise Unfit
    names: list[str] = []
    for name in value:
        if not isinstance(name, str):
            raise Unfit
        if len(names) == LONGEST:
            raise _too_long(value)
        names.append(name)
    return value if isinstance(value, Sequence | Set | Mapping) else names


def _items(value: Any) -> Sequence[Any]:
    """A list or a tuple, or what an array of one axis holds."""
    is_array = hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1 and not is_hollow(value)
    if not is_array and (not isinstance(value, Sequence) or isinstance(value, str | bytes)):
        raise Unfit
    try:
        short = len(value) <= LONGEST
    except OverflowError:  # of a range
        short = False
    if not short:
        raise _too_long(value)
    return cast(Sequence[Any], value.tolist() if is_array else value)


def _too_long(value: Any) -> Unfit:
    return Unfit(f"a {type(value).__name__} of more than {LONGEST:,}", "pass a shorter list")
