"""A run as rows: what its tasks left, what follows from it, and how it was run."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

import toroids.statistics as statistics
import toroids.study as study
from toroids.arguments.checked import checked
from toroids.design.config import StudyConfig
from toroids.design.task import Task, canonical_json
from toroids.errors import ToroidsError
from toroids.statistics.claims.evidence import Thresholds
from toroids.statistics.derive import derive
from toroids.statistics.measured import Diverged, Measurement, Network, Result, Training
from toroids.statistics.row import Plain, Row
from toroids.study.complete import Derived, Manifest, derived_of, fitted
from toroids.study.sealed import DamagedFile, read_sealed, write_sealed
from toroids.study.store import Store, tasks_of

Found = Mapping[str, Result]


@dataclass(frozen=True, kw_only=True)
class Run(Row):
    """How a study was run, and how far it is.

    Attributes:
        study: its name.
        config: its settings, plain data.
        machine: that it ran on.
        versions: of the packages that determine the numbers.
        engine: that did the tasks.
        workers: tasks at once.
        seconds: of the last invocation.
        finished: whether nothing is missing.
        task_seconds: by kind of task, of all that are done.
        tasks: how many there are, by kind.
        done: how many are done.
    """

    kind: ClassVar[str] = "run"
    study: str
    config: Plain
    machine: str
    versions: dict[str, str]
    engine: str
    workers: int
    seconds: float
    finished: bool
    task_seconds: dict[str, float]
    tasks: dict[str, int]
    done: int


@checked
def read_rows(folder: str | Path) -> list[Row]:
    """Reads all rows of a run, also of one that is not finished or is being written.

    See `run_study` for an example.

    Args:
        folder: a run, as `run_study` leaves it.

    Returns:
        Frozen values, each with its `kind`, and its `data` as they stand in files: measurements in
        the order of the plan, tasks that failed, then what follows: summaries, maps and claims;
        the last one, of kind "run", says how the run was made and whether it is finished.

    Raises:
        ToroidsError: there is no run, or it has another format.
    """
    return rows_of(Store(folder))


@contextmanager
def fitting(folder: str | Path) -> Iterator[None]:
    """Says in one sentence where rows, each of them whole, do not fit together.

    Args:
        folder: of the run that they are of.

    Yields:
        Nothing; the block works on the rows of one run.

    Raises:
        ToroidsError: in the place of what the block stumbles over.
    """
    try:
        yield
    except ToroidsError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ToroidsError(
            f"the results in `{folder}` do not fit together, as those of one run do "
            f"({type(error).__name__}); take back what changed them, or run the study elsewhere."
        ) from error


def rows_of(store: Store, keep: bool = False) -> list[Row]:
    """Joins what the tasks left with what follows from it.

    Args:
        store: of the run.
        keep: whether what follows is written beside the results, so that no reader needs to
            compute it again.

    Returns:
        As `read_rows`.
    """
    manifest, config = store.manifest(), config_of(store)
    tasks = list(tasks_of(manifest))
    found = {task.id: row for task in tasks if (row := store.result(task)) is not None}
    measured = measurements(tasks, found)
    with fitting(store.folder):
        derived = _derived(store, measured, config, keep)
    return [*measured, *manifest.failures, *derived, _run(manifest, config, tasks, found)]


def config_of(store: Store) -> StudyConfig:
    """Reads the study of a run.

    Args:
        store: of the run.

    Returns:
        The study; settings that were not known when the run was made have their defaults.

    Raises:
        ToroidsError: there is no run, or its study is none that this toroids knows.
    """
    try:
        return StudyConfig.model_validate(store.manifest().config)
    except ValidationError as error:
        raise ToroidsError(
            f"`{store.folder}` has a study that this toroids does not know; use the one that "
            "wrote it."
        ) from error


def measurements(tasks: Sequence[Task], found: Found) -> list[Result]:
    """Turns results into rows: a network's training and its measurement are one row.

    Args:
        tasks: of a study.
        found: the results of those that are done, by task.

    Returns:
        One row per group, measured network, diverged network, pair, bend, section and
            trajectory.
    """
    measured = {
        task.inputs[1]: one for task in tasks if isinstance(one := found.get(task.id), Measurement)
    }
    rows: list[Result] = []
    for task in tasks:
        result = found.get(task.id)
        if isinstance(result, Training):
            rows += _of_training(replace(result, task=task.id), measured.get(task.id))
        elif result is not None and not isinstance(result, Measurement):
            rows.append(replace(result, task=task.id))
    return rows


def _of_training(training: Training, measured: Measurement | None) -> list[Result]:
    """The row of a network, if it diverged or was measured."""
    if training.diverged:
        return [Diverged(**vars(training))]
    if measured is None:
        return []
    return [Network(**{**vars(measured), **vars(training), "measure_seconds": measured.seconds})]


def _derived(
    store: Store, measured: Sequence[Result], config: StudyConfig, keep: bool
) -> list[Row]:
    """What follows from the measurements: from its file where that fits, else computed."""
    text = canonical_json([[row.data for row in measured], config.model_dump(mode="json")])
    seal = hashlib.sha256(text.encode() + _code()).hexdigest()
    with suppress(DamagedFile, FileNotFoundError):
        kept = fitted(Derived, read_sealed(store.derived))
        if kept is not None and kept.of == seal and (rows := derived_of(kept.rows)) is not None:
            return rows
    thresholds = Thresholds(
        reference=config.flatness.reference,
        tolerance=config.claims.tolerance,
        small=config.claims.small,
        trained=config.claims.trained,
    )
    rows = derive(measured, config.networks, thresholds)
    if keep:
        write_sealed(store.derived, {"of": seal, "rows": [row.data for row in rows]})
    return rows


@cache
def _code() -> bytes:
    """A digest of the code that derives: what an earlier one found is not shown as its own."""
    digest = hashlib.sha256()
    for package in (statistics, study):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.digest()


def _run(manifest: Manifest, config: StudyConfig, tasks: Sequence[Task], found: Found) -> Run:
    seconds: defaultdict[str, float] = defaultdict(float)
    for task in tasks:
        if task.id in found:
            seconds[task.kind] += found[task.id].seconds
    return Run(
        study=manifest.study,
        config=config.model_dump(mode="json"),
        machine=manifest.machine,
        versions=manifest.versions,
        engine=manifest.engine,
        workers=manifest.workers,
        seconds=manifest.seconds,
        finished=manifest.finished,
        task_seconds=dict(seconds),
        tasks=dict(Counter(task.kind for task in tasks)),
        done=len(found),
    )
