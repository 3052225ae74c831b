"""Ctrl-C: the command ends with exit code 130, whatever it is doing.

So it does where a system or a scheduler asks it to end, or its terminal is closed: what is half
written and what lies in scratch folders is tidied up first. Who asks twice does not wait for that.

Python raises KeyboardInterrupt wherever the program happens to be. Inside of a library that catches
everything, of an import in C, or of a finaliser it is lost, or comes out as another error. So it is
kept in mind that it came: it is raised again until the command is left, and decides how that ends.

It does not raise it at all within one call of a library in C, as of a singular value decomposition
that takes minutes. So a thread listens as well, and ends the program where nothing else does.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from toroids.files.writing import delete_unfinished

EXIT_CODE = 130
# Signals by which a program is asked to end, beside Ctrl-C; Windows lacks some.
ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
# Time enough to close files and to end processes before an interrupt counts as swallowed.
SECONDS_TO_LEAVE = 3.0
# Time enough for Python to hear of one, unless a library keeps it.
SECONDS_TO_HEAR = 1.0


class Interrupts:
    """A block that ends the program with exit code 130 where Ctrl-C was pressed inside of it."""

    def __init__(self) -> None:
        """Listens to nothing yet."""
        self._came = threading.Event()
        self._wakes: socket.socket | None = None
        self._code = EXIT_CODE
        self._before: Any = None
        self._endings: list[signal.Signals] = []
        self._unraisable = sys.unraisablehook

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        sys.unraisablehook = self._tell_unraisable
        # what `nohup` has set, or the program that this is part of, stays
        self._endings = [x for x in ENDINGS if signal.getsignal(x) is signal.SIG_DFL]
        with suppress(OSError, RuntimeError):  # of a process that may open or start nothing more
            self._start_listening()
        for ending in self._endings:
            signal.signal(ending, self._end)
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as shells do in background
        if not ignored:  # at last: what it raises before the block begins is not caught
            self._before = signal.signal(signal.SIGINT, self._raise)
        return self

    def _start_listening(self) -> None:
        hears, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(hears,), daemon=True).start()

    def _listen(self, hears: socket.socket) -> None:
        """Ends the program where it is asked to end, and Python does not come to hear of it."""
        while number := hears.recv(1):
            ends = number[0] in (signal.SIGINT, *self._endings)
            if ends and not self._came.wait(SECONDS_TO_HEAR):
                delete_unfinished()
                _end_at_once(number[0])
        hears.close()

    def _end(self, number: int, _: object) -> None:
        self._code = 128 + number
        self._forget_endings()
        self._raise()

    def _forget_endings(self) -> None:
        for ending in self._endings:
            signal.signal(ending, signal.SIG_DFL)

    def _raise(self, *_: object) -> None:
        self._came.set()
        if hasattr(signal, "setitimer"):  # elsewhere Ctrl-C has to be pressed again
            signal.signal(signal.SIGALRM, self._raise)
            signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_LEAVE)
        raise KeyboardInterrupt

    def _tell_unraisable(self, ignored: Any) -> None:
        """Says nothing of an interrupt that fell into a finaliser: it will be raised again."""
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            self._unraisable(ignored)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.unraisablehook = self._unraisable
        if self._wakes is not None:
            signal.set_wakeup_fd(-1)
            self._wakes.close()
        if self._came.is_set() or kind is KeyboardInterrupt:
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_REAL, 0)
            if self._before is not None:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program is ending already
            raise SystemExit(self._code) from None
        self._forget_endings()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


@contextmanager
def nothing_begun() -> Iterator[None]:
    """A part of the block in which the program ends at once: there is nothing yet to tidy up.

    Imports in C++, as those of PyTorch, abort the process where Python raises KeyboardInterrupt.

    Yields:
        Nothing.
    """
    numbers = [signal.SIGINT, *ENDINGS]
    before = {x: signal.getsignal(x) for x in numbers}
    ours = [x for x in numbers if isinstance(getattr(before[x], "__self__", None), Interrupts)]
    for number in ours:
        signal.signal(number, _end_at_once)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


def _end_at_once(number: int, _: object = None) -> None:
    os._exit(128 + number)  # of Ctrl-C EXIT_CODE
