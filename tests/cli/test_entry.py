"""The entry of the shell command."""

import os
import subprocess
import sys

SCRIPT = """
import atexit, gc, os, toroids_shell, toroids.cli
atexit.register(lambda: print(gc.get_freeze_count() > 0))
names = "THP_MEM_ALLOC_ENABLE", "OMP_WAIT_POLICY"
toroids.cli.main = lambda: print(*(os.environ[name] for name in names))
toroids_shell.main()
"""


def test_large_pages_and_sleeping_threads_are_asked_for_unless_the_user_says_otherwise():
    names = {"THP_MEM_ALLOC_ENABLE", "OMP_WAIT_POLICY"}
    chosen = dict(zip(sorted(names), ("ACTIVE", "0"), strict=True))
    for given, expected in (({}, ["1", "PASSIVE"]), (chosen, ["0", "ACTIVE"])):
        command = [sys.executable, "-c", SCRIPT]
        own = {k: v for k, v in os.environ.items() if k not in names}
        done = subprocess.run(command, env=own | given, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [*expected, "True"]  # nothing is looked through at the end


def test_the_package_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "toroids", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("toroids 0."), done.stderr


def test_no_file_is_opened_where_a_stream_was_closed():
    script = (
        "import os, sys, toroids_shell, toroids.cli\n"
        "toroids.cli.main = lambda: sys.exit(os.open(os.devnull, os.O_RDONLY))\n"
        "toroids_shell.main()"
    )
    closed = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, script]
    assert subprocess.run(closed, check=False).returncode > 2
