"""Starts a child process of toroids, which ends when its parent does.

It is run by its path, not imported: the script or notebook that runs a study is not imported again
in the child, as multiprocessing would, and the child watches its parent before it imports PyTorch,
which takes seconds. For the same reason nothing here imports toroids. Run as
`python -P bootstrap.py FILE PATHS`: the file whose `serve` is the child's main function, and the
parent's sys.path as JSON.
"""

import json
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from typing import IO, Any, TypeAlias

Head: TypeAlias = dict[str, Any]
# How often a child looks whether its parent is alive; one that was killed cannot say so.
SECONDS_BETWEEN_LOOKS = 0.5
LENGTH = struct.Struct(">Q")


class Channel:
    """Two pipes that carry messages: a head of plain JSON data, and blobs of any length."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        """Takes the pipes.

        Args:
            incoming: where the other side's messages come from.
            outgoing: where messages to the other side go.
        """
        self.incoming, self.outgoing = incoming, outgoing
        self._lock = threading.Lock()

    def send(self, head: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Sends a message, whole, from any thread; OSError where the other side is gone."""
        parts = [json.dumps(head).encode(), *blobs]
        with self._lock:
            self.outgoing.write(LENGTH.pack(len(parts)))
            for part in parts:
                self.outgoing.write(LENGTH.pack(len(part)))
                self.outgoing.write(part)
            self.outgoing.flush()

    def receive(self) -> tuple[Head, list[bytes]]:
        """Waits for a message; EOFError where the other side is gone."""
        head, *blobs = [self._read(self._length()) for _ in range(self._length())]
        return json.loads(head), blobs

    def _length(self) -> int:
        (length,) = LENGTH.unpack(self._read(LENGTH.size))
        return int(length)

    def _read(self, size: int) -> bytes:
        part = self.incoming.read(size)
        if len(part) < size:
            raise EOFError("the other side is gone")
        return part


def main() -> None:
    """Runs the child until its parent closes the pipe or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes the pipe
    if os.name == "posix":  # elsewhere nothing tells; the child ends with its current job
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    channel = _taken_channel()
    sys.path[:] = json.loads(sys.argv[2])
    spec = spec_from_file_location("toroids_child", sys.argv[1])
    if spec is None or spec.loader is None:
        raise ImportError(f"{sys.argv[1]} is no Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.serve(channel)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def _taken_channel() -> Channel:
    """Takes the pipes off stdin and stdout, so that what a task prints goes to stderr."""
    channel = Channel(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return channel


if __name__ == "__main__":
    main()
