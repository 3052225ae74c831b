"""Runs a study: does what is missing, task by task, on an engine, and keeps every result."""

import platform
import time
from collections import Counter
from pathlib import Path

from toroids.arguments.checked import checked
from toroids.design.config import StudyConfig
from toroids.design.task import Task
from toroids.errors import ToroidsError
from toroids.files.writing import FULL
from toroids.progress import Progress
from toroids.statistics.measured import Measurement, Pair, Result, Symmetry, Training
from toroids.statistics.row import plain
from toroids.study.complete import Failure
from toroids.study.engines.engine import Engine, Finished, Job
from toroids.study.engines.in_process import InProcess
from toroids.study.plan import Plan, make_plan
from toroids.study.rows import rows_of
from toroids.study.store import Store, WrongResult, described

RETRIES = 2


class TasksFailed(ToroidsError):
    """Some tasks of a study failed; all others are done, and kept."""


@checked
def run_study(
    config: StudyConfig,
    folder: str | Path,
    progress: Progress | None = None,
    engine: Engine | None = None,
    retries: int = RETRIES,
) -> Path:
    """Does all tasks of `config` that `folder` does not hold yet, and writes their results there.

    Every task runs on one thread, so that the numbers do not depend on the machine's cores, nor on
    the engine. What was done is kept, whatever happens: after a kill, a full disk or a damaged file
    the same call does what is missing.

    Args:
        config: the study.
        folder: where the run is.
        progress: called with what was done, how many tasks are done, and how many there are.
        engine: where tasks run, as `make_engine` gives it; in this process when None. It is left
            open.
        retries: how often a task is begun again whose worker died.

    Returns:
        The folder.

    Raises:
        TasksFailed: tasks failed; the others are done.
        ToroidsError: the folder holds something else, or a run of other versions; another study is
            writing it; the disk is full; every network diverged; an engine or retries that are
            none.

    Example:
        >>> import tempfile
        >>> from toroids.study import StudyConfig, list_runs, open_run, read_rows, run_study
        >>> settings = {"name": "mine", "seeds": [0], "data": {"name": "digits", "train": 20}}
        >>> solvers = {"sgd": {"method": "sgd", "budget": 1}}
        >>> config = StudyConfig.model_validate({**settings, "solvers": solvers})
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = run_study(config, f"{root}/mine")
        ...     rows = read_rows(folder)
        ...     weights = open_run(folder).params("mlp-sgd-0")
        ...     (listed,) = list_runs(root)
        >>> rows[-1].finished, sorted(weights)[0], listed.done
        (True, 'hidden1.bias', 3)
    """
    if isinstance(engine, str) or retries < 0:
        raise ToroidsError(
            f"engine is {engine!r} and retries is {retries}; pass what make_engine gives, and 0 or "
            "more."
        )
    plan = make_plan(config)
    try:
        with Store(folder) as store:
            running = _Running(config, plan, store, engine or InProcess(), progress, retries)
            running.all()
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise ToroidsError(
            f"the disk is full: `{folder}` cannot be written; free some space and give the same "
            "command again, it goes on from here."
        ) from error
    return Path(folder)


