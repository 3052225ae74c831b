"""Writing files so that a reader sees the old content or the new, never half of it."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes `content` to `path` through a temporary neighbour and one rename.

    An interrupt, a kill or a full disk leaves the previous file as it was.

    Args:
        path: the file; its folder is made when missing.
        content: all of its bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp gives 0600; a result is for colleagues to read
        os.replace(temporary, path)
    except BaseException:  # also Ctrl-C: the neighbour must not stay behind
        Path(temporary).unlink(missing_ok=True)
        raise
