"""The shell commands: parse, call one public function, print."""

import re
import sys

from toroids.cli.interrupts import Interrupts
from toroids.errors import NotEnoughMemory, ToroidsError, is_out_of_memory
from toroids.files.writing import FULL

LONG = re.compile(r"\S{500,}")  # no word, and hardly a path: it would bury what is said about it


def main() -> None:
    """Runs the shell command.

    A user's mistake is one sentence on stderr and exit code 2; Ctrl-C is exit code 130.
    """
    with Interrupts():
        try:
            from toroids.cli.app import (
                app,
            )  # within the block: Ctrl-C may come while it is imported

            app()
        except ToroidsError as error:
            from toroids.cli.wording import in_shell

            _refuse(in_shell(error))
        except OSError as error:
            _refuse(_unusable(error))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            _refuse(str(NotEnoughMemory(error)))


def _unusable(error: OSError) -> str:
    if error.errno in FULL:
        return "the disk is full; free some space and try again."
    name = error.filename2 or error.filename  # of a rename, where it should have gone
    where = f" `{name}`" if name else ""
    return f"cannot use{where}: {error.strerror or error}; choose another place."


def _refuse(sentence: str) -> None:
    short = LONG.sub(lambda found: f"{found[0][:60]}[...]", sentence)
    print(f"toroids: {short}", file=sys.stderr)
    sys.exit(2)
