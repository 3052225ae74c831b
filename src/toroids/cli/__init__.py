"""The shell commands: parse, call one public function, print."""

import sys

from toroids.cli.interrupts import Interrupts
from toroids.errors import ToroidsError
from toroids.files.writing import FULL


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
            _refuse(str(error))
        except MemoryError:
            _refuse("there is not enough memory for this; ask for less at once.")
        except OSError as error:
            _refuse(_unusable(error))


def _unusable(error: OSError) -> str:
    if error.errno in FULL:
        return "the disk is full; free some space and try again."
    name = error.filename2 or error.filename  # of a rename, where it should have gone
    where = f" `{name}`" if name else ""
    return f"cannot use{where}: {error.strerror or error}; choose another place."


def _refuse(sentence: str) -> None:
    print(f"toroids: {sentence}", file=sys.stderr)
    sys.exit(2)
