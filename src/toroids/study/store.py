"""A run on disk: what every task of a study left, in a folder that only grows.

    run.json                     the study, its tasks in order, how it was run
    results/TASK.json            one result per task, under the task's name
    networks/NAME-HASH.safetensors
    derived.json                 summaries, maps and claims, which follow from the results
    measurements.jsonl           all rows of the study, written when it is finished
    checkpoints/TASK.pt          the state of a training under way
    report.html

Everything is written to a temporary neighbour and renamed, and carries its checksum, so that a run
that was killed at any moment, or whose files were damaged, is taken up where it was: a result that
is missing or not whole is computed again. Nothing is ever removed but temporary files of our own,
and nothing is written among the files of somebody else.
"""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import torch
from filelock import FileLock, Timeout

from toroids.design.task import Outcome, Task
from toroids.errors import ParamsError, ToroidsError
from toroids.files.writing import make_folder, temporaries, write_atomically
from toroids.statistics.measured import Result, Training
from toroids.statistics.row import Plain, Row, plain
from toroids.study.complete import Kept, Manifest, Stamp, fitted, result_of
from toroids.study.sealed import (
    DamagedFile,
    load_network,
    read_sealed,
    save_network,
    seal_of,
    write_sealed,
)

Seals: TypeAlias = Sequence[str | None]
# Changes whenever a run written before could not be read, or would be taken for what it is not.
FORMAT = 2
# Packages whose versions determine the numbers.
DECISIVE = ("toroids", "torch", "numpy", "scipy", "scikit-learn")
MANIFEST = "run.json"
ROWS = "measurements.jsonl"
REPORT = "report.html"
DERIVED = "derived.json"
FILES = (MANIFEST, ROWS, REPORT, DERIVED)  # beside the folders of results
RESULTS = "results"
NETWORKS = "networks"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"
FOLDERS = (RESULTS, NETWORKS, CHECKPOINTS)


class WrongResult(ToroidsError):
    """A task left something else than its kind leaves."""