class _Running:
    """One invocation: what is done, what is under way, what failed."""

    def __init__(
        self,
        config: StudyConfig,
        plan: Plan,
        store: Store,
        engine: Engine,
        progress: Progress | None,
        retries: int,
    ) -> None:
        self.config, self.store, self.engine = config, store, engine
        self.progress, self.retries = progress or (lambda *_: None), retries
        self.begun = time.perf_counter()
        self.by_name = {task.id: task for task in plan.tasks}
        self.done: dict[str, Result] = {}
        self.seals: dict[str, str | None] = {}  # of the weights that tasks trained
        self.out: set[str] = set()  # tasks that failed, and those that need what is not there
        self.deaths: Counter[str] = Counter()
        self.failures: list[Failure] = []

    def all(self) -> None:
        for task in self.by_name.values():
            if all(name in self.done for name in task.inputs):
                self._take_up(task)
        self._describe(finished=False)
        if self.done:
            self._tell("taken up where it was")
        try:
            self._work()
        finally:
            left = len(self.by_name) - len(self.done) - len(self.out)
            self._describe(finished=left == 0 and not self.failures)
        self.store.write_rows(rows_of(self.store, keep=True), self.config.name)
        self._judge()

    def _work(self) -> None:
        """Keeps the engine busy until nothing is left that can be done."""
        waiting = {name: task for name, task in self.by_name.items() if name not in self.done}
        under_way = 0
        while waiting or under_way:
            while under_way < self.engine.slots and (task := self._next(waiting)) is not None:
                if self._take_up(task):  # its inputs were lost, and came out the same
                    self._tell(f"{task.label}: as it was")
                    continue
                self.engine.submit(self._job(task))
                under_way += 1
            if not under_way:
                continue  # the last tasks that waited were dropped
            finished = self.engine.next()
            under_way -= 1
            if self._is_lost(finished):
                waiting = {finished.job.task.id: finished.job.task, **waiting}

    def _next(self, waiting: dict[str, Task]) -> Task | None:
        """Takes the first task that can be begun, and those that never can."""
        taken, found = [], None
        for task in waiting.values():
            dropped = self._drop(task)
            ready = not dropped and all(name in self.done for name in task.inputs)
            if dropped or ready:
                taken.append(task.id)
            if ready:
                found = task
                break
        for name in taken:
            del waiting[name]
        return found

    def _take_up(self, task: Task) -> bool:
        """Tells whether a task was done before, with the weights that it would take now."""
        row = self.store.result(task, thorough=True, inputs=self._sealed(task))
        if row is not None:
            self.done[task.id], self.seals[task.id] = row, self.store.seal(task)
        return row is not None

    def _sealed(self, task: Task) -> list[str | None]:
        return [self.seals[name] for name in task.inputs]

    def _drop(self, task: Task) -> bool:
        """Gives a task up that needs one that failed, or a network that diverged."""
        lacking = any(name in self.out or _diverged(self.done.get(name)) for name in task.inputs)
        if lacking:
            self.out.add(task.id)
        return lacking

    def _job(self, task: Task) -> Job:
        inputs = [self.by_name[name] for name in task.inputs]
        return Job(
            task,
            rows=tuple(plain(self.done[name]) for name in task.inputs),
            weights=tuple(self._weights(task) for task in inputs),
            checkpoint=self.store.checkpoint(task) if task.kind == "train" else None,
        )

    def _weights(self, task: Task) -> Path | None:
        if self.seals[task.id] is None:
            return None
        path = self.store.weights(task)
        if path is None or not path.exists():
            raise ToroidsError(
                f"the network {task.label} is gone from `{self.store.folder}`, where something "
                "else has changed files; give the same command again, it does what is missing."
            )
        return path

    def _is_lost(self, finished: Finished) -> bool:
        """Keeps a result or a failure; tells whether the task must be begun again."""
        task = finished.job.task
        error = finished.error
        if finished.outcome is not None:
            try:
                self.done[task.id] = self.store.keep(task, finished.outcome, self._sealed(task))
            except WrongResult as wrong:
                error = str(wrong)
            else:
                self.seals[task.id] = self.store.seal(task)
                self._tell(f"{task.label}: {_described(self.done[task.id])}")
                return False
        self.deaths[task.id] += bool(finished.died)
        if finished.died and self.deaths[task.id] <= self.retries:
            self._tell(f"{task.label}: {finished.died.rstrip('.')}; begun again")
            return True
        note = error or f"{finished.died.rstrip('.')}, {self.deaths[task.id]} times"
        self.out.add(task.id)
        self.failures.append(
            Failure(task=task.id, task_kind=task.kind, label=task.label, note=note)
        )
        self._tell(f"{task.label}: failed: {note}")
        return False

    def _tell(self, text: str) -> None:
        self.progress(text, len(self.done) + len(self.out), len(self.by_name))

    def _describe(self, finished: bool) -> None:
        self.store.describe(
            {
                "study": self.config.name,
                "config": self.config.model_dump(mode="json"),
                **described(self.by_name.values()),
                "failures": plain(self.failures),
                "machine": f"{platform.machine()}, {platform.system()}",
                "engine": self.engine.name,
                "workers": self.engine.slots,
                "seconds": time.perf_counter() - self.begun,
                "finished": finished,
            }
        )

    def _judge(self) -> None:
        """Raises where the study is not what was asked for."""
        if self.failures:
            first = self.failures[0]
            raise TasksFailed(
                f"{len(self.failures)} of {len(self.by_name)} tasks failed, the first is "
                f"{first.label} ({first.task_kind}): {first.note.rstrip('.')}; the others "
                "are kept, and the same command tries these again."
            )
        trained = [self.done[n] for n, task in self.by_name.items() if task.kind == "train"]
        if all(_diverged(row) for row in trained):
            raise ToroidsError("every network of the study diverged; lower the learning rates.")


def _diverged(found: Result | None) -> bool:
    """Whether a result is a training without a network."""
    return isinstance(found, Training) and found.diverged


def _described(found: Result) -> str:
    """What a task found, in a few words."""
    seconds = f"{found.seconds:.1f} s"
    if isinstance(found, Symmetry):
        return f"symmetries proven to {found.deviation:.0e}, {seconds}"
    if isinstance(found, Training):
        return f"{_ended(found)}, {seconds}"
    if isinstance(found, Measurement):
        return f"test error {_shown(found.test_error, '.1%')}, {seconds}"
    if isinstance(found, Pair):
        name, shown = next(item for item in _DISTANCES.items() if item[0] in found.measures)
        moments = found.measures[name]
        before, after = (_shown(x, ".2f") for x in (moments.before, moments.after))
        return f"{shown} {before} -> {after}, {seconds}"
    return f"{found.kind}, {seconds}"


def _shown(value: float | None, form: str) -> str:
    return "not finite" if value is None else format(value, form)


_DISTANCES = {"hamming": "Hamming distance", "mean_angle": "mean angle"}


def _ended(found: Training) -> str:
    if found.diverged:
        return f"diverged: {found.note}"
    if found.ended == "given":
        return "read from its file"
    ended = {"zero error": "zero train error", "time": "time used"}.get(found.ended, "budget used")
    return f"{ended} after {found.epochs} epochs"
