"""Writing files so that a reader sees the old content or the new, never half of it."""

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from toroids.errors import ToroidsError
from toroids.files.reading import KINDS, REASONS

try:
    import fcntl
except ImportError:  # as on Windows
    fcntl = None  # type: ignore[assignment]

# What a disk without room says.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHORT = 40  # characters
# What `tempfile` adds to the beginning of a name.
TEMPORARY = re.compile(rf"\.(.{{1,{SHORT}}})-[a-z0-9_]{{8}}\.tmp", re.DOTALL)
# Temporary files and folders of this process, which go when it ends.
UNFINISHED: set[str] = set()


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes `content` to `path` through a temporary neighbour and one rename.

    An interrupt, a kill or a full disk leaves the previous file as it was.

    Args:
        path: the file; its folder is made when missing.
        content: all of its bytes.

    Raises:
        ToroidsError: as of `replacing`.
    """
    with replacing(path) as stream:
        stream.write(content)


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a temporary neighbour for writing, which takes the place of `path` at the end.

    Args:
        path: the file; its folder is made when missing.

    Yields:
        The stream to write to. Where the block raises, the previous file stays as it was.

    Raises:
        ToroidsError: what is there is no file, but a folder, a pipe, a socket or a device; or no
            file can be there.
    """
    path = Path(path)
    check_replaceable(path)
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # short, so that the neighbour of a file with the longest of names has a name as well
        prefix = f".{path.name[:SHORT]}-"
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".tmp")
    try:
        UNFINISHED.add(temporary)
        with os.fdopen(handle, "wb") as stream:
            hold(handle)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp gives 0600; a result is for colleagues to read
        os.replace(temporary, path)
    except BaseException:  # also Ctrl-C: the neighbour must not stay behind
        Path(temporary).unlink(missing_ok=True)
        raise
    finally:
        UNFINISHED.discard(temporary)


def make_folder(path: Path) -> None:
    """Makes a folder, with those that hold it, where there is none.

    Args:
        path: the folder.

    Raises:
        ToroidsError: no folder can be there.
    """
    with _told(path):
        path.mkdir(parents=True, exist_ok=True)


def temporaries(folder: Path) -> Iterator[tuple[Path, str]]:
    """Finds the temporary neighbours in a folder that writes have left which were killed.

    Args:
        folder: where, or nothing yet.

    Yields:
        Each, and how the name of the file begins that it was to become.
    """
    for path in folder.glob(".*.tmp"):
        if (found := TEMPORARY.fullmatch(path.name)) and path.is_file() and not path.is_symlink():
            yield path, found[1]


def check_replaceable(path: str | Path) -> None:
    """Raises where there is something that no file may take the place of.

    Args:
        path: of a file, of a link to one, or of nothing yet.

    Raises:
        ToroidsError: it is a folder, a pipe, a socket or a device.
    """
    kind = stat.S_IFREG
    with _told(path), suppress(FileNotFoundError):  # also at the end of a link
        kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind != stat.S_IFREG:
        what = KINDS.get(kind, "no file")
        raise ToroidsError(f"`{path}` is {what}; name a file that may be replaced, or a new one.")


@contextmanager
def _told(path: str | Path) -> Iterator[None]:
    """Says in one sentence why nothing can be written at a path."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise
        reason = REASONS.get(error.errno or 0, error.strerror)
        raise ToroidsError(f"`{path}` cannot be written: {reason}; name another place.") from error
    except RecursionError as error:  # of `mkdir`, which makes one folder after the other
        raise ToroidsError(
            f"`{path}` cannot be written: it lies in too many folders; name another place."
        ) from error


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Makes a temporary neighbour, which becomes the folder `path` at the end.

    Args:
        path: the folder, missing or empty; the one that holds it is made when missing.

    Yields:
        The folder to fill. Where the block raises, it is deleted with all that is in it.

    Raises:
        ToroidsError: `path` is there and is no empty folder.
    """
    path = Path(path)
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name[:SHORT]}-"
        temporary = tempfile.mkdtemp(dir=path.parent, prefix=prefix, suffix=".tmp")
        held = os.open(temporary, os.O_RDONLY) if fcntl else None
    try:
        UNFINISHED.add(temporary)
        hold(held)
        yield Path(temporary)
        os.chmod(temporary, 0o755)  # mkdtemp gives 0700; a result is for colleagues to read
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise ToroidsError(
                f"`{path}` cannot be made ({error.strerror}); name a folder that does not exist."
            ) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        UNFINISHED.discard(temporary)
        if held is not None:
            os.close(held)


def delete_unfinished() -> None:
    """Deletes what is half written, and scratch folders, before the process ends at once."""
    for path in map(Path, UNFINISHED.copy()):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def hold(handle: int | None) -> None:
    """Marks a file or folder as in use by this process until the handle or the process goes.

    Args:
        handle: open on it; None where the system has no such marks.
    """
    with suppress(OSError):  # of a file system that has none
        if fcntl is not None and handle is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(path: Path) -> bool:
    """Whether a process is at work on a file or folder, or nobody can tell."""
    if fcntl is None:
        return True
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def reclaim(path: str | Path) -> None:
    """Deletes what writes of a file or folder have left that were killed.

    Args:
        path: what was to be written; what another process is writing is left alone.
    """
    path = Path(path)
    with suppress(OSError):
        for entry in list(os.scandir(path.parent)):
            found = TEMPORARY.fullmatch(entry.name)
            if not found or found[1] != path.name[:SHORT] or entry.is_symlink():
                continue
            # what is empty takes no room, and may have been made a moment ago
            empty = not (os.listdir(entry.path) if entry.is_dir() else entry.stat().st_size)
            if empty or is_held(Path(entry.path)):
                continue
            if entry.is_dir():
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)


def check_room(path: str | Path, size: int) -> None:
    """Raises where a disk has surely not the room for what is to be written.

    Args:
        path: of a file or folder, which need not be there.
        size: of it, in bytes.

    Raises:
        ToroidsError: says how much is needed, and how much is free.
    """
    place = Path(os.path.realpath(path))
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
    except OSError:  # who writes there will say why
        return
    if free < size:
        raise ToroidsError(
            f"`{path}` needs {size / 1e9:.3g} GB, but its disk has {free / 1e9:.3g} GB free; free "
            "some space, or name a place on another disk."
        )
