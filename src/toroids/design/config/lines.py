"""On which line of a TOML file a key stands."""

import tomllib
from collections.abc import Iterator
from typing import Any

from toroids.design.config.faults import KeyPath
from toroids.design.config.toml import statements


def lines_of(text: str) -> dict[KeyPath, int]:
    r"""Finds the lines of all tables, keys and places in arrays.

    tomllib tells no positions. But what a header of a table or a `key = value` says alone is where
    it stands.

    Args:
        text: a whole TOML file without mistakes.

    Returns:
        By path, its first line, counted from 1; what spans several lines is all on its first one.
        The path of the file itself is empty.

    Raises:
        tomllib.TOMLDecodeError: the file has mistakes.

    Example:
        >>> lines_of('[solvers.sgd]\nlr = 0.1\n')[("solvers", "sgd", "lr")]
        2
    """
    found: dict[KeyPath, int] = {(): 1}
    table: KeyPath = ()
    arrays: dict[KeyPath, int] = {}
    tomllib.loads(text)
    for line, statement in statements(text):
        tree = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(tree, arrays)
            for length in range(1, len(table) + 1):
                found.setdefault(table[:length], line)
            continue
        for path in _paths(tree):
            found.setdefault(table + path, line)
    return found


def _header(tree: dict[str, Any], arrays: dict[KeyPath, int]) -> KeyPath:
    """Reads the path of a header, with the last place so far of every array of tables on it."""
    path: KeyPath = ()
    while tree:
        [(name, value)] = tree.items()
        path = (*path, name)
        if isinstance(value, list):  # the end of [[...]], which opens the next place
            arrays[path] = arrays.get(path, -1) + 1
            value = {}
        if path in arrays:
            path = (*path, arrays[path])
        tree = value
    return path


def _paths(value: Any) -> Iterator[KeyPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        yield (name,)
        if isinstance(inner, dict | list):
            yield from ((name, *rest) for rest in _paths(inner))
