"""`toroids compare`: are networks the same, related, or strangers."""

import json as jsonlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from toroids.align.trunk import extended, shared_names
from toroids.checkpoint import Checkpoint, StateDictView, open_checkpoint
from toroids.checkpoint.matching import listed
from toroids.cli.loaded import DATA, Measure, data_files, fitting, group_and_files, names_of
from toroids.cli.outputs import Force, Output, model_files, weight_files
from toroids.cli.shared import (
    ModelName,
    OutputKey,
    OutputName,
    Shapes,
    Tokens,
    check_inputs,
    model_of,
    output_mode,
    say,
    shown_progress,
    shown_table,
)
from toroids.compare.compare import Comparison
from toroids.compare.compare import compare as compared
from toroids.compare.family import Branch, Family, compare_many
from toroids.data.files import load_data
from toroids.errors import ConfigError, ParamsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import metric_named
from toroids.models.load import load_model
from toroids.params import encode_params
from toroids.report.comparison import comparison_page, facts, family_page
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup

# What stands beside quantised weights in files, under names that the libraries chose.
QUANTISED = re.compile(r"\.(qweight|qzeros|g_idx|absmax|quant_map|quant_state.*|SCB|weight_scale)$")


def compare(
    weights: Annotated[
        list[Path], typer.Argument(help="Two or more networks: files, or folders of shards.")
    ],
    model: ModelName = None,
    inputs: Shapes = None,
    out: Annotated[Path | None, typer.Option(help="Where the page goes, an HTML file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write what was found here as JSON.")] = None,
    element: Annotated[
        Path | None,
        typer.Option(help="Write what moves the second canonical network onto the first here."),
    ] = None,
    tokens: Tokens = None,
    output: OutputName = "values",
    output_key: OutputKey = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="A tensor, or a module, that is compared; repeatable. Of two networks."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help=f"Compare the outputs on it as well. {DATA} Of two networks.")
    ] = None,
    metric: Measure = "classification",
    bias: Annotated[bool, typer.Option(help="Count biases as coordinates of the spheres.")] = True,
    force: Force = False,
) -> None:
    """Tell whether networks are the same, copies in disguise, related, or strangers."""
    model = model_of(model, weights[0])
    mode = output_mode(output)
    check_inputs(inputs, tokens)
    metric_named(metric)
    _check_files(weights)
    if len(weights) > 2 and (only or data is not None or element is not None):
        raise ConfigError("--only, --data and --element are for two networks; name two.")
    if only and data is not None:
        raise ConfigError("--only compares parts, and --data runs whole networks; leave one out.")
    read = [*weight_files(*weights), *model_files(model), *data_files(data)]
    places = _places(read, force, {"--out": out, "--json": json, "--element": element})
    examples = None if data is None else load_data(data)
    sources = [open_checkpoint(file) for file in weights]
    for source in sources:
        _check_not_quantised(source)
    group, networks = group_and_files(model, inputs, tokens, mode, output_key, sources, only, True)
    if not only:
        _check_all_used(group, networks)
    landscape = None
    if examples is not None:
        network = load_model(model)
        landscape = Landscape(network, examples, metric=metric, output_key=output_key)
    names = names_of(weights)
    found: Comparison | Family
    with shown_progress(every=5.0) as progress:
        if len(weights) == 2:
            first, second = networks
            found = compared(
                group, first, second, bias, only=only or None, landscape=landscape,
                progress=progress,
            )  # fmt: skip
        else:
            found = compare_many(group, networks, names, bias, progress=progress)
    if "--out" in places:
        single = isinstance(found, Comparison)
        page = comparison_page(found, names) if single else family_page(found)  # type: ignore[arg-type]
        places["--out"].write_page(page)
    if "--json" in places:
        text = jsonlib.dumps({"networks": names, **found.row()}, indent=2, allow_nan=False)
        places["--json"].write(f"{text}\n".encode())
    if "--element" in places and isinstance(found, Comparison):
        own = found.element or Element(group.identity().choices)
        if only:
            own = extended(own, group, shared_names(group, only))
        places["--element"].write(encode_params(own.tensors()))
    _show(found)
    for place in places.values():
        say(f"written to `{place.path}`")


def _check_files(weights: list[Path]) -> None:
    if len(weights) < 2:
        raise ConfigError(f"there are {len(weights)} networks to compare; pass two or more.")
    seen: dict[Path, Path] = {}
    for file in weights:
        place = Path(os.path.realpath(file))  # which takes also a link that leads back to itself
        if place in seen:
            raise ConfigError(
                f"`{file}` and `{seen[place]}` are the same file, which is equal to itself; name "
                "different ones."
            )
        seen[place] = file


def _places(read: list[Path], force: bool, named: dict[str, Path | None]) -> dict[str, Output]:
    """The places that are written to, checked; none is another's or an input."""
    places: dict[str, Output] = {}
    taken = list(read)
    for option, path in named.items():
        if path is not None:
            places[option] = Output(path, taken, force, option)
            places[option].check()
            taken.append(path)
    return places


def _check_not_quantised(source: Checkpoint) -> None:
    """Raises where weights are integers with scales beside them."""
    for name in source:
        tensor = source[name]
        packed = tensor.itemsize == 1 and name.endswith("weight")
        if QUANTISED.search(name) or packed:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ParamsError(
                f"`{source.path}` holds quantised weights (`{name}`, {kind}); dequantise it with "
                "the library that made it, as by model.dequantize(), and compare what that saves."
            )


def _check_all_used(group: SymmetryGroup, networks: Sequence[StateDictView]) -> None:
    """Raises where a file holds weights that the model does not have, and others do not."""
    common = set.intersection(*(set(x.stale) for x in networks))
    for network in networks:
        spare = [name for name in network.stale if name not in common]
        if spare:
            raise ParamsError(
                f"`{network.checkpoint.path}` holds {listed(spare)}, for which the model has no "
                f"place; pass the model that has all; {fitting(group, network.checkpoint, spare)}."
            )


def _show(found: Comparison | Family) -> None:
    if isinstance(found, Comparison):
        _show_pair(found)
        return
    rows = [
        (f"{found.names[i]} and {found.names[j]}", c.verdict, f"{c.score.mean:.4f}",
         "" if c.beyond is None else f"{c.beyond.mean:.4f}",
         f"< {c.false_alarms.upper:.1%}" if c.verdict == "related" else "",
         f"{c.distance:.4g}", f"{c.raw_distance:.4g}")
        for (i, j), c in found.comparisons.items()
    ]  # fmt: skip
    columns = ("pair", "verdict", "score", "beyond chance", "false alarms", "distance", "raw")
    shown_table(columns, rows, (2, 3, 4, 5, 6))
    say("\n".join(_drawn(found.tree)))


def _show_pair(found: Comparison) -> None:
    for note in found.notes:
        say(f"note: {note}")
    shown_table(
        ("layer", "state", "cosine", "as they lie", "change"),
        [
            (x.name, x.state, f"{x.similarity:.4f}", f"{x.before:.4f}", f"{x.change:.2g}")
            for x in found.layers
        ],
        (2, 3, 4),
    )
    say("\n".join(f"{name:13s} {value}" for name, value in facts(found)))
    say(f"\n{found.verdict}: {found.reason}")


def _drawn(branch: Branch, indent: str = "") -> list[str]:
    """The tree as text: what joins at which height, and what below it."""
    if not branch.parts:
        return [f"{indent}{branch.members[0]}"]
    lines = [f"{indent}{branch.height:.4f}"]
    for part in branch.parts:
        lines += _drawn(part, f"{indent}  ")
    return lines
