"""Tensors kept in files of a scratch folder, for networks that do not fit into memory."""

import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, MutableMapping
from itertools import count
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from toroids.checkpoint.mapping import mapped, raw
from toroids.errors import ToroidsError
from toroids.files.writing import UNFINISHED, hold, is_held
from toroids.params import Params

PREFIX = "toroids-scratch-"
# A file, the type and the shape of what it holds; None for a tensor that is in no file of ours.
Place: TypeAlias = tuple[Path, torch.dtype, tuple[int, ...]] | None


class Spilled(MutableMapping[str, Tensor]):
    """Tensors by name, in files; handed out mapped, so that they take no memory of their own.

    Writing into a tensor that was handed out does not change what is kept: set the name again.
    The folder is deleted by `close`, at the end of a `with` block, or when nothing refers to the
    mapping any more; tensors that were handed out stay valid.
    """

    def __init__(
        self,
        params: Params | None = None,
        folder: str | Path | None = None,
        *,
        over: Params | None = None,
    ) -> None:
        """Makes the scratch folder and moves `params` into it, one tensor at a time.

        Args:
            params: parameters and buffers by name, on any device; the CPU holds what is read back.
            over: tensors that are handed out as they are, asked for each time, until their name is
                set.
            folder: where the scratch folder is made; the system's folder for temporary files when
                None, which on some systems is in memory and would save nothing.

        Raises:
            ToroidsError: the scratch folder cannot be made, or is full.
        """
        _reclaim(Path(folder or tempfile.gettempdir()))
        try:
            self._folder = Path(tempfile.mkdtemp(dir=folder, prefix=PREFIX))
            held = os.open(self._folder, os.O_RDONLY) if os.name == "posix" else None
        except OSError as error:
            raise ToroidsError(
                f"no scratch folder can be made in `{folder or tempfile.gettempdir()}` "
                f"({error.strerror}); choose another folder."
            ) from error
        UNFINISHED.add(str(self._folder))
        hold(held)
        self._close = weakref.finalize(self, _remove, self._folder, os.getpid(), held)
        self._over: Params = over or {}
        self._places: dict[str, Place] = dict.fromkeys(self._over)
        self._numbers = count()
        try:
            self.update(params or {})
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> Tensor:
        place = self._places[name]
        self._check_open()
        return self._over[name] if place is None else mapped(place[0], 0, *place[1:])

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        self._check_open()
        # a new file each time: tensors that were handed out keep the old one
        path = self._folder / str(next(self._numbers))
        try:
            with open(path, "wb") as stream:
                stream.write(raw(tensor))
        except BaseException as error:
            path.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            raise ToroidsError(
                f"`{name}` cannot be moved to the scratch folder `{self._folder}` "
                f"({error.strerror}); choose a folder with more room."
            ) from error
        old = self._places.get(name)
        self._places[name] = path, tensor.dtype, tuple(tensor.shape)
        _unlink(old)

    def __delitem__(self, name: str) -> None:
        _unlink(self._places.pop(name))

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return f"Spilled({len(self)} tensors in {str(self._folder)!r})"

    def __enter__(self) -> "Spilled":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Deletes the scratch folder; nothing can be read or set afterwards."""
        self._close()

    def _check_open(self) -> None:
        if not self._close.alive:
            raise ToroidsError(
                "the scratch folder is closed; read the tensors within its `with` block."
            )


def store(params: Params, scratch: str | Path | None) -> MutableMapping[str, Tensor]:
    """A mapping with the tensors of `params`, in which others can be set.

    Args:
        params: parameters and buffers by name.
        scratch: a folder for what is set, so that it takes no memory; in memory when None.

    Returns:
        A dict, or tensors in files.
    """
    return dict(params) if scratch is None else Spilled(folder=scratch, over=params)


def _unlink(place: Place | None) -> None:
    if place is None:
        return
    path = place[0]
    with contextlib.suppress(OSError):  # a file in use stays on some systems, until the folder goes
        path.unlink()


def _remove(folder: Path, process: int, held: int | None) -> None:
    """Deletes the folder, in the process that made it: a fork must not."""
    if held is not None:
        os.close(held)
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
        UNFINISHED.discard(str(folder))


def _reclaim(parent: Path) -> None:
    """Deletes scratch folders of processes that were killed: those of our name, with our files."""
    with contextlib.suppress(OSError):
        for folder in parent.glob(f"{PREFIX}*"):
            # an empty one takes no room, and may have been made a moment ago
            files = [] if folder.is_symlink() else os.listdir(folder)
            if files and all(x.isdecimal() for x in files) and not is_held(folder):
                shutil.rmtree(folder, ignore_errors=True)
