"""`toroids explore`: a page to look between the networks of a run."""

from pathlib import Path
from typing import Annotated

import typer

from toroids.cli.shared import say
from toroids.explore.explore import explore as explore_run


def explore(
    run: Annotated[Path, typer.Argument(help="The folder of a run, finished or not.")],
    port: Annotated[
        int | None,
        typer.Option(help="0 for any that is free; the first from 8421 on when not given."),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Show the map of a run's networks; measure, on the spot, what lies between those chosen.

    The page is on this machine only; Ctrl-C ends it.
    """
    explore_run(run, port, open_browser, lambda url: say(f"{url}  (Ctrl-C ends it)"))
    say("ended.")
