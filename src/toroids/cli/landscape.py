"""`toroids profile`, `flatness` and `section`: the error landscape of given networks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from toroids.align.alignment import align
from toroids.canonical.form import canonicalize
from toroids.cli.flips import (
    FLIPS,
    SEVERAL,
    check_tolerance,
    check_ways,
    curve_lines,
    flip_curves,
    median_lines,
)
from toroids.cli.loaded import (
    Examples,
    Loaded,
    Measure,
    Mode,
    Picture,
    Training,
    Width,
    axis_of,
    data_files,
    names_of,
)
from toroids.cli.outputs import Force, Output, model_files, weight_files
from toroids.cli.shared import (
    Method,
    ModelName,
    OutputKey,
    Shapes,
    Tokens,
    check_method,
    model_of,
    say,
    shown_progress,
)
from toroids.data.files import load_data
from toroids.errors import ConfigError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import metric_named
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.paths import Path as Curve
from toroids.geometry.toroid import Toroid
from toroids.landscape.bending import BendRecipe
from toroids.landscape.connect import connect
from toroids.landscape.flatness import LocalEnergy, Until, local_energy
from toroids.landscape.joined import WAYS, joined
from toroids.landscape.median import median_section
from toroids.landscape.noise import KINDS
from toroids.landscape.orders import FlipProfile
from toroids.landscape.profile import Profile
from toroids.landscape.profile import profile as profile_of
from toroids.landscape.section import Section
from toroids.landscape.section import section as section_of
from toroids.params import Params
from toroids.progress import Progress
from toroids.report.pictures import (
    energy_picture,
    median_picture,
    picture_page,
    profile_picture,
    section_picture,
    trajectory_picture,
)

BEND = "bend"


def profile(
    start: Annotated[Path, typer.Argument(help="A network: a file, or a folder of shards.")],
    end: Annotated[Path, typer.Argument(help="Another network of the same model.")],
    data: Examples,
    out: Picture,
    model: ModelName = None,
    inputs: Shapes = None,
    train: Training = None,
    tokens: Tokens = None,
    output: Mode = "classifier",
    output_key: OutputKey = None,
    way: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(WAYS)}, {BEND}; of binary weights {', '.join(FLIPS)}. Repeatable; "
            "the first, and geodesic or flips, when not given."
        ),
    ] = None,
    points: Annotated[int, typer.Option(help="Points on each path, both ends included.")] = 25,
    tolerance: Annotated[
        float | None, typer.Option(help="Add points until the barrier is known to this error.")
    ] = None,
    method: Method = "descent",
    statistics: Annotated[
        str, typer.Option(help="Of batch norms on the way: recalibrate or keep.")
    ] = "recalibrate",
    steps: Annotated[int, typer.Option(help="Of training a bend.")] = 2000,
    orders: Annotated[
        int, typer.Option(help="Orders in which binary weights are flipped.")
    ] = SEVERAL,
    metric: Measure = "classification",
    batch_size: Width = 1024,
    force: Force = False,
) -> None:
    """Measure the error along paths between two networks, and draw it."""
    model = model_of(model, start)
    place = Output(
        out, [*weight_files(start, end), *data_files(data, train), *model_files(model)], force
    )
    place.check()
    check_method(method)
    metric_named(metric)
    check_ways(way or (), (*WAYS, BEND, *FLIPS))
    examples, training = load_data(data), load_data(train) if train else None
    loaded = Loaded(model, inputs, tokens, output, output_key, [start, end])
    landscape = loaded.landscape(
        examples, metric=metric, training=training, statistics=statistics, batch_size=batch_size
    )
    curves: Mapping[str, Profile | FlipProfile]
    with shown_progress(every=5.0) as progress:
        if loaded.group.binary:
            check_tolerance(tolerance)
            ways = way or ["flips_raw", "flips"]
            check_ways(ways, FLIPS, " between binary weights")
            curves = flip_curves(loaded, landscape, ways, (orders, points), method, progress)
        else:
            ways = way or ["raw", "geodesic"]
            check_ways(ways, (*WAYS, BEND), " between real weights")
            paths = _paths(loaded, landscape, ways, method, steps, progress)
            curves = {
                name: profile_of(landscape, path, points, tolerance=tolerance, progress=progress)
                for name, path in paths.items()
            }
    lines = [line for name, curve in curves.items() for line in _barriers(name, curve)]
    title = f"{start.name} to {end.name}"
    place.write_page(picture_page(profile_picture(curves, axis_of(metric)), title, lines))
    say("\n".join([*lines, f"drawn in `{out}`"]))


def _paths(
    loaded: Loaded,
    landscape: Landscape,
    ways: Sequence[str],
    method: str,
    steps: int,
    progress: Progress,
) -> dict[str, Curve]:
    a, b = loaded.networks
    alignment = align(loaded.group, b, to=a, method=method, progress=progress)
    straight = [name for name in ways if name != BEND]
    paths: dict[str, Curve] = joined(loaded.group, alignment, a, b, straight)
    if BEND in ways:
        start, end = alignment.reference, alignment.params
        paths[BEND] = connect(landscape, start, end, BendRecipe(steps), progress=progress)
    return {name: paths[name] for name in ways}


def _barriers(name: str, curve: Profile | FlipProfile) -> list[str]:
    if isinstance(curve, FlipProfile):
        return curve_lines(name, curve)
    return [
        f"{name}: barrier {curve.barrier:.4g} (standard error {curve.barrier_stderr:.1g}) at "
        f"t = {curve.highest:.3g}; over the chord {curve.barrier_over_chord:.4g}, on average "
        f"{curve.mean_barrier:.4g}; {len(curve.t)} points",
        *(f"{name}: {note}" for note in curve.notes),
    ]


def flatness(
    weights: Annotated[list[Path], typer.Argument(help="Networks: files, or folders of shards.")],
    data: Examples,
    out: Picture,
    model: ModelName = None,
    inputs: Shapes = None,
    tokens: Tokens = None,
    output: Mode = "classifier",
    output_key: OutputKey = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(KINDS)}. When not given, multiplicative, and flips of binary weights."
        ),
    ] = None,
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
    force: Force = False,
) -> None:
    """Measure how much noise on the weights raises the error of networks, and draw it."""
    model = model_of(model, weights[0])
    place = Output(out, [*weight_files(*weights), *data_files(data), *model_files(model)], force)
    place.check()
    metric_named(metric)
    sizes = None if sigmas is None else _numbers(sigmas)
    examples = load_data(data)
    loaded = Loaded(model, inputs, tokens, output, output_key, weights)
    kind = kind or ("flips" if loaded.group.binary else "multiplicative")
    if kind == "flips" and not loaded.group.binary:
        raise ConfigError("the model has no binary weights to flip; choose another --kind.")
    on = Hypercube(loaded.group) if kind == "flips" else Toroid(loaded.group)
    landscape = loaded.landscape(examples, on=on, metric=metric, batch_size=batch_size)
    drawn = samples if precision is None else Until(precision, samples)
    found: dict[str, LocalEnergy] = {}
    with shown_progress(every=5.0) as progress:
        for name, network in zip(names_of(weights), loaded.networks, strict=True):
            found[name] = local_energy(
                landscape,
                canonicalize(loaded.group, network),
                sizes,
                drawn,
                kind=kind,
                generator=torch.Generator().manual_seed(seed),
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
    figure = energy_picture(found, axis_of(metric))
    place.write_page(picture_page(figure, "Flatness", [*shown, *lines]))
    say("\n".join([*shown, *lines, f"drawn in `{out}`"]))


def section(
    weights: Annotated[
        list[Path],
        typer.Argument(help="Three networks of the same model; or checkpoints, the last one last."),
    ],
    data: Examples,
    out: Picture,
    model: ModelName = None,
    inputs: Shapes = None,
    trajectory: Annotated[
        bool, typer.Option(help="The networks are checkpoints of one training, three or more.")
    ] = False,
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
    statistics: Annotated[
        str, typer.Option(help="Of batch norms on the way: recalibrate or keep.")
    ] = "recalibrate",
    metric: Measure = "classification",
    batch_size: Width = 1024,
    force: Force = False,
) -> None:
    """Measure the error on the plane through three networks, in true distances, and draw it.

    Of binary weights on the three faces around the median, in Hamming distances. With --trajectory
    on the plane of the principal axes of one training's checkpoints, canonical but not aligned,
    each placed with its distance from the plane.
    """
    model = model_of(model, weights[0])
    place = Output(
        out, [*weight_files(*weights), *data_files(data, train), *model_files(model)], force
    )
    place.check()
    check_method(method)
    metric_named(metric)
    _check_count(len(weights), trajectory)
    examples = load_data(data)
    loaded = Loaded(model, inputs, tokens, output, output_key, weights)
    if loaded.group.binary:
        check_tolerance(tolerance)
        if trajectory:
            raise ConfigError(
                "binary weights have no principal axes; pass three networks without --trajectory."
            )
    names = names_of(weights)
    landscape = loaded.landscape(
        examples,
        metric=metric,
        training=load_data(train) if train else None,
        statistics=statistics,
        batch_size=batch_size,
    )
    with shown_progress(every=5.0) as progress:
        networks = _standard(loaded, raw, None if trajectory else method)
        if loaded.group.binary:
            faces = median_section(landscape, networks, resolution, progress=progress)
            picture = median_picture(faces, names, axis_of(metric))
            lines = median_lines(names, faces)
        else:
            plane = section_of(
                replace(landscape, on=None),
                networks,
                resolution,
                axes="principal" if trajectory else "networks",
                tolerance=tolerance,
                progress=progress,
            )
            draw = trajectory_picture if trajectory else section_picture
            picture = draw(plane, names, axis_of(metric))
            lines = _places(names, plane, trajectory)
    title = _title(bool(loaded.group.binary), raw, len(networks) if trajectory else None)
    place.write_page(picture_page(picture, title, lines))
    say("\n".join([*lines, f"drawn in `{out}`"]))


def _check_count(count: int, trajectory: bool) -> None:
    if trajectory and count < 3:
        raise ConfigError(
            f"there are {count} checkpoints; pass three or more, in the order of training."
        )
    if not trajectory and count != 3:
        raise ConfigError(
            f"there are {count} networks; a plane goes through three, or with --trajectory along "
            "the checkpoints of one training."
        )


def _standard(loaded: Loaded, raw: bool, method: str | None) -> list[Params]:
    """The networks as they came, canonical, or by a method aligned to the first as well."""
    group, networks = loaded.group, loaded.networks
    if raw and not group.binary:
        return networks
    if raw or method is None:  # of binary weights the signs are all that is read
        return [canonicalize(group, network) for network in networks]
    first, *others = networks
    moved = [align(group, other, to=first, method=method) for other in others]
    return [moved[0].reference, *(alignment.params for alignment in moved)]


def _title(binary: bool, raw: bool, checkpoints: int | None) -> str:
    if checkpoints is not None:
        kind = "raw" if raw else "canonical"
        return f"The plane of the principal axes of {checkpoints} checkpoints, {kind}"
    kind = "raw" if raw else "canonical and aligned to the first"
    what = "The faces around the median of" if binary else "The plane through"
    return f"{what} three networks, {kind}"


def _places(names: Sequence[str], plane: Section, trajectory: bool) -> list[str]:
    found = zip(names, plane.errors.tolist(), plane.points.tolist(), strict=True)
    lines = [f"{name}: error {e:.4g} at ({x:.4g}, {y:.4g})" for name, e, (x, y) in found]
    if trajectory:
        far = plane.away.tolist()
        lines = [f"{x}, {d:.4g} from the plane" for x, d in zip(lines, far, strict=True)]
        shares = [f"{share:.1%}" for share in plane.explained.tolist()]
        lines.append(f"{' and '.join(shares)} of the squared distances lie along the two axes")
    return [*lines, *plane.notes]


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"the sigmas are {text!r}; write numbers as 0.1,0.2.") from error
