"""A run on disk: weights as safetensors, measurements as JSON lines, one folder.

A run is written into the hidden neighbour `.NAME.partial` and takes the place of an earlier `NAME`
only when it is complete, so that an interrupted run destroys nothing and leaves no half-written
file. Only files that a study writes are ever removed.
"""

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from filelock import FileLock, Timeout

from toroids.errors import ToroidsError
from toroids.params import save_params

Row = dict[str, Any]
ROWS = "measurements.jsonl"
REPORT = "report.html"
NETWORKS = "networks"


class Run:
    """A run that is being written; use it in a `with` block."""

    def __init__(self, folder: str | Path) -> None:
        """Prepares to write the run `folder`.

        Args:
            folder: where the complete run will be.

        Raises:
            ToroidsError: `folder` cannot name a folder to be made.
        """
        self.folder = Path(folder).resolve()  # a link stays; what it points to is replaced
        if not self.folder.name:
            raise ToroidsError(f"`{folder}` cannot be a run; name a folder below it.")
        self.partial = self.folder.with_name(f".{self.folder.name}.partial")
        self._old = self.folder.with_name(f".{self.folder.name}.old")
        self._lock = FileLock(self.folder.with_name(f".{self.folder.name}.lock"))

    def __enter__(self) -> Self:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ToroidsError(
                f"another study is writing `{self.folder}`; wait for it or choose another --out."
            ) from error
        try:
            if not self.folder.exists() and self._old.exists():  # killed while publishing
                self._old.rename(self.folder)
            for folder in (self.folder, self.partial, self._old):
                _check_ours(folder)
            _remove(self._old)
            _remove(self.partial)
            self.partial.mkdir()
            self._rows = os.open(self.partial / ROWS, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
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
        os.close(self._rows)
        try:
            if kind is None:
                self._publish()
        finally:
            self._lock.release()

    def _publish(self) -> None:
        _check_ours(self.folder)  # a file that came while the study ran is not ours to remove
        if self.folder.exists():
            self.folder.rename(self._old)
        self.partial.rename(self.folder)
        _remove(self._old)

    def add(self, row: Mapping[str, Any]) -> Row:
        """Appends one measurement by a single write, so that a reader never sees half a line.

        Args:
            row: plain data and tensors; numbers that are not finite become null.

        Returns:
            The row as a reader will get it.

        Raises:
            ToroidsError: the disk is full.
        """
        plain: Row = _plain(row)
        line = (json.dumps(plain, allow_nan=False) + "\n").encode()
        if os.write(self._rows, line) < len(line):
            raise ToroidsError(f"the disk is full: `{self.partial / ROWS}` could not be written.")
        return plain

    def save_network(self, name: str, params: Mapping[str, torch.Tensor]) -> None:
        """Writes one network's weights."""
        save_params(params, self.partial / NETWORKS / f"{name}.safetensors")


def _check_ours(folder: Path) -> None:
    """Raises if `folder` exists and holds anything that a study does not write."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ToroidsError(f"`{folder}` exists and is not a folder; choose another --out.")
    inside = [path.relative_to(folder) for path in sorted(folder.rglob("*"))]
    foreign = [path for path in inside if not _is_ours(path)]
    if foreign:
        raise ToroidsError(
            f"`{folder}` holds `{foreign[0]}`, which no study wrote and which would be lost; move "
            "it away or choose another --out."
        )


def _is_ours(path: Path) -> bool:
    if path.name.startswith(".") and path.name.endswith(".tmp"):  # of a write that was killed
        return True
    if len(path.parts) == 1:
        return path.name in (ROWS, REPORT, NETWORKS)
    return path.parent == Path(NETWORKS) and path.suffix == ".safetensors"


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read_rows(folder: str | Path) -> list[Row]:
    """Reads the measurements of a complete run.

    Args:
        folder: a run, as `run_study` leaves it.

    Returns:
        One dictionary per row, in the order in which they were measured.

    Raises:
        ToroidsError: there is no run, or a line of it is not a row.
    """
    path = Path(folder) / ROWS
    if not path.is_file():
        raise ToroidsError(f"`{folder}` holds no {ROWS}; pass the folder of a finished study.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ToroidsError(f"`{path}` is not text ({error}); run the study again.") from error
    return [_row(line, f"line {number} of `{path}`") for number, line in enumerate(lines, start=1)]


def _row(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ToroidsError(f"{where} is not JSON ({error.msg}); run the study again.") from error
    if not isinstance(row, dict) or "kind" not in row:
        raise ToroidsError(f"{where} is not a row of a study; run the study again.")
    return row
