"""Writing files so that a reader sees the old content or the new, never half of it."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from toroids.errors import ToroidsError

# What a disk without room says.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes `content` to `path` through a temporary neighbour and one rename.

    An interrupt, a kill or a full disk leaves the previous file as it was.

    Args:
        path: the file; its folder is made when missing.
        content: all of its bytes.
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
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp gives 0600; a result is for colleagues to read
        os.replace(temporary, path)
    except BaseException:  # also Ctrl-C: the neighbour must not stay behind
        Path(temporary).unlink(missing_ok=True)
        raise


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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
    try:
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
