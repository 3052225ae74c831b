"""`toroids study` and `toroids report`."""

from pathlib import Path
from typing import Annotated

import typer

from toroids.cli.shared import say, shown_progress
from toroids.report.page import write_report
from toroids.study.config import load_config
from toroids.study.run import run_study


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
        with shown_progress() as progress:
            run_study(config, folder, progress)
    except KeyboardInterrupt:
        typer.echo(
            f"toroids: interrupted; `{folder}` is as it was before; the same command starts over.",
            err=True,
        )
        raise typer.Exit(130) from None
    say(f"report: {write_report(folder)}")


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
) -> None:
    """Write the report of a finished run anew."""
    say(f"report: {write_report(run)}")
