"""`toroids profile`, `flatness` and `section`: the error landscape of given networks."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from toroids.align.alignment import align
from toroids.canonical.form import canonicalize
from toroids.cli.loaded import (
    Examples,
    Loaded,
    Measure,
    Mode,
    Picture,
    Training,
    Width,
    axis_of,
    names_of,
)
from toroids.cli.shared import (
    MODEL,
    Method,
    OutputKey,
    Shapes,
    Tokens,
    check_file,
    check_method,
    say,
    shown_progress,
)
from toroids.data.files import load_data
from toroids.errors import ConfigError
from toroids.evaluation.metrics import metric_named
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.paths import Path as Curve
from toroids.geometry.toroid import Toroid
from toroids.landscape.connect import connect
from toroids.landscape.flatness import LocalEnergy, local_energy
from toroids.landscape.joined import WAYS, joined
from toroids.landscape.noise import KINDS, ON_TOROID
from toroids.landscape.profile import Profile
from toroids.landscape.profile import profile as profile_of
from toroids.landscape.section import section as section_of
from toroids.report.pictures import (
    energy_picture,
    profile_picture,
    section_picture,
    write_picture,
)

BEND = "bend"


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
    method: Method = "descent",
    batch_norm: Annotated[str, typer.Option(help="recalibrate or keep.")] = "recalibrate",
    steps: Annotated[int, typer.Option(help="Of training a bend.")] = 2000,
    metric: Measure = "classification",
    batch_size: Width = 1024,
) -> None:
    """Measure the error along paths between two networks, and draw it."""
    check_file(out)
    check_method(method)
    metric_named(metric)
    ways = way or ["raw", "geodesic"]
    for name in ways:
        if name not in (*WAYS, BEND):
            raise ConfigError(f"there is no way {name!r}; choose from {(*WAYS, BEND)}.")
    examples = load_data(data)
    training = load_data(train) if train else examples
    loaded = Loaded(model, inputs, tokens, output, output_key, [start, end])
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
    write_picture(profile_picture(curves, axis_of(metric)), title, lines, out)
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
        str | None,
        typer.Option(
            help="Relative sizes of the noise, of flips fractions of the weights, separated by "
            "commas."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Noise samples.")] = 32,
    precision: Annotated[
        float | None, typer.Option(help="Draw until every standard error is as small as this.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the noise, the same for every network.", min=0, max=2**63 - 1)
    ] = 0,
    metric: Measure = "classification",
    batch_size: Width = 1024,
) -> None:
    """Measure how much noise on the weights raises the error of networks, and draw it."""
    check_file(out)
    metric_named(metric)
    sizes = None if sigmas is None else _numbers(sigmas)
    examples = load_data(data)
    loaded = Loaded(model, inputs, tokens, output, output_key, weights)
    toroid = Toroid(loaded.group) if kind in ON_TOROID else None
    cube = Hypercube(loaded.group) if kind == "flips" else None
    found: dict[str, LocalEnergy] = {}
    with shown_progress(every=5.0) as progress:
        for name, network in zip(names_of(weights), loaded.networks, strict=True):
            canonical = kind != "multiplicative"
            params = canonicalize(loaded.group, network) if canonical else network
            found[name] = local_energy(
                loaded.model,
                params,
                examples,
                sizes,
                samples,
                kind=kind,
                toroid=toroid,
                cube=cube,
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
    write_picture(energy_picture(found, axis_of(metric)), "Flatness", [*shown, *lines], out)
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
    method: Method = "descent",
    batch_norm: Annotated[str, typer.Option(help="recalibrate or keep.")] = "recalibrate",
    metric: Measure = "classification",
    batch_size: Width = 1024,
) -> None:
    """Measure the error on the plane through three networks, in true distances, and draw it."""
    check_file(out)
    check_method(method)
    metric_named(metric)
    if len(weights) != 3:
        raise ConfigError(f"there are {len(weights)} networks; a plane goes through three.")
    examples = load_data(data)
    loaded = Loaded(model, inputs, tokens, output, output_key, weights)
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
    names = names_of(weights)
    lines = [
        f"{name}: error {error:.4g} at ({x:.4g}, {y:.4g})"
        for name, error, (x, y) in zip(
            names, plane.errors.tolist(), plane.points.tolist(), strict=True
        )
    ] + list(plane.notes)
    kind = "raw" if raw else "canonical and aligned to the first"
    title = f"The plane through three networks, {kind}"
    write_picture(section_picture(plane, names, axis_of(metric)), title, lines, out)
    say("\n".join([*lines, f"drawn in `{out}`"]))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"the sigmas are {text!r}; write numbers as 0.1,0.2.") from error
