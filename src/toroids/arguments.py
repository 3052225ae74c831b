"""Arguments of the kinds that the signature of a function says: checked here, and only here.

`checked` reads the annotations of a public function, and refuses what is of another kind in one
sentence, before the function is entered. What a kind leaves open (ranges, names of methods, what
two arguments demand of each other) the function itself checks.
"""

import functools
import inspect
import os
import re
import types
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar, Union, cast, get_args, get_origin

import torch
from torch import nn

from toroids.errors import (
    ArgumentError,
    DataArgumentError,
    NotEnoughMemory,
    ParamsError,
    is_out_of_memory,
)

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K")
Params: TypeAlias = Mapping[str, torch.Tensor]

# The largest numbers that are taken, by the name of the argument or option: more is a slip of the
# keyboard, which would use up the memory or never end.
LARGEST = {
    "points": 100_000,
    "resolution": 10_000,
    "workers": 10_000,
    **dict.fromkeys(("depth", "heads", "blocks", "layers"), 100_000),
    **dict.fromkeys(("samples", "orders", "steps", "trials", "probes", "iterations"), 1_000_000),
    **dict.fromkeys(("budget", "corrupt_budget", "candidates", "copies", "replicas"), 1_000_000),
    **dict.fromkeys(("hidden", "widths", "channels", "classes", "size", "width"), 1_000_000),
    **dict.fromkeys(("inputs", "train", "test", "examples", "entries"), 10_000_000),
    "seed": 2**63 - 1,
}
LARGEST_OF_ALL = 10**9  # where nothing else is said
# What makes a thing of a kind, where its name does not tell.
MADE_BY = {
    "SymmetryGroup": "as td.discover(model, inputs) gives it",
    "Toroid": "as td.Toroid(group) makes it",
    "Hypercube": "as td.Hypercube(group) makes it",
    "Probe": "as td.Probe(model, group, inputs) makes it",
    "Evaluator": "as td.Evaluator(model, data) makes it",
    "StudyConfig": "as load_config(path) reads it",
    "dtype": "as torch.bfloat16",
    "Element": "as group.random() gives it",
    "FlipEvaluator": "as td.FlipEvaluator(model, params, data) makes it",
}


@dataclass(frozen=True)
class _Rule:
    """What an argument must be.

    Attributes:
        words: completes "pass ...".
        fits: whether a value is that.
        refuse: raises an error of its own, where there is a better one than the general.
        hint: how to get one.
    """

    words: str
    fits: Callable[[Any], bool]
    refuse: Callable[[str, Any], None] | None = None
    hint: str = ""

    def check(self, name: str, value: Any, error: type[ArgumentError] = ArgumentError) -> None:
        """Raises unless a value fits."""
        if self.fits(value):
            return
        if self.refuse is not None:
            self.refuse(name, value)
        hint = f", {self.hint}" if self.hint else ""
        raise error(name, shown(value), f"pass {self.words}{hint}")


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
    rules: Mapping[str, _Rule],
    error: type[ArgumentError],
    *args: Any,
    **kwargs: Any,
) -> R:
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError:  # too few or too many: Python itself says so
        return function(*args, **kwargs)
    for name in [name for name in given if name in rules]:
        if given[name] is not signature.parameters[name].default:
            rules[name].check(name, given[name], error)
    try:
        return function(*args, **kwargs)
    except (RuntimeError, MemoryError) as raised:
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
    """Refuses fields of a dataclass of other kinds than their annotations say.

    Args:
        made: the dataclass.
        bounded: whether numbers are bounded by their names, as arguments are.

    Raises:
        ArgumentError: names the field.
    """
    for name, rule in _fields(cast(Hashable, type(made)), bounded):
        rule.check(name, getattr(made, name))


@functools.cache
def _fields(kind: Any, bounded: bool) -> tuple[tuple[str, _Rule], ...]:
    found = fields(kind)
    rules = (_rule(x.type, x.name if bounded else "") for x in found)
    return tuple((x.name, rule) for x, rule in zip(found, rules, strict=True) if rule is not None)


def _rules(annotated: Any) -> Iterator[tuple[str, _Rule]]:
    for name, annotation in annotated:
        rule = None if annotation is inspect.Parameter.empty else _rule(annotation, name)
        if rule is not None:
            yield name, rule


