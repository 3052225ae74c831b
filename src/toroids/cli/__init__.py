"""The shell commands: parse, call one public function, print."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from toroids.cli.explore import explore
from toroids.cli.landscape import flatness, profile, section
from toroids.cli.merge import merge
from toroids.cli.networks import align, canonicalize, symmetries
from toroids.cli.studies import export, list_, report, show, study
from toroids.errors import ToroidsError
from toroids.study.run import FULL

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Remove the symmetries of neural networks and measure their error landscape.",
)

COMMANDS = (
    # studies
    study,
    list_,
    show,
    report,
    export,
    explore,
    # networks and their symmetries
    symmetries,
    canonicalize,
    align,
    # landscape
    profile,
    flatness,
    section,
    merge,
)
for command in COMMANDS:
    app.command(command.__name__.rstrip("_"))(command)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    if show_version:
        typer.echo(f"toroids {version('toroids')}")
        raise typer.Exit


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
        if error.errno in FULL:
            print("toroids: the disk is full; free some space and try again.", file=sys.stderr)
            sys.exit(2)
        name = error.filename2 or error.filename  # of a rename, where it should have gone
        where = f" `{name}`" if name else ""
        reason = error.strerror or str(error)
        print(f"toroids: cannot use{where}: {reason}; choose another place.", file=sys.stderr)
        sys.exit(2)
