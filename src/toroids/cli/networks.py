"""`toroids symmetries`, `canonicalize` and `align`: networks and their symmetries."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from toroids.align.alignment import Alignment
from toroids.align.alignment import align as aligned
from toroids.align.loss import temperature_between
from toroids.canonical.form import canonicalize as canonical_form
from toroids.checkpoint import (
    open_checkpoint,
)
from toroids.cli.loaded import DATA, Loaded, Measure, data_files, group_and_files
from toroids.cli.outputs import Force, Output, model_files, weight_files
from toroids.cli.shared import (
    ALIGN_METHODS,
    MODEL,
    ON_DATA,
    KeepUnused,
    ModelName,
    OutputKey,
    OutputName,
    Scratch,
    Shapes,
    Tokens,
    check_inputs,
    check_method,
    example_inputs,
    model_of,
    output_mode,
    say,
    say_where_aligned,
    shown_progress,
)
from toroids.data.files import load_data
from toroids.discovery.discover import find
from toroids.errors import ConfigError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import metric_named
from toroids.geometry.toroid import Toroid
from toroids.models.load import load_model
from toroids.params import Params
from toroids.probe import Probe


def symmetries(
    model: Annotated[str, typer.Argument(help=MODEL)],
    inputs: Shapes = None,
    tokens: Tokens = None,
    output: OutputName = "values",
    output_key: OutputKey = None,
    json: Annotated[Path | None, typer.Option(help="Write the group here as JSON.")] = None,
    force: Force = False,
) -> None:
    """Find, prove and print the symmetry group of a model."""
    mode = output_mode(output)
    check_inputs(inputs, tokens)
    place = Output(json, model_files(model), force, "--json") if json is not None else None
    if place is not None:
        place.check()
    network = load_model(model, weights=False)
    examples = example_inputs(inputs, tokens, network)
    group, found = find(network, examples, mode, output_key).proven()
    if place is not None:
        place.write(group.to_json().encode())
    say(
        f"{group}\nproven: outputs change by at most {found:.0e} in float64, in {found.draws} "
        f"draws at inputs of the sizes {'; '.join(found.sizes)}"
    )


def canonicalize(
    weights: Annotated[Path, typer.Argument(help="The network: a file, or a folder of shards.")],
    out: Annotated[
        Path, typer.Option(help="Where the canonical weights go; laid out as they came.")
    ],
    model: ModelName = None,
    inputs: Shapes = None,
    tokens: Tokens = None,
    output: OutputName = "values",
    output_key: OutputKey = None,
    gauge: Annotated[str, typer.Option(help="sphere, or balanced for the least norm.")] = "sphere",
    bias: Annotated[bool, typer.Option(help="Count biases as coordinates of the spheres.")] = True,
    batch_norm: Annotated[str, typer.Option(help="keep or fold.")] = "keep",
    scratch: Scratch = None,
    keep_unused: KeepUnused = False,
    force: Force = False,
) -> None:
    """Bring a network to its canonical form: the same function, its symmetries removed."""
    model = model_of(model, weights)
    mode = output_mode(output)
    check_inputs(inputs, tokens)
    source = open_checkpoint(weights)
    place = Output(out, [*weight_files(weights), *model_files(model)], force)
    place.check_like(source)
    group, [params] = group_and_files(model, inputs, tokens, mode, output_key, [source])
    params.check_unused(keep_unused)  # before long work
    canonical = canonical_form(group, params, gauge, bias, batch_norm, scratch=scratch)
    place.write_like(params.file_params(canonical, keep_unused), source)
    moved = sum(not torch.equal(canonical[name], params[name]) for name in params)
    lines = [*(f"note: {note}" for note in canonical.notes)]
    say("\n".join([*lines, f"{moved} of {len(params)} tensors changed; written to `{out}`"]))


def align(
    moving: Annotated[
        Path, typer.Argument(help="The network to move: a file, or a folder of shards.")
    ],
    reference: Annotated[Path, typer.Argument(help="The network that stays.")],
    out: Annotated[Path, typer.Option(help="Where the moved weights go; laid out as they came.")],
    model: ModelName = None,
    inputs: Shapes = None,
    tokens: Tokens = None,
    output: OutputName = "values",
    output_key: OutputKey = None,
    method: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(ALIGN_METHODS)}; with --data also {', '.join(ON_DATA)}, which join "
            "networks trained apart by what they compute."
        ),
    ] = "descent",
    data: Annotated[
        str | None, typer.Option(help=f"What the network that moves is fitted on. {DATA}")
    ] = None,
    metric: Measure = "classification",
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A tensor, or a module with all of its tensors, that is compared; repeat it for "
            "every part of a shared trunk. Heads of other shapes follow what they read."
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Seconds to spend; the best so far is kept.")
    ] = None,
    bias: Annotated[bool, typer.Option(help="Count biases as coordinates of the spheres.")] = True,
    raw: Annotated[
        bool, typer.Option(help="Write units moved but scaled as they came, not canonical.")
    ] = False,
    scratch: Scratch = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A file from which a killed `--method loss` goes on, and to write."),
    ] = None,
    keep_unused: KeepUnused = False,
    force: Force = False,
) -> None:
    """Move a network onto another, its function unchanged: files, shards or pretrained folders."""
    model = model_of(model, moving)
    mode = output_mode(output)
    check_inputs(inputs, tokens)
    _check_data(method, data, metric, only, scratch)
    _check_checkpoint(checkpoint, method, out)
    sources = open_checkpoint(moving), open_checkpoint(reference)
    read = [*weight_files(moving, reference), *data_files(data), *model_files(model)]
    place = Output(out, read, force)
    place.check_like(sources[0])
    examples = None if data is None else load_data(data)
    say_where_aligned(sources)
    landscape: Landscape | None = None
    probe: Probe | None = None
    if examples is None:  # without anything to run, the model's own weights are not read
        group, [b, a] = group_and_files(model, inputs, tokens, mode, output_key, sources, only)
    else:
        loaded = Loaded(model, inputs, tokens, output, output_key, [moving, reference])
        group, [b, a] = loaded.group, loaded.named
        landscape = loaded.landscape(examples, metric=metric)
        probe = Probe(loaded.model, group, examples[0], output_key=output_key)
    b.check_unused(keep_unused)  # before long work
    with shown_progress(every=5.0) as progress:
        found = aligned(
            group, b, a, method, bias, budget=budget, progress=progress, scratch=scratch,
            only=only or None, landscape=landscape, probe=probe, checkpoint=checkpoint,
        )  # fmt: skip
    moved: Params = found.group.moved(found.element, b) if raw else found.params
    place.write_like(b.file_params(moved, keep_unused), sources[0])
    lines = [_measured(found, bias)]
    if landscape is not None:
        lines.append(_between(landscape, found, bias))
    say("\n".join([*lines, f"written to `{out}`"]))


def _check_checkpoint(checkpoint: Path | None, method: str, out: Path) -> None:
    """Raises unless the method keeps a checkpoint, and has a file of its own for it."""
    if checkpoint is None:
        return
    if method != "loss":
        raise ConfigError("--checkpoint goes with --method loss alone; leave it out.")
    if checkpoint.resolve() == out.resolve():
        raise ConfigError(f"--checkpoint and --out are both `{out}`; name two files.")


def _check_data(
    method: str, data: str | None, metric: str, only: list[str] | None, scratch: Path | None
) -> None:
    """Raises unless a method of alignment and its data go together."""
    check_method(method, data, "--data")
    if data is None:
        return
    metric_named(metric)
    if method not in (*ON_DATA, "best"):
        raise ConfigError(
            f"the method {method!r} looks at no data; leave out --data, or pass --method "
            f"{', '.join(ON_DATA)} or best."
        )
    for option, given in (("--only", only), ("--scratch", scratch)):
        if given:
            raise ConfigError(f"{option} and --data do not go together; leave one of them out.")


def _between(landscape: Landscape, alignment: Alignment, bias: bool) -> str:
    """The loss at the middle of the geodesic, before and after, as alignment by the loss has it."""
    toroid = Toroid(alignment.group, bias)
    middles = [
        toroid.geodesic(alignment.reference, end)(0.5)
        for end in (alignment.start, alignment.params)
    ]
    divisor = temperature_between(alignment.group, landscape, middles[0])
    before, after = (landscape.measure(middle, divisor).loss for middle in middles)
    at = "" if divisor == 1 else f", outputs divided by {divisor:.3g}"
    return (
        f"{'middle':11s} loss {before:.6g} before, {after:.6g} after, half way between the two{at}"
    )


def _measured(alignment: Alignment, bias: bool) -> str:
    """What an alignment reached, one line per quantity."""
    group, toroid = alignment.compared, Toroid(alignment.compared, bias)
    reference, start, params = (
        x if group is alignment.group else {name: x[name] for name in group.shapes}
        for x in (alignment.reference, alignment.start, alignment.params)
    )
    lines = {
        "distance": (
            f"{toroid.distance(reference, start):.6g} before, "
            f"{toroid.distance(reference, params):.6g} after"
        ),
        "similarity": (
            f"{alignment.similarity_before:.6g} before, {alignment.similarity:.6g} after; "
            f"no element reaches more than {alignment.bound:.6g}"
        ),
        "method": f"{alignment.method}, {alignment.sweeps} sweeps"
        + ("" if alignment.converged else ", stopped by its budget"),
        "seconds": f"{alignment.seconds:.2f}",
    }
    notes = [f"note: {note}" for note in alignment.params.notes]
    return "\n".join([*notes, *(f"{name:11s} {value}" for name, value in lines.items())])
