"""`toroids profile`, `flatness`, `section` and `merge`: the error landscape of given networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn

from toroids.align.alignment import align
from toroids.canonical.form import canonicalize
from toroids.checkpoint import (
    check_out,
    open_checkpoint,
    original_pieces,
    save_checkpoint,
    state_dict_names,
)
from toroids.cli.shared import (
    MODEL,
    OutputKey,
    Shapes,
    Tokens,
    check_file,
    example_inputs,
    output_mode,
    say,
    shown_progress,
)
from toroids.data.files import load_data
from toroids.errors import ConfigError
from toroids.evaluation.batches import Batch
from toroids.evaluation.evaluate import evaluate
from toroids.evaluation.summary import Evaluation
from toroids.geometry.paths import Path as Curve
from toroids.geometry.toroid import Toroid
from toroids.landscape.connect import connect
from toroids.landscape.flatness import SIGMAS, LocalEnergy, local_energy
from toroids.landscape.joined import WAYS, joined
from toroids.landscape.merge import evaluate_ensemble
from toroids.landscape.merge import merge as merged_network
from toroids.landscape.noise import KINDS
from toroids.landscape.profile import Profile
from toroids.landscape.profile import profile as profile_of
from toroids.landscape.section import section as section_of
from toroids.params import Params
from toroids.report.pictures import (
    energy_picture,
    errors_picture,
    profile_picture,
    section_picture,
    write_picture,
)
from toroids.symmetry.discover import discover
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.load import load_model

DATA = "A safetensors file with `inputs` and `targets`; or digits, digits:test."
BEND = "bend"
Examples = Annotated[str, typer.Option("--data", help=DATA)]
Training = Annotated[
    str | None, typer.Option("--train", help="Training data, in the same form; --data when not.")
]
Picture = Annotated[Path, typer.Option(help="Where the picture goes, an HTML file.")]
Measure = Annotated[
    str, typer.Option(help="classification, top-K (as top-5), next-token or squared-error.")
]
# What a reader of errors does not see is removed, unless said otherwise.
Mode = Annotated[str, typer.Option(help="values, logits or classifier.")]
Width = Annotated[int, typer.Option(help="Examples that are run at once.")]


class _Loaded:
    """A model with its group, and its networks' files."""

    def __init__(
        self,
        model: str,
        inputs: list[str],
        tokens: int | None,
        output: str,
        output_key: str | None,
        files: Sequence[Path],
    ) -> None:
        self.model: nn.Module = load_model(model)
        mode, examples = output_mode(output), example_inputs(inputs, tokens)
        self.group: SymmetryGroup = discover(self.model, examples, mode, output_key=output_key)
        pieces = original_pieces(self.model)
        self.sources = [open_checkpoint(file) for file in files]
        self.named = [
            state_dict_names(x, self.group.shapes, self.group.tied, pieces) for x in self.sources
        ]
        self.networks: list[Params] = [dict(x) for x in self.named]


def profile(
    start: Annotated[Path, typer.Argument(help="A network: a file, or a folder of shards.")],
    end: Annotated[Path, typer.Argument(help="Another network of the same model.")],
    model: Annotated[str, typer.Option(help=MODEL)],
    inputs: Shapes,
    data: Examples,
    out: Picture,
    train: Training = None,
    tokens: Tokens = None,
    output: Mode = "classifier",
    output_key: OutputKey = None,
    way: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(WAYS)}, {BEND}; repeatable; raw and geodesic when not given."
        ),
    ] = None,
    points: Annotated[int, typer.Option(help="Points on each path, both ends included.")] = 25,
    tolerance: Annotated[
        float | None, typer.Option(help="Add points until the barrier is known to this error.")
    ] = None,
    method: Annotated[str, typer.Option(help="Of alignment, as in `toroids align`.")] = "descent",
    batch_norm: Annotated[str, typer.Option(help="recalibrate or keep.")] = "recalibrate",
    steps: Annotated[int, typer.Option(help="Of training a bend.")] = 2000,
    metric: Measure = "classification",
    batch_size: Width = 1024,
) -> None:
    """Measure the error along paths between two networks, and draw it."""
    check_file(out)
    ways = way or ["raw", "geodesic"]
    for name in ways:
        if name not in (*WAYS, BEND):
            raise ConfigError(f"there is no way {name!r}; choose from {(*WAYS, BEND)}.")
    examples = load_data(data)
    training = load_data(train) if train else examples
    loaded = _Loaded(model, inputs, tokens, output, output_key, [start, end])
    a, b = loaded.networks
    curves: dict[str, Profile] = {}
    with shown_progress(every=5.0) as progress:
        alignment = align(loaded.group, b, to=a, method=method, progress=progress)
        paths: dict[str, Curve] = joined(
            loaded.group, alignment, a, b, [name for name in ways if name != BEND]
        )
        if BEND in ways:
            paths[BEND] = connect(
                loaded.model,
                alignment.reference,
                alignment.params,
                training,
                toroid=Toroid(loaded.group),
                steps=steps,
                metric=metric,
                output_key=output_key,
                progress=progress,
            )
        for name in ways:
            curves[name] = profile_of(
                loaded.model,
                paths[name],
                examples,
                points,
                tolerance=tolerance,
                calibration=training,
                batch_norm=batch_norm,
                metric=metric,
                batch_size=batch_size,
                output_key=output_key,
                progress=progress,
            )
    lines = [line for name, curve in curves.items() for line in _barriers(name, curve)]
    title = f"{start.name} to {end.name}"
    write_picture(profile_picture(curves, _axis(metric)), title, lines, out)
    say("\n".join([*lines, f"drawn in `{out}`"]))