class Store:
    """The folder of a run, for reading; inside a `with` block also for writing, by one process."""

    def __init__(self, folder: str | Path) -> None:
        """Names the folder of a run, which need not exist.

        Args:
            folder: the run.

        Raises:
            ToroidsError: `folder` cannot name a folder to be made.
        """
        self.folder = Path(folder)
        if not os.path.basename(os.path.realpath(self.folder)):
            raise ToroidsError(f"`{folder}` cannot be a run; name a folder below it.")
        try:
            str(self.folder.absolute()).encode()
        except UnicodeEncodeError as error:  # safetensors opens no file there
            raise ToroidsError(
                f"`{folder}` cannot be a run, since its path is not UTF-8; name another folder."
            ) from error
        self._lock = FileLock(self.folder / LOCK)

    def __enter__(self) -> Self:
        self._check_place()
        make_folder(self.folder)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ToroidsError(
                f"another study is writing `{self.folder}`; wait for it or choose another --out."
            ) from error
        try:
            self.check_version()
            for folder in (self.folder, *(self.folder / name for name in FOLDERS)):
                for left in self._left(folder):
                    left.unlink(missing_ok=True)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _check_place(self) -> None:
        """Raises where a run would come to lie among files of somebody else."""
        if not os.path.exists(self.folder):
            return
        if not os.path.isdir(self.folder):
            raise ToroidsError(f"`{self.folder}` exists and is not a folder; choose another --out.")
        if (self.folder / LOCK).is_symlink():  # to lock it would empty what it leads to
            raise ToroidsError(f"`{self.folder / LOCK}` is a link; remove it.")
        if self._stamp() is None and not self._is_old() and (foreign := self._foreign()):
            raise ToroidsError(
                f"`{self.folder}` holds `{foreign}` and is no run, or one whose results are lost; "
                "choose another --out."
            )

    def _foreign(self) -> str | None:
        """A file that no run leaves before its manifest; names alone tell not whose a file is."""
        folders = [path for name in FOLDERS if (path := self.folder / name).is_dir()]
        for folder in (self.folder, *folders):
            left = set(self._left(folder))
            for path in sorted(folder.iterdir()):
                empty = path == self.folder / LOCK and not path.stat().st_size
                if not (empty or path in left or path in folders):
                    return str(path.relative_to(self.folder))
        return None

    def _left(self, folder: Path) -> Iterator[Path]:
        """What writes that were killed have left in a folder of the run."""
        for path, begun in temporaries(folder):
            if folder != self.folder or begun in FILES:
                yield path

    def files(self) -> list[Path]:
        """All files of the run, those that it may get included."""
        inner = (path for name in FOLDERS for path in (self.folder / name).rglob("*"))
        return [*(self.folder / name for name in FILES), *(x for x in inner if x.is_file())]

    def check_version(self) -> None:
        """Raises unless what lies here was written by the same versions, or nothing does.

        Raises:
            ToroidsError: results of other versions, with which new ones would not agree.
        """
        found = self._stamp()
        if found is None:
            if self._is_old():
                raise ToroidsError(
                    f"`{self.folder}` was written by an earlier toroids, whose runs cannot be gone "
                    "on with; nothing was changed, choose another --out."
                )
            return
        if found.format != FORMAT:
            raise ToroidsError(
                f"`{self.folder}` has format {found.format}, this toroids writes {FORMAT}; "
                "nothing was changed, choose another --out."
            )
        now = versions()
        changed = [name for name in DECISIVE if found.versions.get(name) != now[name]]
        if changed:
            name = changed[0]
            raise ToroidsError(
                f"`{self.folder}` was computed with {name} {found.versions.get(name)}, this is "
                f"{name} {now[name]}, and their numbers do not mix; nothing was changed, choose "
                "another --out or install that version."
            )

    def _stamp(self) -> Stamp | None:
        """Finds out which versions wrote the run: its manifest says so, and every result."""
        results = self.folder / RESULTS
        candidates = [self.folder / MANIFEST, *(sorted(results.glob("*.json")))]
        for path in candidates:
            try:
                found = read_sealed(path)
            except (DamagedFile, FileNotFoundError):
                continue
            if (stamp := fitted(Stamp, found)) is not None:
                return stamp
        return None

    def checkpoint(self, task: Task) -> Path:
        """Where a training leaves its state, so that one that was killed goes on from there."""
        return self.folder / CHECKPOINTS / f"{task.id}.pt"

    @property
    def derived(self) -> Path:
        """The file of what follows from the results."""
        return self.folder / DERIVED

    def result(
        self, task: Task, thorough: bool = False, inputs: Seals | None = None
    ) -> Result | None:
        """Reads what a task left.

        Args:
            task: one of the study's.
            thorough: whether the bytes of the weights are compared with their checksum, too.
            inputs: checksums of the weights that the task takes, where they are known.

        Returns:
            Its result; None where the task is to be done, because its result or the weights that
            belong to it are missing or not whole, or were computed from other weights.
        """
        found = self._found(task)
        if found is None:
            return None
        kept, result = found
        if None not in (inputs, kept.inputs) and kept.inputs != list(inputs or ()):
            return None
        try:
            if thorough and kept.weights is not None:
                load_network(self.folder / NETWORKS / kept.weights, kept.seal)
        except (ParamsError, DamagedFile, FileNotFoundError):
            return None
        return result

    def results(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yields what those of some tasks left that are done, without a look for the others."""
        there = {path.name for path in (self.folder / RESULTS).glob("*.json")}
        for task in tasks if there else ():
            if self._result(task).name in there and (found := self.result(task)) is not None:
                yield found

    def _found(self, task: Task) -> tuple[Kept, Result] | None:
        """Reads a result, unless it is missing, not whole, or of another task."""
        try:
            found = read_sealed(self._result(task))
        except (DamagedFile, FileNotFoundError):
            return None
        kept = fitted(Kept, found)
        if kept is None or kept.task != task.id:
            return None
        result = result_of(task.kind, kept.row)
        lacking = isinstance(result, Training) and kept.weights is None and not result.diverged
        return None if result is None or lacking else (kept, result)

    def _result(self, task: Task) -> Path:
        return self.folder / RESULTS / f"{task.id}.json"

    def seal(self, task: Task) -> str | None:
        """The checksum of the weights that a task trained, or None where there are none."""
        found = self._found(task)
        if found is None or found[0].weights is None:
            return None
        # runs that began before results held it have it in the weights alone
        return found[0].seal or seal_of(self.folder / NETWORKS / found[0].weights)

    def weights(self, task: Task) -> Path | None:
        """Names the file of the network that a task trained, or None where there is none."""
        found = self._found(task)
        weights = None if found is None else found[0].weights
        return None if weights is None else self.folder / NETWORKS / weights

    def keep(self, task: Task, outcome: Outcome, inputs: Seals = ()) -> Result:
        """Writes what a task left: first the weights, then the row that vouches for them.

        Args:
            task: which task.
            outcome: its result.
            inputs: checksums of the weights that it took.

        Returns:
            The result as a reader will get it.

        Raises:
            WrongResult: it is none of its kind; nothing is written.
        """
        result = result_of(task.kind, outcome.row)
        if result is None:
            raise WrongResult(f"it left no result of the kind {task.kind}; please report it")
        content: Plain = {"task": task.id, "format": FORMAT, "versions": versions()}
        content |= {"inputs": list(inputs), "row": outcome.row}
        if outcome.params is not None:
            name = f"{outcome.row['name']}-{task.id.rpartition('-')[2][:8]}.safetensors"
            content["seal"] = save_network(outcome.params, self.folder / NETWORKS / name)
            content["weights"] = name
        write_sealed(self._result(task), content)
        self.checkpoint(task).unlink(missing_ok=True)
        return result

    def describe(self, manifest: Mapping[str, Any]) -> None:
        """Writes the manifest: the study, its tasks, how it was run."""
        stamp = {"format": FORMAT, "versions": versions()}
        write_sealed(self.folder / MANIFEST, plain({**manifest, **stamp}))

    def manifest(self) -> Manifest:
        """Reads the manifest.

        Returns:
            What `describe` wrote.

        Raises:
            ToroidsError: there is no run, one of another format, or the manifest is damaged.
        """
        try:
            found = read_sealed(self.folder / MANIFEST)
        except FileNotFoundError as error:
            reason = "was written by an earlier toroids" if self._is_old() else "holds no run"
            raise ToroidsError(
                f"`{self.folder}` {reason}; pass the folder of a study, as runs/digits."
            ) from error
        except NotADirectoryError as error:
            raise ToroidsError(f"`{self.folder}` is not a folder; pass that of a study.") from error
        except OSError as error:  # a name that is too long, or a folder that may not be read
            raise ToroidsError(
                f"`{self.folder}` cannot be read: {error.strerror}; pass the folder of a study."
            ) from error
        written = found.get("format") if isinstance(found, dict) else None
        if written not in (None, FORMAT):
            raise ToroidsError(
                f"`{self.folder}` has format {written}, this toroids reads {FORMAT}; use "
                "the toroids that wrote it."
            )
        manifest = fitted(Manifest, found)
        if manifest is None:
            raise DamagedFile(
                f"`{self.folder / MANIFEST}` does not describe a run; run the study again."
            )
        return manifest

    def _is_old(self) -> bool:
        return (self.folder / ROWS).is_file() and not (self.folder / RESULTS).exists()

    def write_rows(self, rows: Iterable[Row], study: str) -> None:
        """Writes all rows of a finished study, one JSON object per line, each with its name."""
        lines = (json.dumps({**row.data, "study": study}, allow_nan=False) + "\n" for row in rows)
        write_atomically(self.folder / ROWS, "".join(lines).encode())


def tasks_of(manifest: Manifest) -> Iterator[Task]:
    """Yields the tasks that a manifest lists, in order."""
    for task in manifest.tasks:
        settings = task.settings
        # runs that began before the texts had a list of their own have them in the tasks
        text = settings if isinstance(settings, str) else manifest.settings[settings]
        yield Task(task.kind, task.label, text, tuple(task.inputs))


def described(tasks: Iterable[Task]) -> dict[str, list[Any]]:
    """Writes tasks as plain data, for a manifest; settings, which many tasks share, once."""
    texts: dict[str, int] = {}
    listed = [
        {
            "kind": task.kind,
            "label": task.label,
            "settings": texts.setdefault(task.settings, len(texts)),
            "inputs": list(task.inputs),
        }
        for task in tasks
    ]
    return {"tasks": listed, "settings": list(texts)}


def versions() -> dict[str, str]:
    """Versions of what determines the numbers, and of Python."""
    # with the build, "+cpu" or "+cu130", which not every wheel of PyTorch says in its metadata
    return {"python": platform.python_version(), **_installed(), "torch": str(torch.__version__)}


@cache  # read from files, and asked for with every result
def _installed() -> dict[str, str]:
    return {name: version(name) for name in DECISIVE}
