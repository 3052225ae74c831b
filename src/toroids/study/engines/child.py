"""The parent's side of a child process that speaks in messages."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from toroids.study.engines import bootstrap
from toroids.study.engines.bootstrap import Channel, Head

# Read when a library is loaded, before `one_thread` can limit it: no pool of threads is ever made.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}

# A child's pipe closes before it can be waited for: Python takes a while to end, where there are
# many processes.
SECONDS_TO_DIE = 10.0


class Child:
    """A child process; it ends when it is killed, when this process ends, or by itself."""

    def __init__(
        self, file: str, environment: Mapping[str, str] | None = None, quiet: bool = False
    ) -> None:
        """Starts a child process.

        Args:
            file: a Python file; its function `serve(channel)` is what the child does.
            environment: variables of the child besides those of this process.
            quiet: whether what it writes to stderr is thrown away.
        """
        paths = json.dumps([str(path) for path in sys.path])
        # -P: the folder of the script, which has the engines, is no place to import from
        command = [sys.executable, "-P", bootstrap.__file__, file, paths]
        with _interrupts_held():
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL if quiet else None,
                env={**os.environ, **ONE_THREAD, **(environment or {})},
            )
        assert self._process.stdin and self._process.stdout  # for the type checker
        self._channel = Channel(self._process.stdout, self._process.stdin)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, head: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Sends a message; OSError where the child is dead."""
        self._channel.send(head, blobs)

    def receive(self) -> tuple[Head, list[bytes]]:
        """Waits for a message; EOFError where the child is dead."""
        return self._channel.receive()

    def hang_up(self, patience: float) -> None:
        """Asks the child to end by closing its pipe, and kills it where that takes too long.

        Args:
            patience: seconds.
        """
        with suppress(OSError):
            self._channel.outgoing.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self.kill()

    def kill(self) -> None:
        """Ends the child at once; whoever waits for it in another thread gets an error."""
        self._process.kill()
        self._process.wait()

    def bury(self) -> str:
        """Closes what is left of a child that was killed or does not answer.

        Returns:
            How it ended, as the end of a sentence.
        """
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(SECONDS_TO_DIE)
        by_itself = not self.alive
        self.kill()
        for pipe in (self._channel.outgoing, self._channel.incoming):
            with suppress(OSError):  # what was not sent cannot be
                pipe.close()
        code = self._process.returncode
        if not by_itself:
            return "was ended, because it did not answer any more"
        if code >= 0:
            return f"ended with exit status {code}"
        memory = ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
        return f"was killed by signal {-code} ({signal.strsignal(-code)}){memory}"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Starts a child in which Ctrl-C does nothing from its first instruction on."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