def _barriers(name: str, curve: Profile) -> list[str]:
    return [
        f"{name}: barrier {curve.barrier:.4g} (standard error {curve.barrier_stderr:.1g}) at "
        f"t = {curve.highest:.3g}; over the chord {curve.barrier_over_chord:.4g}, on average "
        f"{curve.mean_barrier:.4g}; {len(curve.t)} points",
        *(f"{name}: {note}" for note in curve.notes),
    ]


def flatness(
    weights: Annotated[list[Path], typer.Argument(help="Networks: files, or folders of shards.")],
    model: Annotated[str, typer.Option(help=MODEL)],
    inputs: Shapes,
    data: Examples,
    out: Picture,
    tokens: Tokens = None,
    output: Mode = "classifier",
    output_key: OutputKey = None,
    kind: Annotated[str, typer.Option(help=f"{', '.join(KINDS)}.")] = "multiplicative",
    sigmas: Annotated[
        str, typer.Option(help="Relative sizes of the noise, separated by commas.")
    ] = ",".join(map(str, SIGMAS)),
    samples: Annotated[int, typer.Option(help="Noise samples.")] = 32,
    precision: Annotated[
        float | None, typer.Option(help="Draw until every standard error is as small as this.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise, the same for every network.")] = 0,
    metric: Measure = "classification",
    batch_size: Width = 1024,
) -> None:
    """Measure how much noise on the weights raises the error of networks, and draw it."""
    check_file(out)
    sizes = _numbers(sigmas)
    examples = load_data(data)
    loaded = _Loaded(model, inputs, tokens, output, output_key, weights)
    toroid = Toroid(loaded.group)
    found: dict[str, LocalEnergy] = {}
    with shown_progress(every=5.0) as progress:
        for name, network in zip(_names(weights), loaded.networks, strict=True):
            canonical = kind != "multiplicative"
            params = canonicalize(loaded.group, network) if canonical else network
            found[name] = local_energy(
                loaded.model,
                params,
                examples,
                sizes,
                samples,
                kind=kind,
                toroid=toroid if canonical else None,
                precision=precision,
                generator=torch.Generator().manual_seed(seed),
                metric=metric,
                batch_size=batch_size,
                output_key=output_key,
                progress=progress,
            )
    lines = [
        f"{name}: sigma {sigma:.4g}  increase {increase:.4g}  standard error {stderr:.1g}"
        for name, energy in found.items()
        for sigma, increase, stderr in zip(
            energy.sigma.tolist(), energy.increase.tolist(), energy.stderr.tolist(), strict=True
        )
    ]
    shown = [f"{name}: {energy.samples} samples of {kind} noise" for name, energy in found.items()]
    write_picture(energy_picture(found, _axis(metric)), "Flatness", [*shown, *lines], out)
    say("\n".join([*shown, *lines, f"drawn in `{out}`"]))


