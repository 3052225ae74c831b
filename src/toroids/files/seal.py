"""A seal inside of a file: a command of toroids wrote it, and nobody has changed it since.

It is the SHA-256 of the whole file, with zeros where the seal itself has its digits. So it is lost
with the first change, also by a program that copies what it does not know, as other tools copy the
metadata of weights: what somebody has made of our file is not ours.
"""

import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from toroids.errors import ConfigError
from toroids.files.reading import open_file
from toroids.files.writing import replacing

MARK = b"a command of toroids wrote this, sha256 "
DIGITS = 64
# What a writer puts where the format has room for a text; `Sealing` fills it in.
BLANK = (MARK + b"0" * DIGITS).decode()
CHUNK = 2**20


class Sealing:
    """A stream that fills in the seal of what is written to it."""

    def __init__(self, stream: BinaryIO) -> None:
        """Takes the stream of an empty file."""
        self._stream, self._digest = stream, hashlib.sha256()
        self._place: int | None = None
        self._length = 0

    def write(self, content: bytes | memoryview) -> int:
        """Writes a piece; the blank seal is whole in one of the first."""
        if self._place is None:
            found = bytes(content).find(BLANK.encode())
            self._place = None if found < 0 else self._length + found + len(MARK)
        self._digest.update(content)
        self._length += len(content)
        return self._stream.write(content)

    def close(self) -> None:
        """Puts the digits in, where there is a place for them; the stream itself stays open."""
        if self._place is not None:
            self._stream.seek(self._place)
            self._stream.write(self._digest.hexdigest().encode())


@contextmanager
def sealing(path: str | Path) -> Iterator[Sealing]:
    """Opens a file as `replacing` does, and seals what is written to it."""
    with replacing(path) as stream:
        sealed = Sealing(stream)
        yield sealed
        sealed.close()


def sealed_page(page: str) -> bytes:
    """Puts a seal, which is to be filled in, below the first line of a page of HTML."""
    first, _, rest = page.partition("\n")
    # a name may hold what is no character
    return f"{first}\n<!-- {BLANK} -->\n{rest}".encode(errors="backslashreplace")


def check_ours(path: str | Path, advice: str) -> None:
    """Raises where there is a file that is not as a command of toroids wrote it.

    Args:
        path: of a file, or of nothing yet.
        advice: what to do.

    Raises:
        ConfigError: it is somebody else's, or has been changed.
    """
    if os.path.exists(path) and not is_sealed(path):
        raise ConfigError(
            f"`{path}` exists, and is not as a command of toroids wrote it; {advice}."
        )


def is_sealed(path: str | Path) -> bool:
    """Tells whether a file is as a command of toroids wrote it.

    Args:
        path: the file.

    Returns:
        False also where it has been changed since, and where there is none.
    """
    try:
        with (
            open_file(path) as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as view,
        ):
            place = view.find(MARK)
            if place < 0:
                return False
            digits = view[place + len(MARK) : place + len(MARK) + DIGITS]
            return digits == _computed(view, place + len(MARK)).encode()
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False


def _computed(view: mmap.mmap, place: int) -> str:
    digest = hashlib.sha256()
    digest.update(view[:place] + b"0" * DIGITS)
    for start in range(place + DIGITS, len(view), CHUNK):
        digest.update(view[start : start + CHUNK])
    return digest.hexdigest()
