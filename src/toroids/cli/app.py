"""The commands of the shell by name, each imported when it is called."""

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from toroids.cli.interrupts import nothing_begun

# Where each command is, and the first line of its help: the list of commands imports none of them,
# since with PyTorch that takes seconds.
COMMANDS = {
    # studies
    "study": ("studies", "Do what is missing of a study: train, align, measure, and report."),
    "list": ("studies", "List the runs in a folder and how far they are."),
    "show": ("studies", "Show what a run found: the claims, the networks, and what is missing."),
    "report": ("studies", "Write the report of a run anew."),
    "export": ("studies", "Write the measurements of a run, finished or not, as parquet files."),
    "explore": ("explore", "Show the map of a run's networks; measure what lies between them."),
    # networks and their symmetries
    "symmetries": ("networks", "Find, prove and print the symmetry group of a model."),
    "canonicalize": ("networks", "Bring a network to its canonical form: symmetries removed."),
    "align": ("networks", "Move a network onto another, its function unchanged."),
    "compare": ("compare", "Tell whether networks are the same, copies, related, or strangers."),
    # landscape
    "profile": ("landscape", "Measure the error along paths between two networks, and draw it."),
    "flatness": ("landscape", "Measure how much noise raises the error of networks, and draw it."),
    "section": ("landscape", "Measure the error on the plane through three networks; draw it."),
    "merge": ("merge", "Merge networks into one, and compare it with them."),
}
SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
}


class _Commands(TyperGroup):
    """Knows the names of the commands, and imports the one that is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        known: Any = dict.fromkeys(COMMANDS)  # from which a misspelt name is guessed
        self.commands = known

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return load_command(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def load_command(name: str) -> Any:
    """Imports a command, and makes its parser."""
    with nothing_begun():
        module = import_module(f"toroids.cli.{COMMANDS[name][0]}")
    single = typer.Typer(**SETTINGS)
    single.command(name)(getattr(module, f"{name}_" if name == "list" else name))
    return typer.main.get_command(single)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    help="Remove the symmetries of neural networks and measure their error landscape.",
    **SETTINGS,
)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    if show_version:
        typer.echo(f"toroids {version('toroids')}")
        raise typer.Exit
