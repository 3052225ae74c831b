"""The entry of the shell command, beside the package: Ctrl-C is heard before that is imported.

Until `toroids.cli` listens to it, an interrupt ends the program at once, with exit code 130 and
without a word: there is nothing yet to tidy up.
"""

import gc
import os
import sys

# what the module `signal` wraps, which takes milliseconds to import
from _signal import SIG_IGN, SIGINT, getsignal, signal  # type: ignore[import-not-found]

EXIT_CODE = 130
# PyTorch asks Linux for large pages: new tensors of a few megabytes cost a quarter of the time.
# Threads that wait for each other sleep: where they spin instead, as is the default, one that
# shares its core with another program makes all the others several times slower.
SETTINGS = {"THP_MEM_ALLOC_ENABLE": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def main() -> None:
    """Runs the shell command."""
    if getsignal(SIGINT) is not SIG_IGN:  # as shells set it for what runs in the background
        signal(SIGINT, lambda *_: os._exit(EXIT_CODE))
    _hold_streams()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        os.getcwd()
    except OSError:  # with which PyTorch ends the process
        sys.exit("Error: this folder is gone; change to one that exists.")
    from toroids.cli import main as run

    try:
        run()
    finally:
        gc.freeze()  # looking through all that was imported, at the end, takes a second and more


def _hold_streams() -> None:
    """Opens what came closed, or files would be opened there, and libraries print into them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # at the lowest number that is free
