"""`toroids study`, `report`, `export`, `list` and `show`: runs of studies."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from toroids.cli.outputs import SEAL, Force, Output
from toroids.cli.shared import say, shown_progress, shown_table
from toroids.design.config import StudyConfig, load_config
from toroids.errors import ConfigError
from toroids.report.place import report_place
from toroids.statistics.claims.verdict import Claim
from toroids.statistics.measured import Diverged
from toroids.statistics.summary import Summary
from toroids.study.complete import Failure
from toroids.study.engines.choose import ENGINES, make_engine
from toroids.study.export import parquet_files
from toroids.study.listing import list_runs
from toroids.study.rows import Run, read_rows
from toroids.study.run import RETRIES, TasksFailed, run_study
from toroids.study.store import FILES, Store
from toroids.study.work import estimate

Changed = Annotated[
    bool, typer.Option("--force", help="Replace a report that somebody has changed.")
]
RunFolder = Annotated[Path, typer.Argument(help="The folder of a run, as runs/digits.")]


def study(
    file: Annotated[Path, typer.Argument(help="The study, a TOML file.")] = Path(
        "studies/digits.toml"
    ),
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/NAME when not given.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another value, as solvers.sgd.lr=0.1. Repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the tasks and how long they take; do nothing.")
    ] = False,
    engine: Annotated[str, typer.Option(help=f"{', '.join(ENGINES)}.")] = ENGINES[0],
    workers: Annotated[
        int | None, typer.Option(help="Tasks at once; as many as there are cores when not given.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT.")
    ] = None,
    gpus: Annotated[
        float, typer.Option(help="Of a Ray cluster: GPUs per task, as 0.5 for two on each.")
    ] = 0.0,
    retries: Annotated[
        int, typer.Option(help="How often a task is begun again whose worker died.", min=0)
    ] = RETRIES,
    force: Changed = False,
) -> None:
    """Do what is missing of a study: train, align, measure, and write its report."""
    config = load_config(file, overrides or ())
    folder = out or Path("runs") / config.name
    _check_apart(file, folder)
    if dry_run:
        _print_estimate(config, folder)
        return
    report_place(folder, force)
    try:
        with shown_progress() as progress, make_engine(engine, workers, address, gpus) as running:
            run_study(config, folder, progress, running, retries)
    except KeyboardInterrupt:
        typer.echo(
            f"toroids: interrupted; what was done is kept in `{folder}`, the same command goes on.",
            err=True,
        )
        raise typer.Exit(130) from None
    except TasksFailed:  # what the others found is there to be read
        report(folder, force)
        raise
    report(folder, force)


def _check_apart(file: Path, folder: Path) -> None:
    """Raises where a run would be written onto the file that asks for it."""
    for name in FILES:
        with suppress(OSError):
            if os.path.samefile(file, folder / name):
                raise ConfigError(
                    f"`{file}` is where the run writes its `{name}`; keep the study elsewhere, or "
                    "name another folder with --out."
                )


def _print_estimate(config: StudyConfig, folder: Path) -> None:
    works = estimate(config, folder)
    columns = ("architecture", "task", "number", "done", "seconds each", "seconds left", "basis")
    lines = [
        (
            work.architecture,
            work.kind,
            f"{work.tasks}",
            f"{work.done}",
            "?" if work.seconds is None else _digits(work.seconds),
            f"{work.left:.0f}",
            work.basis,
        )
        for work in works
    ]
    shown_table(columns, lines, numbers=(2, 3, 4, 5))
    tasks, done = sum(work.tasks for work in works), sum(work.done for work in works)
    left = sum(work.left for work in works)
    say(
        f"{tasks} tasks, {done} of them done in `{folder}`; about {_duration(left)} of work on one "
        "core are left, divided by the number of workers. Counted seconds are the most that a "
        "training takes, and leave alignments out."
    )


def _digits(seconds: float) -> str:
    """Two digits that count, without powers of ten."""
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def report(run: RunFolder, force: Changed = False) -> None:
    """Write the report of a run anew."""
    from toroids.report.page import write_report  # plotly, which nothing else here needs

    say(f"report: {write_report(run, force)}")


def export(
    run: RunFolder,
    out: Annotated[
        Path | None, typer.Option(help="A folder for the tables; RUN/tables when not given.")
    ] = None,
    force: Force = False,
) -> None:
    """Write the measurements of a run, finished or not, as parquet files."""
    folder = out or run / "tables"
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ConfigError(f"`{folder}` is a file; name a folder for the tables with --out.")
    contents = parquet_files(run, SEAL)
    held = Store(run).files()
    places = {name: Output(folder / name, held, force) for name in contents}
    for place in places.values():  # all of them before the first is written
        place.check()
    for name, place in places.items():
        place.write(contents[name])
        say(str(place.path))


def list_(
    root: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"),
) -> None:
    """List the runs in a folder and how far they are."""
    runs = list_runs(root)
    if not runs:
        say(f"no runs in `{root}`")
        return
    lines = []
    for found in runs:
        state = "finished" if found.finished else "unfinished"
        state = f"{found.failed} failed" if found.failed else state
        progress = f"{found.done}/{found.tasks}"
        lines.append((str(found.folder), found.study, progress, found.note or state))
    shown_table(("run", "study", "tasks", "state"), lines, numbers=(2,))


def show(run: RunFolder) -> None:
    """Show what a run found: the claims, the networks, and what is missing."""
    rows = read_rows(run)
    claims = [row for row in rows if isinstance(row, Claim)]
    columns = ("claim", "architecture", "verdict", "because")
    shown_table(
        columns,
        [(row.claim, row.architecture, row.verdict, row.reason) for row in claims],
    )
    shown_table(
        ("architecture", "solver", "what", "mean", "95 % interval", "networks"),
        [line for row in rows if isinstance(row, Summary) for line in _shown_summary(row)],
        numbers=(3, 4, 5),
    )
    for row in rows:
        if isinstance(row, Failure):
            say(f"failed: {row.label} ({row.task_kind}): {row.note}")
        if isinstance(row, Diverged):
            say(f"diverged: {row.name}: {row.note}")
        if isinstance(row, Run):
            total = sum(row.tasks.values())
            state = "finished" if row.finished else "unfinished: the same command goes on"
            say(
                f"{row.done} of {total} tasks are done ({state}); {row.seconds:.0f} s with "
                f"{row.workers} at once ({row.engine}) on {row.machine}"
            )


def _shown_summary(row: Summary) -> list[tuple[str, ...]]:
    if row.statistic not in ("train_error", "test_error") or row.estimate is None:
        return []
    known = row.low is not None and row.high is not None
    interval = f"{row.low:.2%} to {row.high:.2%}" if known else "unknown"
    what = row.statistic.replace("_", " ")
    mean, count = f"{row.estimate:.2%}", f"{row.count}"
    return [(row.architecture, row.group, what, mean, interval, count)]
