"""Public names in pages: `td.align` in code marks becomes a link, `::: toroids.align` reference.

A public name is where users import it from; mkdocstrings wants to know where it is defined, because
several (`align`, `merge`, ...) are called like a folder or a file of the package.
"""

import importlib
import re
from types import ModuleType
from typing import Any

import toroids

_FENCE = re.compile(r"^(```.*?^```$)", re.S | re.M)
_DIRECTIVE = re.compile(r"^::: (toroids[\w.]*)$", re.M)
_CODE = re.compile(r"(?<![\[`])`td\.([A-Za-z_][\w.]*)(\([^`]*\))?`(?![\]`])")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Rewrites the names of a page outside of fenced code."""
    parts = _FENCE.split(markdown)
    return "".join(
        part if part.startswith("```") else _CODE.sub(_link, _DIRECTIVE.sub(_directive, part))
        for part in parts
    )


def home(name: str) -> str | None:
    """Where the public name `name` is defined, as a dotted path; None where it is no object."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    defined = getattr(found, "__module__", None)
    if defined is None or not hasattr(found, "__qualname__"):  # a type alias knows no home
        return None
    return f"{defined}.{found.__qualname__}"


def _directive(found: re.Match[str]) -> str:
    name = found[1]
    public = name.count(".") == 1 or name.split(".")[1] in MODULES
    short = name.replace("toroids.", "td.", 1) if public else name
    options = {"heading": short, "toc_label": name.rpartition(".")[2]}
    lines = [f"      {key}: {value}" for key, value in options.items()]
    return "\n".join([f"::: {HOMES.get(name) or home(name)}", "    options:", *lines, ""])


def _link(found: re.Match[str]) -> str:
    name = found[1]
    first, _, rest = name.partition(".")
    if first in MODULES:
        target = home(f"toroids.{name}") if rest else None
    else:
        target = HOMES.get(f"toroids.{first}") or home(f"toroids.{first}")
    if target is None:
        return found[0]
    if rest and first not in MODULES:
        target = f"{target}.{rest}"
    return f"[{found[0]}][{target}]"


# Public modules, whose names are said with theirs.
MODULES = {n for n in toroids.__all__ if isinstance(getattr(toroids, n), ModuleType)}
# Of what does not know where it is defined.
HOMES = {"toroids.Params": "toroids.params.Params"}
