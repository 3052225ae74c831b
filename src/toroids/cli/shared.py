"""What the shell commands share: options, examples of inputs, printing and progress."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from torch import nn

from toroids.align.alignment import METHODS, METHODS_ON_DATA
from toroids.checkpoint import open_checkpoint
from toroids.compare.siblings import lie_alike
from toroids.discovery.tracing.example import Inputs
from toroids.errors import ConfigError, escaped
from toroids.models.load import example, usual_inputs
from toroids.params import Params
from toroids.progress import Progress as Callback
from toroids.symmetry.space import OutputMode

MODEL = "package.module:callable, or a Hugging Face folder."
ModelName = Annotated[
    str | None,
    typer.Option("--model", help=f"{MODEL} The folder of the first network when not given."),
]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="An example's shape, as 1,3,32,32; NAME=1,8 for a keyword argument. Repeatable. A "
        "Hugging Face model of texts or images needs none.",
    ),
]
Tokens = Annotated[int | None, typer.Option(help="The inputs are token ids below this number.")]
OutputName = Annotated[str, typer.Option(help="values, logits or classifier.")]
OutputKey = Annotated[
    str | None, typer.Option(help="The entry of a structured output that counts.")
]
Scratch = Annotated[
    Path | None, typer.Option(help="A folder on a disk, for networks that exceed the memory.")
]
KeepUnused = Annotated[
    bool, typer.Option(help="Write weights that the model does not have as they came.")
]

ALIGN_METHODS = sorted(METHODS.keys() - METHODS_ON_DATA)
ON_DATA = sorted(METHODS_ON_DATA)
Method = Annotated[str, typer.Option(help=f"Of alignment: {', '.join(ALIGN_METHODS)}.")]


def model_of(model: str | None, weights: Path) -> str:
    """The model of a network: as it was named, or the folder that also holds its configuration.

    Args:
        model: what the user named, if anything.
        weights: the network, or the first of several.

    Returns:
        What `load_model` takes.

    Raises:
        ConfigError: nothing was named, and there is no configuration.
        ParamsError: there are no weights.
    """
    if model is not None:
        return model
    folder = weights if weights.is_dir() else weights.parent
    if (folder / "config.json").is_file():
        return str(folder)
    open_checkpoint(weights)  # says what is wrong with it, if anything
    raise ConfigError(
        f"there is no config.json beside the weights of `{escaped(str(weights))}`, which would "
        "tell the model; pass --model, as package.module:callable or a Hugging Face folder."
    )


def check_method(method: str, data: str | None = None, option: str = "") -> None:
    """Raises unless a method of alignment has what it needs.

    Args:
        method: its name.
        data: what it may look at.
        option: where those are passed; a command without any looks at none.
    """
    if method in ON_DATA and option:
        if data is None:
            raise ConfigError(f"the method {method!r} looks at data; pass {option}.")
    elif method not in ALIGN_METHODS:
        known = ", ".join([*ALIGN_METHODS, *(ON_DATA if option else [])])
        elsewhere = ", but in `toroids align`, with --data" if method in ON_DATA else ""
        raise ConfigError(f"there is no method {method!r} here{elsewhere}; choose from {known}.")


def output_mode(output: str) -> OutputMode:
    """Checks the name of an output mode."""
    modes = get_args(OutputMode)
    if output not in modes:
        raise ConfigError(f"there is no output mode {output!r}; choose from {modes}.")
    return cast(OutputMode, output)


def check_inputs(inputs: list[str] | None, tokens: int | None) -> None:
    """Raises where shapes are given that are none."""
    if inputs:
        example_inputs(inputs, tokens, nn.Identity())


def example_inputs(inputs: list[str] | None, tokens: int | None, network: nn.Module) -> Inputs:
    """Draws example inputs of the shapes given; without any, those that the network takes."""
    if not inputs:
        return usual_inputs(network)
    named = [text.partition("=")[::2] for text in inputs if "=" in text]
    plain = [example(text, tokens) for text in inputs if "=" not in text]
    if named and plain:
        raise ConfigError("some inputs have names and some have none; name all of them or none.")
    return {name: example(shape, tokens) for name, shape in named} if named else tuple(plain)


def say(text: str) -> None:
    """Prints lines that steer no terminal; a reader that has gone, as `head`, ends no study."""
    try:
        print(escaped(text), flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # stays open to the end


def shown_table(
    columns: Sequence[str], lines: Sequence[Sequence[str]], numbers: Sequence[int] = ()
) -> None:
    """Prints a table, as wide as the terminal; where nobody watches, every line in one piece.

    Args:
        columns: their heads.
        lines: the cells as text.
        numbers: which columns are numbers, and stand to the right.
    """
    if not lines:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, head in enumerate(columns):
        right = number in numbers
        table.add_column(head, justify="right" if right else "left", no_wrap=right)
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))  # names are text, not markup
    console = Console()
    if not console.is_terminal:
        console = Console(width=10_000)
    with console.capture() as captured:
        console.print(table)
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def say_where_aligned(networks: Sequence[Params]) -> None:
    """Says, before long work, where networks are aligned as they lie."""
    first, *others = networks
    found = [lie_alike(first, other) for other in others]
    least = [x for x in found if x is not None]
    if len(least) == len(found):
        say(
            f"note: the networks are aligned as they lie: their matrices have cosines of "
            f"{min(least):.3f} and more, as of one base; hardly a unit will move"
        )


@contextmanager
def shown_progress(every: float = 0.0) -> Iterator[Callback]:
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
                say(f"[{done}/{total}] {text}")

        yield plain
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("starting")
        yield lambda text, done, total: bar.update(
            task, description=text.split(":")[0], completed=done, total=total
        )
