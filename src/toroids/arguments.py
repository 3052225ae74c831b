"""Arguments of the kinds that the signature of a function says: checked here, and only here.

`checked` reads the annotations of a public function, and refuses what is of another kind in one
sentence, before the function is entered. What a kind leaves open (ranges, names of methods, what
two arguments demand of each other) the function itself checks.
"""

import functools
import inspect
import os
import re
import sys
import types
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from itertools import chain
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from toroids.errors import (
    ArgumentError,
    DataArgumentError,
    NotEnoughMemory,
    ParamsError,
    ToroidsError,
    first_line,
    is_out_of_memory,
    said,
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
    **dict.fromkeys(
        ("samples", "least", "most", "orders", "steps", "trials", "probes", "iterations"), 1_000_000
    ),
    **dict.fromkeys(("budget", "corrupt_budget", "candidates", "copies", "replicas"), 1_000_000),
    **dict.fromkeys(("hidden", "widths", "channels", "classes", "size", "width"), 1_000_000),
    **dict.fromkeys(("inputs", "train", "test", "examples", "entries"), 10_000_000),
    "seed": 2**63 - 1,
}
LARGEST_OF_ALL = 10**9  # where nothing else is said
LONGEST = 10_000_000  # of lists, which are read item by item
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


class _Unfit(Exception):
    """A value does not fit a rule; what came and what to do, where the rule's words do not tell."""


@dataclass(frozen=True)
class _Rule:
    """What an argument must be.

    Attributes:
        words: completes "pass ...".
        read: gives a value that fits as Python's own numbers and lists, which is the value itself
            where it is made of these; raises _Unfit for any other.
        refuse: raises an error of its own, where there is a better one than the general.
        hint: how to get one.
    """

    words: str
    read: Callable[[Any], Any]
    refuse: Callable[[str, Any], None] | None = None
    hint: str = ""

    def check(self, name: str, value: Any, error: type[ArgumentError] = ArgumentError) -> Any:
        """The value as a function takes it; raises unless it fits."""
        try:
            return self.read(value)
        except _Unfit as unfit:
            if self.refuse is not None:
                self.refuse(name, value)
            hint = f", {self.hint}" if self.hint else ""
            words = unfit.args or (shown(value), f"pass {self.words}{hint}")
        raise error(name, *words)


