"""The shell commands: parse, call one public function, print."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, cast, get_args

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from toroids.align.alignment import METHODS, METHODS_ON_DATA, Alignment
from toroids.align.alignment import align as aligned
from toroids.canonical.form import canonicalize as canonical_form
from toroids.checkpoint import (
    check_out,
    open_checkpoint,
    original_pieces,
    save_checkpoint,
    state_dict_names,
    store,
)
from toroids.errors import ConfigError, ToroidsError
from toroids.files import write_atomically
from toroids.geometry.toroid import Toroid
from toroids.params import Params, load_params, save_params
from toroids.report.page import write_report
from toroids.study.config import load_config
from toroids.study.run import Progress as Callback
from toroids.study.run import run_study
from toroids.symmetry.discover import discover
from toroids.symmetry.load import example, load_model
from toroids.symmetry.space import OutputMode
from toroids.symmetry.trace import Inputs
from toroids.symmetry.verify import is_wide, verify

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Remove the symmetries of neural networks and measure their error landscape.",
)

# What needs data cannot be asked for in the shell.
ALIGN_METHODS = sorted(METHODS.keys() - METHODS_ON_DATA)
MODEL = "package.module:callable, or a Hugging Face folder."
Shapes = Annotated[
    list[str],
    typer.Option(
        "--input",
        help="An example's shape, as 1,3,32,32; NAME=1,8 for a keyword argument. Repeatable.",
    ),
]
Tokens = Annotated[int | None, typer.Option(help="The inputs are token ids below this number.")]
OutputName = Annotated[str, typer.Option(help="values, logits or classifier.")]
OutputKey = Annotated[
    str | None, typer.Option(help="The entry of a structured output that counts.")
]


@app.command()
def study(
    file: Annotated[Path, typer.Argument(help="The study, a TOML file.")] = Path(
        "studies/digits.toml"
    ),
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/NAME when not given.")
    ] = None,
) -> None:
    """Train, align and measure the networks of a study, and write its report."""
    config = load_config(file)
    folder = out or Path("runs") / config.name
    try:
        with _progress() as progress:
            run_study(config, folder, progress)
    except KeyboardInterrupt:
        typer.echo(
            f"toroids: interrupted; `{folder}` is as it was before; the same command starts over.",
            err=True,
        )
        raise typer.Exit(130) from None
    _say(f"report: {write_report(folder)}")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
) -> None:
    """Write the report of a finished run anew."""
    _say(f"report: {write_report(run)}")


@app.command()
def symmetries(
    model: Annotated[str, typer.Argument(help=MODEL)],
    inputs: Shapes,
    tokens: Tokens = None,
    output: OutputName = "values",
    output_key: OutputKey = None,
    json: Annotated[Path | None, typer.Option(help="Write the group here as JSON.")] = None,
) -> None:
    """Find, prove and print the symmetry group of a model."""
    mode, examples = _mode(output), _examples(inputs, tokens)
    network = load_model(model)
    group = discover(network, examples, mode, output_key=output_key)
    if json is not None:
        write_atomically(json, group.to_json().encode())
    deviation = verify(group, network, examples, output_key=output_key)
    precision = "float64" if is_wide(network) else "the model's own precision"
    _say(f"{group}\nproven: outputs change by at most {deviation:.0e} in {precision}")


@app.command()
def canonicalize(
    weights: Annotated[Path, typer.Argument(help="The network's weights, a safetensors file.")],
    model: Annotated[str, typer.Option(help=MODEL)],
    inputs: Shapes,
    out: Annotated[Path, typer.Option(help="Where the canonical weights go.")],
    tokens: Tokens = None,
    output: OutputName = "values",
    output_key: OutputKey = None,
    gauge: Annotated[str, typer.Option(help="sphere, or balanced for the least norm.")] = "sphere",
    bias: Annotated[bool, typer.Option(help="Count biases as coordinates of the spheres.")] = True,
    batch_norm: Annotated[str, typer.Option(help="keep or fold.")] = "keep",
) -> None:
    """Bring a network to its canonical form: the same function, its symmetries removed."""
    mode, examples = _mode(output), _examples(inputs, tokens)
    params = load_params(weights)
    group = discover(load_model(model), examples, mode, output_key=output_key)
    canonical = canonical_form(group, params, gauge, bias, batch_norm)
    save_params(canonical, out)
    moved = sum(not torch.equal(canonical[name], tensor) for name, tensor in params.items())
    lines = [*(f"note: {note}" for note in canonical.notes)]
    _say("\n".join([*lines, f"{moved} of {len(params)} tensors changed; written to `{out}`"]))


@app.command()
def align(
    moving: Annotated[
        Path, typer.Argument(help="The network to move: a file, or a folder of shards.")
    ],
    reference: Annotated[Path, typer.Argument(help="The network that stays.")],
    model: Annotated[str, typer.Option(help=MODEL)],
    inputs: Shapes,
    out: Annotated[Path, typer.Option(help="Where the moved weights go; laid out as they came.")],
    tokens: Tokens = None,
    output: OutputName = "values",
    output_key: OutputKey = None,
    method: Annotated[str, typer.Option(help=f"{', '.join(ALIGN_METHODS)}.")] = "descent",
    budget: Annotated[
        float | None, typer.Option(help="Seconds to spend; the best so far is kept.")
    ] = None,
    bias: Annotated[bool, typer.Option(help="Count biases as coordinates of the spheres.")] = True,
    raw: Annotated[
        bool, typer.Option(help="Write units moved but scaled as they came, not canonical.")
    ] = False,
    scratch: Annotated[
        Path | None, typer.Option(help="A folder on a disk, for networks that exceed the memory.")
    ] = None,
    keep_unused: Annotated[
        bool, typer.Option(help="Write weights that the model does not have as they came.")
    ] = False,
) -> None:
    """Move a network onto another, its function unchanged: files, shards or pretrained folders."""
    mode, examples = _mode(output), _examples(inputs, tokens)
    sources = open_checkpoint(moving), open_checkpoint(reference)
    check_out(sources[0], out)
    network = load_model(model)
    group = discover(network, examples, mode, output_key=output_key)
    pieces = original_pieces(network)
    del network  # as large as what is aligned
    b, a = (state_dict_names(x, group.shapes, group.tied, pieces) for x in sources)
    with _progress(every=5.0) as progress:
        found = aligned(
            group, b, a, method, bias, budget=budget, progress=progress, scratch=scratch
        )
    moved: Params = found.params
    if raw:
        moved = store(b, scratch)
        group.apply_(found.element, moved)
    save_checkpoint(b.file_params(moved, keep_unused), sources[0], out)
    _say(_measured(found, bias) + f"\nwritten to `{out}`")


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    if show_version:
        typer.echo(f"toroids {version('toroids')}")
        raise typer.Exit


def _mode(output: str) -> OutputMode:
    modes = get_args(OutputMode)
    if output not in modes:
        raise ConfigError(f"there is no output mode {output!r}; choose from {modes}.")
    return cast(OutputMode, output)


def _examples(inputs: list[str], tokens: int | None) -> Inputs:
    named = [text.partition("=")[::2] for text in inputs if "=" in text]
    plain = [example(text, tokens) for text in inputs if "=" not in text]
    if named and plain:
        raise ConfigError("some inputs have names and some have none; name all of them or none.")
    return {name: example(shape, tokens) for name, shape in named} if named else tuple(plain)


def _measured(alignment: Alignment, bias: bool) -> str:
    """What an alignment reached, one line per quantity."""
    toroid = Toroid(alignment.group, bias)
    lines = {
        "distance": (
            f"{toroid.distance(alignment.reference, alignment.start):.6g} before, "
            f"{toroid.distance(alignment.reference, alignment.params):.6g} after"
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


def _say(text: str) -> None:
    """Prints one line; a reader that has gone away, as `head` does, does not end the study."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # stays open to the end


@contextmanager
def _progress(every: float = 0.0) -> Iterator[Callback]:
    """Yields a callback: a live bar where a person watches, plain lines elsewhere.

    Args:
        every: seconds from one plain line to the next; what comes in between is left out.

    Yields:
        What is called with a text, the number of tasks done, and of all tasks.
    """
    console = Console()
    if not console.is_terminal:
        last = time.monotonic()

        def plain(text: str, done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= every:
                last = time.monotonic()
                _say(f"[{done}/{total}] {text}")

        yield plain
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("starting")
        yield lambda text, done, total: bar.update(
            task, description=text.split(":")[0], completed=done, total=total
        )


def main() -> None:
    """Runs the shell command.

    A user's mistake is one sentence on stderr and exit code 2; Ctrl-C is exit code 130.
    """
    try:
        app()
    except ToroidsError as error:
        print(f"toroids: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        where = f" `{error.filename}`" if error.filename else ""
        reason = error.strerror or str(error)
        print(f"toroids: cannot use{where}: {reason}; choose another place.", file=sys.stderr)
        sys.exit(2)