def _rule(annotation: Any, name: str) -> _Rule | None:
    """The rule of an annotation; None where it is of a kind that functions check themselves."""
    if annotation is Any:
        return None
    if annotation is int:
        return _whole(LARGEST.get(name, LARGEST_OF_ALL))
    if annotation in SIMPLE:
        return SIMPLE[annotation]
    if annotation == Params:
        return _Rule("tensors by name", _are_params, _refuse_params)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:  # which of them, functions check themselves
        return _Rule(f"one of {', '.join(map(repr, args))}", SIMPLE[str].fits)
    if origin in (Union, types.UnionType):
        kinds = [each for each in args if each is not str or Path not in args]
        return _any_of([_rule(each, name) for each in kinds])
    if origin is Callable:
        return _function(args[0])
    if origin in (dict, Mapping):
        return _named(_rule(args[1], name))
    if origin is Iterable and args[0] is str:
        return _Rule("names", _are_names)
    if origin in (tuple, list, Sequence, frozenset):
        return _several(origin, args, name)
    named = isinstance(annotation, type) and origin is None and not _is_protocol(annotation)
    if named and not issubclass(annotation, torch.Tensor | str):
        kind = annotation.__name__
        hint = MADE_BY.get(kind, "")
        article = "an" if kind[0] in "AEIOU" else "a"
        return _Rule(f"{article} {kind}", lambda value: isinstance(value, annotation), hint=hint)
    return None


def _function(arguments: Any) -> _Rule:
    count = len(arguments) if isinstance(arguments, list) else None
    words = "a function" if count is None else f"a function of {count} arguments"

    return _Rule(words, lambda value: takes(value, count) if count is not None else callable(value))


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


def _any_of(rules: Sequence[_Rule | None]) -> _Rule | None:
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules):
        return None
    words = " or ".join(rule.words for rule in known)
    own = next((rule.refuse for rule in known if rule.refuse is not None), None)
    hint = next((rule.hint for rule in known if rule.hint), "")
    return _Rule(words, lambda value: any(rule.fits(value) for rule in known), own, hint)


def _named(each: _Rule | None) -> _Rule:
    """A mapping, whose names are texts and whose values are of a kind, where that is known."""

    def fits(value: Any) -> bool:
        if not isinstance(value, Mapping):
            return False
        named = all(isinstance(name, str) for name in value)
        return each is None or (named and all(map(each.fits, value.values())))

    words = "a dict" if each is None else f"a dict of {_plural(each.words)}"
    return _Rule(words, fits)


def _several(origin: Any, args: tuple[Any, ...], name: str) -> _Rule | None:
    if origin is tuple and args[-1] is not ...:
        return _tuple([_rule(each, name) for each in args])
    if args[0] == Params:
        return _Rule("a list of state dicts", _are_networks, _refuse_networks)
    each, is_set = _rule(args[0], name), origin is frozenset
    if each is None:
        return _Rule("a list", lambda value: _items(value) is not None)

    def fits(value: Any) -> bool:
        if is_set and not isinstance(value, frozenset | set):
            return False
        items = value if is_set else _items(value)
        return items is not None and all(map(each.fits, items))

    return _Rule(f"a {'frozenset' if is_set else 'list'} of {_plural(each.words)}", fits)


def _plural(words: str) -> str:
    """Of "a number up to 3" "numbers up to 3"; what has no article stays as it is."""
    if words[0].isdigit():
        return f"lists of {words}"
    if found := re.match(r"a (list|dict|frozenset) of ", words):
        return f"{found[1]}s of {words[found.end() :]}"
    return re.sub(r"^an? (.*?)( up to .*| below .*| that .*|$)", r"\1s\2", words, count=1)


def _tuple(rules: Sequence[_Rule | None]) -> _Rule | None:
    # pairs of tensors are data, of which more has to be said
    known = [rule for rule in rules if rule is not None and rule is not SIMPLE[torch.Tensor]]
    if len(known) < len(rules):
        return None

    def fits(value: Any) -> bool:
        if not isinstance(value, tuple | list) or len(value) != len(known):
            return False
        return all(rule.fits(item) for rule, item in zip(known, value, strict=True))

    return _Rule(f"{len(known)} {_plural(known[0].words)}", fits)


def _are_names(value: Any) -> bool:
    listed = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    return listed and (isinstance(value, Iterator) or all(isinstance(x, str) for x in value))


def _items(value: Any) -> Sequence[Any] | None:
    """What a list, a tuple, or an array of one axis holds; None for anything else."""
    if hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1 and not _is_meta(value):
        value = value.tolist()
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else None


def _whole(most: int) -> _Rule:
    limit = f" up to {most:,}" if most < 2**63 - 1 else " below 2^63"
    return _Rule(
        f"a whole number{limit}",
        lambda value: _is_whole(value) and abs(int(value)) <= most,
    )