def section(
    weights: Annotated[list[Path], typer.Argument(help="Three networks of the same model.")],
    model: Annotated[str, typer.Option(help=MODEL)],
    inputs: Shapes,
    data: Examples,
    out: Picture,
    train: Training = None,
    tokens: Tokens = None,
    output: Mode = "classifier",
    output_key: OutputKey = None,
    raw: Annotated[
        bool, typer.Option(help="The networks as they came, not canonical and aligned.")
    ] = False,
    resolution: Annotated[int, typer.Option(help="Columns, and rows, of the grid.")] = 25,
    tolerance: Annotated[
        float | None, typer.Option(help="Refine only where the error differs by more than this.")
    ] = None,
    method: Annotated[str, typer.Option(help="Of alignment, as in `toroids align`.")] = "descent",
    batch_norm: Annotated[str, typer.Option(help="recalibrate or keep.")] = "recalibrate",
    metric: Measure = "classification",
    batch_size: Width = 1024,
) -> None:
    """Measure the error on the plane through three networks, in true distances, and draw it."""
    check_file(out)
    if len(weights) != 3:
        raise ConfigError(f"there are {len(weights)} networks; a plane goes through three.")
    examples = load_data(data)
    loaded = _Loaded(model, inputs, tokens, output, output_key, weights)
    a, b, c = loaded.networks
    with shown_progress(every=5.0) as progress:
        if not raw:
            first, second = (align(loaded.group, x, to=a, method=method) for x in (b, c))
            a, b, c = first.reference, first.params, second.params
        plane = section_of(
            loaded.model,
            a,
            b,
            c,
            examples,
            resolution,
            tolerance=tolerance,
            calibration=load_data(train) if train else None,
            batch_norm=batch_norm,
            metric=metric,
            batch_size=batch_size,
            output_key=output_key,
            progress=progress,
        )
    names = _names(weights)
    lines = [
        f"{name}: error {error:.4g} at ({x:.4g}, {y:.4g})"
        for name, error, (x, y) in zip(
            names, plane.errors.tolist(), plane.points.tolist(), strict=True
        )
    ] + list(plane.notes)
    kind = "raw" if raw else "canonical and aligned to the first"
    title = f"The plane through three networks, {kind}"
    write_picture(section_picture(plane, names, _axis(metric)), title, lines, out)
    say("\n".join([*lines, f"drawn in `{out}`"]))


def merge(
    weights: Annotated[list[Path], typer.Argument(help="Two or more networks to merge.")],
    model: Annotated[str, typer.Option(help=MODEL)],
    inputs: Shapes,
    out: Annotated[Path, typer.Option(help="Where the merged weights go; laid out as the first.")],
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
    method: Annotated[str, typer.Option(help="Of alignment, as in `toroids align`.")] = "descent",
    metric: Measure = "classification",
    batch_size: Width = 1024,
) -> None:
    """Merge networks into one, and compare it with them and with their ensemble."""
    if picture is not None and data is None:
        raise ConfigError("a picture compares errors; pass --data.")
    if picture is not None:
        check_file(picture)
    examples, training = (None if x is None else load_data(x) for x in (data, train))
    check_out(open_checkpoint(weights[0]), out)
    loaded = _Loaded(model, inputs, tokens, output, output_key, weights)
    with shown_progress(every=5.0) as progress:
        merged = merged_network(
            loaded.group,
            loaded.model,
            loaded.networks,
            training,
            method,
            batch_size=batch_size,
            output_key=output_key,
            progress=progress,
        )
    save_checkpoint(loaded.named[0].file_params(merged, False), loaded.sources[0], out)
    lines = [f"note: {note}" for note in merged.notes]
    if examples is not None:
        errors = _compared(loaded, weights, merged, examples, metric, batch_size, output_key)
        lines += [
            f"{name}: error {found.error:.4g} (standard error {found.error_stderr:.1g})"
            for name, found in errors.items()
        ]
        if picture is not None:
            write_picture(errors_picture(errors, _axis(metric)), "Merged", lines, picture)
            lines.append(f"drawn in `{picture}`")
    say("\n".join([*lines, f"written to `{out}`"]))


def _compared(
    loaded: _Loaded,
    files: Sequence[Path],
    merged: Params,
    data: Batch,
    metric: str,
    batch_size: int,
    output_key: str | None,
) -> dict[str, Evaluation]:
    """Errors of the networks, of the merged one and, for classifiers, of the ensemble."""
    networks = dict(zip(_names(files), loaded.networks, strict=True)) | {"merged": merged}
    found = {
        name: evaluate(
            loaded.model,
            params,
            data,
            metric=metric,
            batch_size=batch_size,
            output_key=output_key,
        )
        for name, params in networks.items()
    }
    if metric != "squared-error":  # there is no probability to average
        found["ensemble"] = evaluate_ensemble(
            loaded.model,
            loaded.networks,
            data,
            metric=metric,
            batch_size=batch_size,
            output_key=output_key,
        )
    return found


def _names(files: Sequence[Path]) -> list[str]:
    """What tells files apart: their names, or all of their paths."""
    names = [file.name for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"the sigmas are {text!r}; write numbers as 0.1,0.2.") from error


def _axis(metric: str) -> str:
    return {"classification": "error (fraction wrong)", "squared-error": "squared error"}.get(
        metric, f"error ({metric})"
    )
