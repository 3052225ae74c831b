"""Files opened for reading: regular ones, which neither make one wait nor go on for ever.

A pipe without a writer, a terminal or a socket in the place of a file would hang a program, a
device would fill its memory. All files that a user names are opened here.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from toroids.errors import ToroidsError

KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
# What there is no text for in the system's words.
REASONS = {errno.ELOOP: "it is a link that leads back to itself"}
# Without these flags a pipe that takes the place of a file now would still make one wait.
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
FLAGS |= getattr(os, "O_BINARY", 0)


def open_file(path: str | Path) -> BufferedReader:
    """Opens a regular file for reading, or fails at once.

    Args:
        path: the file, or a link to one.

    Returns:
        The stream.

    Raises:
        OSError: there is no file, it may not be read, or it is a pipe, a socket, a device or a
            folder; its `strerror` completes a sentence that says so.
    """
    name = os.fspath(path)
    if "\0" in name:
        raise OSError(errno.EINVAL, "its name holds a null character", name)
    try:
        _check(os.stat(name), name)  # first: to open some devices does something
        handle = os.open(name, FLAGS)
    except UnicodeEncodeError as error:
        raise OSError(errno.EINVAL, "its name holds half of a character", name) from error
    except OSError as error:
        raise OSError(error.errno, REASONS.get(error.errno or 0, error.strerror), name) from error
    try:
        _check(os.fstat(handle), name)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check(found: os.stat_result, name: str) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        code = errno.EISDIR if kind == stat.S_IFDIR else errno.EINVAL
        raise OSError(code, f"it is {KINDS.get(kind, 'no file')}", name)


def read_file(path: str | Path, most: int) -> bytes:
    """Reads a regular file of bounded length.

    Args:
        path: the file.
        most: bytes that it may have.

    Returns:
        All of them.

    Raises:
        OSError: as of `open_file`, or the file is longer.
    """
    with open_file(path) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", os.fspath(path))
    return content


@contextmanager
def told(
    path: str | Path, what: str, advice: str, kind: type[ToroidsError] = ToroidsError
) -> Iterator[None]:
    """Turns what goes wrong with a file into one sentence.

    Args:
        path: the file.
        what: what it should be, as "weight file".
        advice: what to do.
        kind: of the error that is raised.

    Yields:
        Nothing. Where the block raises an OSError, a sentence takes its place.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise kind(f"there is no {what} `{path}`; {advice}.") from error
    except OSError as error:
        raise kind(f"`{path}` cannot be read: {error.strerror or error}; {advice}.") from error
