"""Work that several threads ask for: one piece after the other, in order, and never too much.

A piece that several ask for is done once for all of them. It is given up as soon as none of them
waits for it any more.
"""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

# Seconds between two looks whether who waits is still there.
LOOK = 0.2


class Gone(Exception):
    """Who asked does not wait for the answer any more."""


class Full(Exception):
    """So much is waiting already that nothing more is taken."""


@dataclass
class _Piece:
    """A piece of work, and what became of it."""

    work: Callable[[Callable[[], None]], Any]
    askers: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    found: Any = None
    error: BaseException | None = None

    def look(self) -> None:
        """Gives the work up where nobody waits for it."""
        if not self.askers:
            raise Gone


class Queue:
    """Does pieces of work in a thread of its own, in the order in which they were asked for."""

    def __init__(self, most: int) -> None:
        """Begins empty.

        Args:
            most: pieces that may wait, the one that is being done included.
        """
        self._most, self._lock = most, threading.Lock()
        self._pieces: dict[Hashable, _Piece] = {}
        self._begun: _Piece | None = None
        self._thread: threading.Thread | None = None

    def do(
        self,
        name: Hashable,
        work: Callable[[Callable[[], None]], Any],
        gone: Callable[[], bool],
    ) -> Any:
        """Waits until a piece of work is done.

        Args:
            name: equal for pieces that have the same result.
            work: is called with a function that raises Gone where nobody waits any more, and has
                to call it now and then.
            gone: tells whether this caller waits no more.

        Returns:
            What the work returned. What it raises is raised here, too.

        Raises:
            Gone: as `gone` says.
            Full: too much is waiting.
        """
        piece = self._join(name, work)
        try:
            while not piece.done.is_set():
                if gone():
                    raise Gone
                piece.done.wait(LOOK)
        finally:
            self._leave(name, piece)
        if piece.error is not None:
            raise piece.error
        return piece.found

    def _join(self, name: Hashable, work: Callable[[Callable[[], None]], Any]) -> _Piece:
        with self._lock:
            piece = self._pieces.get(name)
            if piece is None:
                if len(self._pieces) >= self._most:
                    raise Full
                piece = self._pieces[name] = _Piece(work)
            piece.askers += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        return piece

    def _leave(self, name: Hashable, piece: _Piece) -> None:
        with self._lock:
            piece.askers -= 1
            waits = self._pieces.get(name) is piece is not self._begun
            if waits and not piece.askers:  # it need not wait for its turn to be given up
                del self._pieces[name]

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._pieces:
                    self._thread = None
                    return
                name, piece = next(iter(self._pieces.items()))
                self._begun = piece
            try:
                piece.look()
                piece.found = piece.work(piece.look)
            except Gone:
                pass
            except BaseException as error:
                piece.error = error
            with self._lock:
                done = piece.error is not None or piece.found is not None
                if done or not piece.askers:  # else somebody asked while it was given up
                    del self._pieces[name]
                    piece.done.set()

    def finish(self, seconds: float) -> None:
        """Waits for the work that is being given up, at most for some seconds."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
