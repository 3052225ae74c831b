"""A run on disk: weights as safetensors, measurements as JSON lines, one folder.

A run is written into `NAME.partial` and takes the place of an earlier `NAME` only when it is
complete, so that an interrupted run destroys nothing and leaves no half-written file.
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


class Run:
    """A run that is being written; use it in a `with` block."""

    def __init__(self, folder: str | Path) -> None:
        """Prepares to write the run `folder`.

        Args:
            folder: where the complete run will be.
        """
        self.folder = Path(folder)
        self.partial = self.folder.with_name(self.folder.name + ".partial")
        self._lock = FileLock(self.folder.with_name(f".{self.folder.name}.lock"))

    def __enter__(self) -> Self:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._check_replaceable()
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ToroidsError(
                f"another study is writing `{self.folder}`; wait for it or choose another --out."
            ) from error
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir()
        self._rows = os.open(
            self.partial / ROWS, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_EXCL, 0o644
        )
        return self

    def _check_replaceable(self) -> None:
        occupied = self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir()))
        if occupied and not (self.folder / ROWS).is_file():
            raise ToroidsError(
                f"`{self.folder}` exists and is not a run of a study; choose another --out."
            )

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
        old = self.folder.with_name(self.folder.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(old)
        self.partial.rename(self.folder)
        shutil.rmtree(old, ignore_errors=True)

    def add(self, row: Mapping[str, Any]) -> None:
        """Appends one measurement by a single write, so that a reader never sees half a line.

        Args:
            row: plain data; numbers that are not finite become null.
        """
        line = (json.dumps(_plain(row), allow_nan=False) + "\n").encode()
        if os.write(self._rows, line) < len(line):
            raise ToroidsError(f"the disk is full: `{self.partial / ROWS}` could not be written.")

    def save_network(self, name: str, params: Mapping[str, torch.Tensor]) -> None:
        """Writes one network's weights."""
        save_params(params, self.partial / "networks" / f"{name}.safetensors")


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
        ToroidsError: there is no run, or a line of it is not JSON.
    """
    path = Path(folder) / ROWS
    if not path.is_file():
        raise ToroidsError(f"`{folder}` holds no {ROWS}; pass the folder of a finished study.")
    rows: list[Row] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ToroidsError(
                f"line {number} of `{path}` is not JSON ({error.msg}); run the study again."
            ) from error
    return rows
