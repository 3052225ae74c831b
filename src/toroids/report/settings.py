"""The settings of a study as the TOML file that repeats it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")


def as_toml(settings: Mapping[str, Any]) -> str:
    """Writes settings as TOML.

    Args:
        settings: plain data; what is None is left out, which means the same.

    Returns:
        The text of a file that `load_config` reads back.

    Example:
        >>> print(as_toml({"name": "small", "data": {"train": 100, "subset": None}}))
        name = "small"
        <BLANKLINE>
        [data]
        train = 100
    """
    return "\n".join(_lines(settings, ())).strip()


def _lines(table: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[str]:
    values = {key: item for key, item in table.items() if item is not None}
    inner = {key: item for key, item in values.items() if isinstance(item, Mapping)}
    plain = {key: item for key, item in values.items() if key not in inner}
    if place and (plain or not inner):
        yield ""
        yield f"[{'.'.join(map(_key, place))}]"
    for key, item in plain.items():
        yield f"{_key(key)} = {_value(item)}"
    for key, item in inner.items():
        yield from _lines(item, (*place, key))


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    # TOML's strings, numbers and truth values are JSON's, but for this one control character
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