def _where(fits: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Reads what fits as it is."""

    def read(value: Any) -> Any:
        if not fits(value):
            raise _Unfit
        return value

    return read


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
        return _Rule("tensors by name", _where(_are_params), _refuse_params)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:  # its bounds are for `check_settings`
        return _rule(args[0], name)
    if origin is Literal:  # which of them, functions check themselves
        read = _whole(LARGEST_OF_ALL).read if isinstance(args[0], int) else SIMPLE[str].read
        return _Rule(f"one of {', '.join(map(repr, args))}", read)
    if origin in (Union, types.UnionType):
        kinds = [each for each in args if each is not str or Path not in args]
        return _any_of([_rule(each, name) for each in kinds])
    if origin is Callable:
        return _function(args[0])
    if origin in (dict, Mapping):
        return _named(_rule(args[1], name))
    if origin is Iterable and args[0] is str:
        return _Rule("names", _names)
    if origin in (tuple, list, Sequence, frozenset):
        return _several(origin, args, name)
    named = isinstance(annotation, type) and origin is None and not _is_protocol(annotation)
    if named and not issubclass(annotation, torch.Tensor | str):
        kind = annotation.__name__
        hint = MADE_BY.get(kind, "")
        article = "an" if kind[0] in "AEIOU" else "a"
        is_one = _where(lambda value: isinstance(value, annotation))
        return _Rule(f"{article} {kind}", is_one, hint=hint)
    return None


def _function(arguments: Any) -> _Rule:
    count = len(arguments) if isinstance(arguments, list) else None
    words = "a function" if count is None else f"a function of {count} arguments"

    return _Rule(words, _where(callable if count is None else lambda value: takes(value, count)))


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
    words = " or ".join(dict.fromkeys(rule.words for rule in known))
    own = next((rule.refuse for rule in known if rule.refuse is not None), None)
    hint = next((rule.hint for rule in known if rule.hint), "")

    def read(value: Any) -> Any:
        found, unfit = [], _Unfit()
        for rule in known:
            try:
                found.append(rule.read(value))
            except _Unfit as error:
                unfit = error if error.args else unfit
        if not found:
            raise unfit
        return value if any(each is value for each in found) else found[0]

    return _Rule(words, read, own, hint)


def _named(each: _Rule | None) -> _Rule:
    """A mapping, whose names are texts and whose values are of a kind, where that is known."""

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _Unfit
        if each is None:
            return value
        if not all(isinstance(name, str) for name in value):
            raise _Unfit
        found = {name: each.read(item) for name, item in value.items()}
        return value if _same(found.values(), value.values()) else found

    words = "a dict" if each is None else f"a dict of {_plural(each.words)}"
    return _Rule(words, read)


def _several(origin: Any, args: tuple[Any, ...], name: str) -> _Rule | None:
    if origin is tuple and args[-1] is not ...:
        return _tuple([_rule(each, name) for each in args])
    if args[0] == Params:
        return _Rule("a list of state dicts", _where(_are_networks), _refuse_networks)
    each, is_set = _rule(args[0], name), origin is frozenset
    if each is None:
        return _Rule("a list", _items)

    def read(value: Any) -> Any:
        if is_set and not isinstance(value, frozenset | set):
            raise _Unfit
        items = value if is_set else _items(value)
        found = [each.read(item) for item in items]
        if _same(found, items):
            return items
        return frozenset(found) if is_set else tuple(found)

    return _Rule(f"a {'frozenset' if is_set else 'list'} of {_plural(each.words)}", read)


def _same(found: Iterable[Any], items: Iterable[Any]) -> bool:
    return all(a is b for a, b in zip(found, items, strict=True))


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

    def read(value: Any) -> Any:
        if not isinstance(value, tuple | list) or len(value) != len(known):
            raise _Unfit
        found = tuple(rule.read(item) for rule, item in zip(known, value, strict=True))
        return value if _same(found, value) else found

    return _Rule(f"{len(known)} {_plural(known[0].words)}", read)


def _names(value: Any) -> Any:
    """Any iterable of texts; one that is no collection as a list, since it is read only once."""
    if isinstance(value, str | bytes | torch.Tensor) or not isinstance(value, Iterable):
        raise _Unfit
    if getattr(value, "ndim", 1) == 0:  # an array, which says that it is iterable
        raise _Unfit
    names: list[str] = []
    for name in value:
        if not isinstance(name, str):
            raise _Unfit
        if len(names) == LONGEST:
            raise _too_long(value)
        names.append(name)
    return value if isinstance(value, Sequence | Set | Mapping) else names


def _items(value: Any) -> Sequence[Any]:
    """A list or a tuple, or what an array of one axis holds."""
    is_array = hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1 and not is_hollow(value)
    if not is_array and (not isinstance(value, Sequence) or isinstance(value, str | bytes)):
        raise _Unfit
    try:
        short = len(value) <= LONGEST
    except OverflowError:  # of a range
        short = False
    if not short:
        raise _too_long(value)
    return cast(Sequence[Any], value.tolist() if is_array else value)


def _too_long(value: Any) -> _Unfit:
    return _Unfit(f"a {type(value).__name__} of more than {LONGEST:,}", "pass a shorter list")


def _whole(most: int) -> _Rule:
    limit = f" up to {most:,}" if most < 2**63 - 1 else " below 2^63"

    def read(value: Any) -> int:
        if not _is_whole(value) or abs(int(value)) > most:
            raise _Unfit
        return value if type(value) is int else int(value)

    return _Rule(f"a whole number{limit}", read)


def _is_whole(value: Any) -> bool:
    if type(value) is int:  # the test of kinds below takes longer
        return True
    return isinstance(value, Integral) and not _is_bool(value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool"  # numpy's as well


def is_hollow(value: Any) -> bool:
    """Whether a value is a tensor whose entries do not lie in memory one by one."""
    return isinstance(value, torch.Tensor) and hollow_kind(value) != ""


def hollow_kind(tensor: torch.Tensor) -> str:
    """How the entries of a tensor are missing or packed, in a word; nothing where they are not."""
    if tensor.is_meta:
        return "on meta"
    if tensor.is_quantized:
        return "quantized"
    if tensor.is_nested:
        return "nested"
    return "" if tensor.layout == torch.strided else str(tensor.layout).removeprefix("torch.")


def _number(value: Any) -> Any:
    """Also NaN, which every bound of a function refuses."""
    if not isinstance(value, Real) or _is_bool(value):
        raise _Unfit
    if isinstance(value, Integral):
        return _whole(2**63 - 1).read(value)  # torch takes none larger
    try:
        return float(value)  # itself where it is Python's own
    except OverflowError:  # of a fraction
        raise _Unfit(shown(value), f"pass a number up to {sys.float_info.max:.2g}") from None


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
    bool: _Rule("True or False", _where(_is_bool)),
    float: _Rule("a number", _number),
    str: _Rule("a text", _where(lambda value: isinstance(value, str))),
    Path: _Rule("a path", _where(_is_path)),
    type(None): _Rule("None", _where(lambda value: value is None)),
    nn.Module: _Rule(
        "an instance of torch.nn.Module", _where(lambda value: _is_ready(value)),
        lambda name, value: check_module(value, f"the {name}"),
    ),
    torch.Tensor: _Rule(
        "a dense tensor that holds its values",
        _where(lambda value: isinstance(value, torch.Tensor) and not is_hollow(value)),
    ),
    torch.Generator: _Rule(
        "a torch.Generator", _where(lambda value: isinstance(value, torch.Generator))
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


def check_module(model: object, what: str = "the model") -> None:
    """Raises unless `model` is a module, not the class of one, whose parameters have shapes.

    Args:
        model: what came as a model.
        what: how the message calls it.

    Raises:
        ParamsError: it is something else, or a lazy module that never ran.
    """
    if not isinstance(model, nn.Module):
        kind = shown(model) if isinstance(model, type) else type(model).__name__
        raise ParamsError(f"{what}: expected a torch.nn.Module, got {kind}; pass an instance.")
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(tensor):
            raise ParamsError(
                f"`{name}` in {what} has no shape yet; run it once, as model(inputs), before."
            )


def _is_ready(value: Any) -> bool:
    try:
        check_module(value)
    except ParamsError:
        return False
    return True


def check_seconds(seconds: object, start: str) -> None:
    """Raises unless `seconds` is None or a positive number that somebody may wait.

    Args:
        seconds: what came.
        start: how the message begins.

    Raises:
        ToroidsError: it is something else.
    """
    if seconds is None or (isinstance(seconds, int | float) and 0 < seconds <= LARGEST_OF_ALL):
        return
    raise ToroidsError(f"{start}; pass a positive number up to {LARGEST_OF_ALL:,}, or None.")


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
        if not isinstance(name, str):
            raise ParamsError(
                f"{what} have the name {shown(name)}; pass tensors by names that are texts, as "
                "model.state_dict() gives them."
            )
        if not isinstance(tensor, torch.Tensor):
            raise ParamsError(
                f"`{name}` in {what} is a {_kind(tensor)}; pass a tensor, as torch.as_tensor "
                "makes of an array."
            )
        if kind := hollow_kind(tensor):
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
