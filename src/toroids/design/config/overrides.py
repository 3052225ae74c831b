"""Settings from the command line, as `solvers.sgd.lr=0.1`, that replace those of the file."""

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from toroids.design.config.faults import KeyPath, key
from toroids.design.config.toml import key_end, parse
from toroids.errors import ConfigError

# What is no TOML is a word, unless it begins like an array, a table or a string that is left open.
_WORD = re.compile(r"[^\s\[\]{}\"'#=,][^\r\n]*")


@dataclass(frozen=True)
class Override:
    """One setting.

    Attributes:
        text: as it was written.
        path: the key that it sets.
        value: what it is set to.
    """

    text: str
    path: tuple[str, ...]
    value: Any


def parse_override(text: str) -> Override:
    """Reads KEY=VALUE: a dotted key and a value as in TOML, where words need no quotes.

    Args:
        text: as it was written.

    Returns:
        The setting.

    Raises:
        ConfigError: it is something else; without a full stop, as one of several faults.

    Example:
        >>> parse_override("device=cuda").value
        'cuda'
    """
    equals = key_end(text)
    try:
        path = _path(parse(f"{text[:equals].strip()} = 0"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("write KEY=VALUE, for example solvers.sgd.lr=0.1") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Override(text, path, _value(text[equals + 1 :].strip()))


def set_override(tree: dict[str, Any], override: Override) -> None:
    """Puts a setting into a study; tables that are not there are made.

    Args:
        tree: what the file says; it is changed.
        override: the setting.

    Raises:
        ConfigError: there is something else where a table would have to be.
    """
    *tables, name = override.path
    for depth, table in enumerate(tables, start=1):
        tree = tree.setdefault(table, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"`{key(override.path[:depth])}` is no table and has no keys")
    tree[name] = override.value


def origin(path: KeyPath, overrides: list[Override]) -> Override | None:
    """Finds the last setting that a key comes from, if any."""
    for override in reversed(overrides):
        if path[: len(override.path)] == override.path:
            return override
    return None


def _path(tree: dict[str, Any]) -> tuple[str, ...]:
    path: list[str] = []
    while isinstance(tree, dict):
        if len(tree) != 1:
            raise tomllib.TOMLDecodeError("more than one key")
        [(name, tree)] = tree.items()
        path.append(name)
    return tuple(path)


def _value(text: str) -> Any:
    try:
        tree = parse(f"value = {text}")
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        if _WORD.fullmatch(text):
            return text
        raise ConfigError(f"the value {text!r} is neither TOML nor a word: {error}") from error
    if set(tree) != {"value"}:
        raise ConfigError("there is more than one value; write one setting after the other")
    return tree["value"]
