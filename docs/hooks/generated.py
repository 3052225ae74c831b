"""Reference text that is made while the site is built, so that it cannot go stale.

Where a page says `<!-- study file -->` or `<!-- command line -->`, the tables of study files are
written from their pydantic models, and the commands from the parsers that read them.
"""

import inspect
import json
import re
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import AfterValidator, BaseModel, JsonValue
from pydantic.fields import FieldInfo

from toroids.cli.app import COMMANDS, load_command
from toroids.design.config import StudyConfig
from toroids.design.config.data import AnyData
from toroids.design.config.fields import Limit
from toroids.design.config.networks import AnyNetwork
from toroids.design.config.solvers import AnySolver

KINDS: dict[str, tuple[str, Any]] = {
    "data": ("name", AnyData),
    "networks": ("model", AnyNetwork),
    "solvers": ("method", AnySolver),
}
_NOTE = re.compile(r"\s*\[((?:default: |required)[^\]]*)\]$")
WORDS = {int: "whole number", float: "number", bool: "`true` or `false`", str: "string"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fills the places that a page marks."""
    if "<!-- study file -->" in markdown:
        markdown = markdown.replace("<!-- study file -->", study_file())
    if "<!-- command line -->" in markdown:
        markdown = markdown.replace("<!-- command line -->", command_line())
    return markdown


def study_file() -> str:
    """All tables that a study file may have, as Markdown."""
    plain = {n: f for n, f in StudyConfig.model_fields.items() if _model(f.annotation) is None}
    top = {n: f for n, f in plain.items() if n not in KINDS}
    parts = ["## The file itself", *_table(top)]
    for name, (key, union) in KINDS.items():
        title = name if name == "data" else f"{name}.NAME"
        needed = StudyConfig.model_fields[name].is_required()
        parts += ["", f"## `[{title}]`", "", _KIND_TEXTS[name]]
        parts += ["", "Required." if needed else f"Default: {_default_kind(name, key)}."]
        for model in get_args(union):
            choices = map(json.dumps, get_args(model.model_fields[key].annotation))
            rest = {n: f for n, f in model.model_fields.items() if n != key}
            parts += ["", f"### `{key} = {' | '.join(choices)}`", "", _doc(model), *_table(rest)]
    for name, field in StudyConfig.model_fields.items():
        model = _model(field.annotation)
        if model is not None:
            parts += ["", f"## `[{name}]`", "", _doc(model), *_table(model.model_fields)]
    return "\n".join(parts)


_KIND_TEXTS = {
    "data": "Which data the study is about; `name` says which kind of table it is.",
    "networks": "One table for every architecture, with a name of your choice; `model` says which "
    "kind of table it is.",
    "solvers": "One table for every solver, with a name of your choice; `method` says which kind "
    "of table it is. One method may occur in several tables with different settings.",
}


def _default_kind(name: str, key: str) -> str:
    default = StudyConfig.model_fields[name].default
    if isinstance(default, dict):
        [(table, default)] = default.items()
        return f"`[{name}.{table}]` with `{key} = {json.dumps(getattr(default, key))}`"
    return f"`{key} = {json.dumps(getattr(default, key))}`"


def _model(annotation: Any) -> type[BaseModel] | None:
    found = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if found else None


def _doc(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").replace("\n\n", "<br>").replace("\n", " ")


def _table(fields: dict[str, FieldInfo]) -> list[str]:
    lines = ["", "| key | type | bounds | default |", "|---|---|---|---|"]
    for name, field in fields.items():
        whole = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        # of two bounds of one kind the later is the narrower one
        bounds = "; ".join({bound.split()[0]: bound for bound in _bounds(whole)}.values())
        lines.append(f"| `{name}` | {_type(whole)} | {bounds} | {_default(field)} |")
    return lines if fields else ["", "No further keys."]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, tuple):
        value = list(value)
    return "none" if value is None else f"`{json.dumps(value)}`"


def _type(annotation: Any) -> str:
    """A type in words."""
    if annotation == Limit:
        return 'whole number or `"all"`'
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(args[0])
    if origin is Literal:
        return " or ".join(f"`{json.dumps(x)}`" for x in args)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(x) for x in args if x is not type(None))
    if origin is tuple:
        if args[1:] == (...,):
            return f"list of {_type(args[0])}s"
        return f"list of {len(args)} {_type(args[0])}s"
    if origin is dict:
        return "table"
    return WORDS[annotation]


def _bounds(annotation: Any) -> Iterator[str]:
    """What a value must satisfy, in words."""
    if annotation == Limit:
        yield "≥ 0"
        return
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _bounds(args[0])
        for item in _flat(args[1:]):
            yield from _bound(item)
    elif origin is tuple or origin in (Union, types.UnionType):
        for inner in args:
            if inner not in (..., JsonValue):
                yield from _bounds(inner)


def _flat(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        elif isinstance(item, annotated_types.GroupedMetadata):
            yield from item
        else:
            yield item


def _bound(item: Any) -> Iterator[str]:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    for name, sign in signs.items():
        if hasattr(item, name):
            yield f"{sign} {getattr(item, name):,}".replace(",", " ")
    if getattr(item, "min_length", None):
        yield f"{item.min_length} or more of them"
    if getattr(item, "max_length", None):
        yield f"at most {item.max_length} long"
    if getattr(item, "pattern", None):
        yield "matches `" + str(item.pattern).replace("|", "\\|") + "`"
    if isinstance(item, AfterValidator):
        names = inspect.getclosurevars(item.func).nonlocals.get("names", ())
        if names:
            yield "one of " + ", ".join(f"`{json.dumps(name)}`" for name in names)


def command_line() -> str:
    """All commands, as Markdown."""
    parts = []
    for name in COMMANDS:
        command = load_command(name)
        context = command.make_context(name, [], resilient_parsing=True)
        usage = " ".join(["toroids", name, *command.collect_usage_pieces(context)])
        parts += ["", f"## `toroids {name}`", "", inspect.cleandoc(command.help or "")]
        parts += ["", "```text", usage, "```", "", "| argument or option | what | default |"]
        parts += ["|---|---|---|"]
        parts += [_option(parameter, context) for parameter in command.params]
    return "\n".join(parts)


def _option(parameter: Any, context: Any) -> str:
    """One row: what the parser says of a parameter in its help, which ends in [what it is]."""
    name, text = parameter.get_help_record(context)
    found = _NOTE.search(text)
    note = found[1] if found else ""
    name = re.sub(r"<list\[(\w+)\]>", r"<\1>", " ".join(name.split()))
    text = _NOTE.sub("", text).replace("|", "\\|").strip()
    return f"| `{name}` | {text} | {note.removeprefix('default: ')} |"