def _is_whole(value: Any) -> bool:
    if type(value) is int:  # the test of kinds below takes longer
        return True
    return isinstance(value, Integral) and not _is_bool(value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool"  # numpy's as well


def _is_meta(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and (value.is_meta or value.layout != torch.strided)


def _is_number(value: Any) -> bool:
    """Also NaN, which every bound of a function refuses."""
    if not isinstance(value, Real) or _is_bool(value):
        return False
    return not isinstance(value, Integral) or abs(int(value)) < 2**63  # torch takes none larger


def _is_path(value: Any) -> bool:
    if not isinstance(value, str | PathLike) or "\0" in str(value):
        return False
    with suppress(UnicodeEncodeError):  # of half of a character, as "\ud800"
        os.fsencode(value)
        return True
    return False


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


SIMPLE: dict[Any, _Rule] = {
    bool: _Rule("True or False", _is_bool),
    float: _Rule("a number", _is_number),
    str: _Rule("a text", lambda value: isinstance(value, str)),
    Path: _Rule("a path", _is_path),
    type(None): _Rule("None", lambda value: value is None),
    nn.Module: _Rule(
        "an instance of torch.nn.Module", lambda value: isinstance(value, nn.Module),
        lambda name, value: _refuse_module(name, value),
    ),
    torch.Tensor: _Rule(
        "a dense tensor that holds its values",
        lambda value: isinstance(value, torch.Tensor) and not _is_meta(value),
    ),
    torch.Generator: _Rule(
        "a torch.Generator", lambda value: isinstance(value, torch.Generator)
    ),
}  # fmt: skip


def shown(value: Any) -> str:
    """A value as a sentence shows it: as it was written where that is short, else its kind."""
    if isinstance(value, int) and abs(value) > 10**18:
        return "a number of more than 18 digits"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    plain = isinstance(value, int | float | str | bytes | list | tuple | type(None))
    try:
        text = repr(value) if plain else ""
    except ValueError:  # of a number with thousands of digits
        text = ""
    return text if text and len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def _refuse_module(name: str, value: Any) -> None:
    kind = shown(value) if isinstance(value, type) else type(value).__name__
    raise ParamsError(f"the {name}: expected a torch.nn.Module, got {kind}; pass an instance.")


def _are_params(value: Any) -> bool:
    try:
        check_named(value)
    except ParamsError:
        return False
    return True


def _refuse_params(name: str, value: Any) -> None:
    check_named(value, f"the parameters `{name}`" if name != "params" else "the parameters")


def _are_networks(value: Any) -> bool:
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return listed and all(_are_params(each) for each in value)


def _refuse_networks(name: str, value: Any) -> None:
    check_several(value, 0, name)
    for number, network in enumerate(value):
        check_named(network, f"number {number} of the {name}")


def check_named(params: object, what: str = "the parameters") -> None:
    """Raises unless `params` holds tensors by name.

    Args:
        params: what came as parameters and buffers.
        what: how the message calls them.

    Raises:
        ParamsError: says what came instead, and how to make parameters of it.
    """
    if not isinstance(params, Mapping):
        advice = "pass tensors by name, as model.state_dict() gives them"
        if isinstance(params, torch.nn.Module):
            advice = "pass its .state_dict()"
        elif isinstance(params, str | Path):
            advice = "pass what td.load_params(path) reads"
        raise ParamsError(f"{what}: expected a state dict, got a {_kind(params)}; {advice}.")
    for name, tensor in params.items():
        if not isinstance(tensor, torch.Tensor):
            raise ParamsError(
                f"`{name}` in {what} is a {_kind(tensor)}; pass a tensor, as torch.as_tensor "
                "makes of an array."
            )
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            kind = "on meta" if tensor.is_meta else str(tensor.layout).removeprefix("torch.")
            kind = "quantized" if tensor.is_quantized else kind
            raise ParamsError(
                f"`{name}` in {what} is {kind}; pass dense tensors that hold their values, as "
                "tensor.to_dense() or tensor.dequantize() makes them."
            )


def check_several(networks: object, least: int, what: str = "networks") -> None:
    """Raises unless several networks came, in order.

    Args:
        networks: what came as a sequence of parameters by name.
        least: how many there must be.
        what: how the message calls them.

    Raises:
        ParamsError: there are fewer, or what came is one network or no sequence.
    """
    if isinstance(networks, Mapping | str) or not isinstance(networks, Sequence):
        raise ParamsError(
            f"the {what} are a {_kind(networks)}; pass a list of state dicts, one per network."
        )
    if len(networks) < least:
        words = {1: "one", 2: "two"}.get(least, str(least))
        raise ParamsError(f"there are {len(networks)} {what}; pass {words} or more.")


def _kind(value: object) -> str:
    return type(value).__name__
