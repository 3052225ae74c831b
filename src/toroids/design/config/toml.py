"""TOML read within bounds, and cut into statements, both in a time that grows as its length does.

`tomllib` takes hours over a key of many parts, and leaves values so deep or large that nothing can
write them again. What is left of a text without its strings and comments shows both beforehand.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

DEEPEST = 50  # parts of a key, as three in solvers.sgd.lr
INNERMOST = 500  # tables and arrays within each other, half of what Python can write
LARGEST = 10**4000  # Python writes no number of more than 4300 digits
# A string that is left open goes to the end of its line, or of the text, where tomllib stops.
STRING = (
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\Z)|'
    r"'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)|"
    r'"(?:[^"\\\n]|\\[^\n])*+"?|'
    r"'[^'\n]*+'?"
)
_QUOTED = re.compile(rf"({STRING})|#[^\n]*+", re.DOTALL)
_DEEP = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{DEEPEST}}}")
_MARK = re.compile(rf"{STRING}|#[^\n]*+|[\[\]{{}}\n]", re.DOTALL)


def parse(text: str) -> dict[str, Any]:
    """Reads TOML.

    Args:
        text: all of it.

    Returns:
        What it says.

    Raises:
        ValueError: it is no TOML, or too deep or large for a study; one of tomllib's own, or a
            sentence without its full stop.
        RecursionError: its arrays are too deep for tomllib.

    Example:
        >>> parse("solvers.sgd.lr = 0.1")
        {'solvers': {'sgd': {'lr': 0.1}}}
    """
    if _DEEP.search(_QUOTED.sub(lambda found: "x" if found[1] else "", text)):
        raise ValueError(f"a key has more than {DEEPEST} parts")
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # Python reads no number of more digits
        raise ValueError("a number has more than 4,000 digits") from error
    _check(tree)
    return tree


def _check(tree: dict[str, Any]) -> None:
    level: list[Any] = [tree]
    for _ in range(INNERMOST):
        items = [x.values() if isinstance(x, dict) else x for x in level]
        level = [item for each in items for item in each]
        if any(type(item) is int and abs(item) >= LARGEST for item in level):
            raise ValueError("a number has more than 4,000 digits")
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return
    raise ValueError(f"tables and arrays lie more than {INNERMOST} deep within each other")


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Cuts a file without mistakes into its statements.

    Args:
        text: all of it.

    Yields:
        The first line of each, counted from 1, and its text: a header of a table, a key and its
        value, or an empty line.
    """
    start, line, first, depth = 0, 1, 1, 0
    for mark in _MARK.finditer(text):
        found = mark[0]
        line += found.count("\n")
        depth += (found in "[{") - (found in "]}")
        if found == "\n" and not depth:
            yield first, text[start : mark.end()]
            start, first = mark.end(), line
    yield first, text[start:]


def key_end(text: str) -> int:
    """Where the key ends that a text begins with, at its first = outside of quotes."""
    found = re.match(rf"(?:{STRING}|[^\"'=])*+(?==)", text, re.DOTALL)
    return found.end() if found else 0
