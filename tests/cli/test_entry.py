"""The entry of the shell command."""

import subprocess
import sys

SCRIPT = """
import os, toroids_shell, toroids.cli
toroids.cli.main = lambda: print(os.environ["THP_MEM_ALLOC_ENABLE"])
toroids_shell.main()
"""


def test_large_pages_are_asked_for_unless_the_user_says_otherwise():
    for given, expected in (({}, "1"), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0")):
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, env=given, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [expected]


def test_the_package_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "toroids", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("toroids 0."), done.stderr
