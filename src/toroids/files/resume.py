"""The state of a work in a file, from which the work goes on where it was killed.

It is written now and then, but not so often that writing takes more than a small share of the time.
Its last bytes are a checksum: torch.load does not compare those of the zip archive that it reads.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from toroids.errors import CheckpointError
from toroids.files.reading import open_file
from toroids.files.writing import check_replaceable, write_atomically

# Of the time from one checkpoint to the next, at most this share goes into writing.
SHARE = 0.05


class Resume:
    """The checkpoint of one work.

    Attributes:
        state: what the file held when it was opened; empty where there was none.
    """

    def __init__(self, path: str | Path | None, fingerprint: Callable[[], str], work: str) -> None:
        """Looks for a checkpoint of the same work.

        Args:
            path: a file to go on from, where there is one, and to write; None for neither.
            fingerprint: tells the work from others; called only where there is a path.
            work: what messages call it.

        Raises:
            CheckpointError: the checkpoint is of another work, or is not whole.
            ToroidsError: no file may take the place of what is there.
        """
        self._path = None if path is None else Path(path)
        self.state: dict[str, Any] = {}
        self._spent = 0.0
        self._begun = time.monotonic()
        self._next = self._begun  # when a checkpoint is due
        if self._path is None:
            return
        check_replaceable(self._path)
        self._fingerprint = fingerprint()
        if os.path.lexists(self._path):
            self.state = self._read(work)
            self._spent = self.state["spent"]

    def _read(self, work: str) -> dict[str, Any]:
        assert self._path is not None  # there is a checkpoint
        try:
            with open_file(self._path) as stream:
                content = _unsealed(stream.read())
            saved: dict[str, Any] = torch.load(
                BytesIO(content), map_location="cpu", weights_only=True
            )
            fingerprint = saved["fingerprint"]
        except Exception as error:  # whatever a file that is no checkpoint makes torch raise
            raise CheckpointError(
                f"`{self._path}` is not a whole checkpoint ({type(error).__name__}); name another "
                "file, or delete this one to begin anew."
            ) from error
        if fingerprint != self._fingerprint:
            raise CheckpointError(
                f"`{self._path}` is the checkpoint of {work} with other settings or data; name "
                "another file, or delete it."
            )
        return saved

    @property
    def seconds(self) -> float:
        """Wall time spent on this work, that before a kill included."""
        return self._spent + time.monotonic() - self._begun

    def save(self, state: Callable[[], Mapping[str, Any]], last: bool = False) -> None:
        """Writes the state where a file is wanted and due, the last one in any case.

        Args:
            state: gives what the work goes on from: tensors, numbers, texts, lists and dicts.
            last: whether the work is done.

        Raises:
            ToroidsError: the file cannot be written.
        """
        begun = time.monotonic()
        if self._path is None or not (last or begun >= self._next):
            return
        buffer = BytesIO()
        told = {"fingerprint": self._fingerprint, "spent": self.seconds}
        torch.save({**state(), **told}, buffer)
        content = buffer.getvalue()
        write_atomically(self._path, content + hashlib.sha256(content).digest())
        now = time.monotonic()
        self._next = now + (now - begun) * (1 / SHARE - 1)


def _unsealed(content: bytes) -> bytes:
    size = hashlib.sha256().digest_size
    content, seal = content[:-size], content[-size:]
    if hashlib.sha256(content).digest() != seal:
        raise ValueError("its checksum does not fit")
    return content


def fingerprint_of(text: str, *tensors: torch.Tensor) -> str:
    """A fingerprint of a text and of the bytes of tensors."""
    digest = hashlib.sha256(text.encode())
    for tensor in tensors:
        flat = tensor.detach().cpu().contiguous().flatten()  # a single number has no bytes to view
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
