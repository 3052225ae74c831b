"""`toroids merge`: several networks made one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from toroids.checkpoint import open_checkpoint
from toroids.cli.loaded import (
    DATA,
    Loaded,
    Measure,
    Width,
    axis_of,
    data_files,
    group_and_files,
    names_of,
)
from toroids.cli.outputs import Force, Output, model_files, weight_files
from toroids.cli.shared import (
    ALIGN_METHODS,
    ON_DATA,
    KeepUnused,
    ModelName,
    OutputKey,
    Scratch,
    Shapes,
    Tokens,
    check_inputs,
    check_method,
    model_of,
    output_mode,
    say,
    say_where_aligned,
    shown_progress,
)
from toroids.data.files import load_data
from toroids.errors import ConfigError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import metric_named
from toroids.evaluation.summary import Evaluation
from toroids.landscape.merge import evaluate_ensemble
from toroids.landscape.merge import merge as merged_network
from toroids.params import Params
from toroids.report.pictures import (
    errors_picture,
    picture_page,
)


def merge(
    weights: Annotated[list[Path], typer.Argument(help="Two or more networks to merge.")],
    out: Annotated[Path, typer.Option(help="Where the merged weights go; laid out as the first.")],
    model: ModelName = None,
    inputs: Shapes = None,
    data: Annotated[str | None, typer.Option(help=f"To compare on. {DATA}")] = None,
    train: Annotated[
        str | None, typer.Option(help="To repair, or recalibrate, on; in the same form.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Where a picture of the comparison goes, an HTML file.")
    ] = None,
    tokens: Tokens = None,
    output: Annotated[str, typer.Option(help="values, logits or classifier.")] = "values",
    output_key: OutputKey = None,
    method: Annotated[
        str,
        typer.Option(
            help=f"Of alignment: {', '.join(ALIGN_METHODS)}; "
            f"with --train also {', '.join(ON_DATA)}."
        ),
    ] = "descent",
    metric: Measure = "classification",
    batch_size: Width = 1024,
    scratch: Scratch = None,
    keep_unused: KeepUnused = False,
    force: Force = False,
) -> None:
    """Merge networks into one, and compare it with them and with their ensemble."""
    model = model_of(model, weights[0])
    check_method(method, train, "--train")
    metric_named(metric)
    if len(weights) < 2:
        raise ConfigError(f"there are {len(weights)} networks to merge; pass two or more.")
    if picture is not None and data is None:
        raise ConfigError("a picture compares errors; pass --data.")
    read = [*weight_files(*weights), *data_files(data, train), *model_files(model)]
    place, drawn = Output(out, read, force), None
    if picture is not None:
        drawn = Output(picture, [*read, out], force, "--picture")
        drawn.check()
    if scratch is not None and (data or train):
        raise ConfigError("--scratch is for networks that exceed the memory; leave out the data.")
    examples, training = (None if x is None else load_data(x) for x in (data, train))
    sources = [open_checkpoint(each) for each in weights]
    place.check_like(sources[0])
    say_where_aligned(sources)
    loaded: Loaded | None = None
    if examples is not None or training is not None:
        loaded = Loaded(model, inputs, tokens, output, output_key, weights)
        group, named = loaded.group, loaded.named
    else:  # without anything to run, the model's own weights are not read
        mode = output_mode(output)
        check_inputs(inputs, tokens)
        group, named = group_and_files(model, inputs, tokens, mode, output_key, sources)
    for each in named:
        each.check_unused(keep_unused)  # before long work
    landscape: Landscape | None = None
    if loaded is not None and training is not None:
        landscape = loaded.landscape(training, metric=metric, batch_size=batch_size)
    with shown_progress(every=5.0) as progress:
        merged = merged_network(group, named, landscape, method, progress=progress, scratch=scratch)
    place.write_like(named[0].file_params(merged, keep_unused), sources[0])
    lines = [f"note: {note}" for note in merged.notes]
    if loaded is not None and examples is not None:
        seen = loaded.landscape(examples, metric=metric, batch_size=batch_size)
        errors = _compared(seen, loaded, weights, merged)
        lines += [
            f"{name}: error {found.error:.4g} (standard error {found.error_stderr:.1g})"
            for name, found in errors.items()
        ]
        if drawn is not None:
            figure = errors_picture(errors, axis_of(metric))
            drawn.write_page(picture_page(figure, "Merged", lines))
            lines.append(f"drawn in `{picture}`")
    say("\n".join([*lines, f"written to `{out}`"]))


def _compared(
    landscape: Landscape, loaded: Loaded, files: Sequence[Path], merged: Params
) -> dict[str, Evaluation]:
    """Errors of the networks, of the merged one and, for classifiers, of the ensemble."""
    networks = dict(zip(names_of(files), loaded.networks, strict=True)) | {"merged": merged}
    found = {name: landscape(params) for name, params in networks.items()}
    if landscape.metric != "squared-error":  # there is no probability to average
        found["ensemble"] = evaluate_ensemble(landscape, loaded.networks)
    return found
