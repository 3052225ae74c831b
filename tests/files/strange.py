"""What may lie in the place of a file, and would make a program wait or read for ever."""

import os
import signal
import socket
from contextlib import contextmanager

KINDS = {
    "pipe": "it is a pipe",
    "socket": "it is a socket",
    "device": "it is a device",
    "folder": "it is a folder",
    "link": "it is a link that leads back to itself",
    "null": "its name holds a null character",
}


def make(kind, path):
    """Puts something of a kind at a path, and returns the path to name it by."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            here = os.getcwd()
            os.chdir(path.parent)  # names of sockets must be short
            bound.bind(path.name)
            os.chdir(here)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(path.name)
    elif kind == "null":
        return path.with_name(f"\0{path.name}")
    return path


@contextmanager
def at_once(seconds=20):
    """Fails where the block waits: what is measured is that it ends at all, not how fast."""

    def late(*_):
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
