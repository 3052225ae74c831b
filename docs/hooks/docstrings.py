"""Prepares docstrings for the site: examples become code, public names in code marks become links.

The house form is `Example:`, which griffe, the parser, knows as `Examples:` only.
"""

import re
from functools import cache
from types import ModuleType
from typing import Any

import griffe

import toroids

_EXAMPLE = re.compile(r"^Example:$", re.M)
_NAME = re.compile(r"(?<![`\[\w])`((?:td\.)?[A-Za-z_][\w.]*)`(?![`\]\w])")
_DOCTEST = re.compile(r"^\s*(>>>|\.\.\.) ")
MODULES = {
    name: module
    for name in toroids.__all__
    if isinstance(module := getattr(toroids, name), ModuleType)
}


class Docstrings(griffe.Extension):  # type: ignore[misc, unused-ignore]
    """Rewrites the docstrings of all objects before they are parsed."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Rewrites one docstring."""
        if obj.docstring is None or obj.is_alias:
            return
        own = obj.path
        text = _EXAMPLE.sub("Examples:", obj.docstring.value)
        lines = [
            line if _DOCTEST.match(line) else _NAME.sub(lambda found: _linked(found, own), line)
            for line in text.split("\n")
        ]
        obj.docstring.value = "\n".join(lines)


def _linked(found: re.Match[str], own: str) -> str:
    first, _, rest = found[1].removeprefix("td.").partition(".")
    home = homes().get(f"{first}.{rest}") if rest else None
    target = home or homes().get(first)
    if target is None or target == own:
        return found[0]
    if rest and home is None:
        target = f"{target}.{rest}"
    return f"[{found[0]}][{target}]"


@cache
def homes() -> dict[str, str]:
    """Public names, and where what they name is defined."""
    found: dict[str, Any] = {name: getattr(toroids, name) for name in toroids.__all__}
    for name, module in MODULES.items():
        own = {key: getattr(module, key) for key in module.__all__}
        found |= {f"{name}.{key}": value for key, value in own.items()}
        if name not in ("data", "models"):  # what these hold is called by their names
            found |= own
    return {
        name: f"{value.__module__}.{value.__qualname__}"
        for name, value in found.items()
        if hasattr(value, "__qualname__") and value.__module__.startswith("toroids.")
    }
