"""The shell commands: parse, call one public function, print."""

import io
import sys

from toroids.cli.interrupts import Interrupts
from toroids.errors import NotEnoughMemory, ToroidsError, is_out_of_memory, one_line
from toroids.extras import check_extra
from toroids.files.writing import FULL


def main() -> None:
    """Runs the shell command.

    A user's mistake is one sentence on stderr and exit code 2; Ctrl-C is exit code 130.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may hold what is no character
    try:
        check_extra("the command toroids", "study", "typer")
    except ToroidsError as error:
        _refuse(str(error))
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
    print(f"toroids: {one_line(sentence)}", file=sys.stderr)
    sys.exit(2)
