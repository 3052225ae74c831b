"""Reads a study from its file, and tells all that is wrong with it, each with its line."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pydantic

from toroids.arguments.checked import checked
from toroids.design.config.data import AnyData
from toroids.design.config.faults import Fault, KeyPath, faults_of
from toroids.design.config.fields import HERE
from toroids.design.config.lines import lines_of
from toroids.design.config.networks import AnyNetwork
from toroids.design.config.overrides import Override, origin, parse_override, set_override
from toroids.design.config.solvers import AnySolver
from toroids.design.config.study import StudyConfig
from toroids.design.config.toml import parse
from toroids.errors import ConfigError
from toroids.files.reading import read_file, told

# TOML of this length is read in a second or two. A study of a million seeds, which nobody can run,
# has seven million bytes, and is refused at once.
MOST_BYTES = 1_000_000
SHOWN = 10  # faults


def _choices(tables: Any, chooser: str) -> list[str]:
    kinds = get_args(tables)
    return [name for kind in kinds for name in get_args(kind.model_fields[chooser].annotation)]


# The key that chooses a kind of table, and what it may say.
CHOICES = {
    "name": _choices(AnyData, "name"),
    "model": _choices(AnyNetwork, "model"),
    "method": _choices(AnySolver, "method"),
}


@checked
def load_config(path: str | Path, overrides: Sequence[str] = ()) -> StudyConfig:
    r"""Reads and checks a study file.

    What the study names (folders of data, packages, a device, modules of custom networks) has to be
    on this machine; nothing that it names is imported or run.

    Args:
        path: a TOML file.
        overrides: settings that replace those of the file, as "solvers.sgd.lr=0.1" or
            "device=cuda": a dotted key and a value as in TOML, where words need no quotes.

    Returns:
        The study, complete and within its bounds.

    Raises:
        ConfigError: the file is missing, is not TOML, or says something that a study cannot be;
            one sentence with all that is wrong, each with its line or its override.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from toroids.study import load_config
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "study.toml"
        ...     text = 'name = "mine"\nseeds = [0]\nsolvers.sgd.method = "sgd"\n'
        ...     _ = path.write_text(text)
        ...     load_config(path, ["solvers.sgd.lr=0.05"]).solvers["sgd"].lr
        0.05
    """
    path = Path(path)
    if isinstance(overrides, str):
        raise ConfigError(
            f"the overrides are {overrides!r}; pass a list of texts, [{overrides!r}]."
        )
    text, tree = _read(path)
    settings, wrong = _overridden(tree, overrides)
    study, faults = _validated(tree)
    said = [*_placed(faults, text, settings), *wrong]
    if study is None or said:
        more = [f"and {len(said) - SHOWN} more"] if len(said) > SHOWN else []
        raise ConfigError(f"`{path}` is not a study: {'; '.join([*said[:SHOWN], *more])}.")
    return study


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    with told(path, "study file", "name a TOML file, as studies/digits.toml", ConfigError):
        content = read_file(path, MOST_BYTES)
    try:
        # not as text, which would change the ends of lines
        text = content.decode("utf-8-sig")
        return text, parse(text)
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        raise ConfigError(f"`{path}` is not TOML: {error}.") from error


def _overridden(tree: dict[str, Any], texts: Sequence[str]) -> tuple[list[Override], list[str]]:
    """Puts the settings into the study; what cannot be put there is told."""
    settings, wrong = [], []
    for text in texts:
        try:
            override = parse_override(text)
            set_override(tree, override)
        except ConfigError as error:
            wrong.append(f"--set {text}: {error}")
            continue
        settings.append(override)
    return settings, wrong


def _validated(tree: dict[str, Any]) -> tuple[StudyConfig | None, list[Fault]]:
    try:
        # As JSON, because there pydantic's strict mode reads lists as tuples, and nothing else.
        text = json.dumps(tree, default=str)
        return StudyConfig.model_validate_json(text, strict=True, context=HERE), []
    except pydantic.ValidationError as error:
        found = (fault for item in error.errors() for fault in faults_of(item, CHOICES))
        faults = dict.fromkeys(found)  # each once, in order
    # Where one network or solver is wrong, pydantic does not ask what the others demand.
    kept = _without(tree, {fault.path[:2] for fault in faults})
    more = _validated(kept)[1] if kept != tree else []
    return None, list(faults | dict.fromkeys(more))


def _without(tree: dict[str, Any], paths: set[KeyPath]) -> dict[str, Any]:
    """The study without the networks and solvers at these paths, as long as others are left."""
    kept = dict(tree)
    for name in ("networks", "solvers"):
        if isinstance(tree.get(name), dict):
            right = {key: value for key, value in tree[name].items() if (name, key) not in paths}
            kept[name] = right or tree[name]
    return kept


def _placed(faults: list[Fault], text: str, settings: list[Override]) -> list[str]:
    """Says of each fault where it is, in the order of the lines, overrides last."""
    lines = lines_of(text) if faults else {}
    placed: list[tuple[float, str]] = []
    for fault in faults:
        line, override = _place(fault, lines, settings)
        where = f"--set {override.text}: " if override else f"line {line}: " if line else ""
        placed.append((math.inf if override else line or 0, f"{where}{fault}"))
    return [said for _, said in sorted(placed, key=lambda item: item[0])]


def _place(
    fault: Fault, lines: dict[KeyPath, int], settings: list[Override]
) -> tuple[int | None, Override | None]:
    if override := origin(fault.path, settings):
        return None, override
    path = fault.path
    while path not in lines:
        # a table that the file does not have, of which overrides have set some keys
        for override in settings:
            if override.path[: len(path)] == path:
                return None, override
        path = path[:-1]
    return (lines[path], None) if fault.path else (None, None)
