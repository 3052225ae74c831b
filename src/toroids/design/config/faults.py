"""Faults of a study, and the sentences that tell them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic_core import ErrorDetails, PydanticCustomError

KeyPath: TypeAlias = tuple[str | int, ...]

BARE = re.compile(r"[A-Za-z0-9_-]+")
# How much of a wrong value is repeated.
LONGEST = 80
# Where the location of a fault holds which kind of table was chosen; that is no key of the file.
CHOSEN = {"data": 1, "networks": 2, "solvers": 2}
# What older studies say, and what to write now.
MOVED: dict[KeyPath, str] = {
    ("network",): "is how older studies say it; write [networks.NAME] with model = "
    '"fully_connected" or another model, and the same keys',
    ("profiles", "bends"): "has a table of its own now; write [bends] with count =",
    ("profiles", "bend_steps"): "has a table of its own now; write [bends] with steps =",
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        path: the key that is wrong, as its tables, arrays and name; empty for a whole study.
        text: what is wrong with it and what to do.
        said: whether the text begins with the key itself.
    """

    path: KeyPath
    text: str
    said: bool = False

    def __str__(self) -> str:
        """A sentence without its full stop."""
        if self.said or not self.path:
            return self.text
        return f"`{key(self.path)}`: {self.text}"


def key(path: KeyPath) -> str:
    """Writes the path of a key as TOML does, with numbers for the places of an array."""
    # quoted where TOML wants it: no name can steer the terminal that prints it
    return ".".join(str(x) if BARE.fullmatch(str(x)) else json.dumps(x) for x in path)


def refuse(faults: Iterable[Fault]) -> None:
    """Raises one error that pydantic collects with the others, if there is any fault."""
    faults = list(faults)
    if faults:
        text = "; ".join(map(str, faults))
        raise PydanticCustomError("faults", "{text}", {"text": text, "faults": faults})


def faults_of(error: ErrorDetails, choices: Mapping[str, Sequence[str]]) -> list[Fault]:
    """Turns an error of pydantic into what a person reads.

    Args:
        error: one of `ValidationError.errors()`.
        choices: what the keys may say that choose a kind of table.

    Returns:
        One fault, or as many as a check of several keys has found.
    """
    kind, path, details = error["type"], _path(error["loc"]), error.get("ctx", {})
    if kind == "faults":
        return list(details["faults"])
    if kind == "extra_forbidden":
        advice = MOVED.get(path, "is not a known key; remove it or correct its name")
        return [Fault(path, f"`{key(path)}` {advice}", said=True)]
    if kind == "missing":
        return [Fault(path, f"`{key(path)}` is missing; add it", said=True)]
    if kind == "json_invalid":  # what TOML can say but plain data cannot, as very deep arrays
        return [Fault((), error["msg"])]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        chooser = details["discriminator"].strip("'")
        path = (*path, chooser)
        found = f"is {details['tag']!r}" if kind == "union_tag_invalid" else "is missing"
        listed = ", ".join(choices[chooser])
        return [Fault(path, f"`{key(path)}` {found}; choose from {listed}", said=True)]
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return [Fault(path, f"expected a table{_got(error['input'])}")]
    if kind == "too_short" and error["input"]:
        return []  # pydantic does not count what is wrong in itself, and is told already
    if kind == "too_short" and isinstance(error["input"], dict):
        return [Fault(path, f"expected at least one table [{key(path)}.NAME]")]
    message = error["msg"].removeprefix("Value error, ").removesuffix(".")
    return [Fault(path, f"{message[0].lower()}{message[1:]}{_got(error['input'])}")]


def _path(location: tuple[int | str, ...]) -> KeyPath:
    if location[-1:] == ("[key]",):  # of a name that is no name
        return location[:-1]
    chosen = CHOSEN.get(str(location[0])) if location else None
    if chosen is not None and len(location) > chosen:
        return location[:chosen] + location[chosen + 1 :]
    return location


def _got(value: Any) -> str:
    if isinstance(value, dict):
        return ""
    shown = repr(value)
    return f", got {shown if len(shown) <= LONGEST else shown[:LONGEST] + '[...]'}"
