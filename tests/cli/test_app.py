"""The list of commands, which imports none of them."""

import inspect
import subprocess
import sys

import pytest

from toroids.cli.app import COMMANDS, load_command

# What takes seconds to import, and what comes with it.
HEAVY = {"torch", "numpy", "scipy", "plotly", "sklearn", "toroids.public"}
PROGRAM = """
import sys
sys.argv = ["toroids", {option!r}]
from toroids.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("option", "line"),
    [("--help", "  align         Move a network onto another, its function unchanged."),
     ("--version", "toroids 0.1.0")],
)  # fmt: skip
def test_help_and_version_import_nothing_heavy(option, line):
    program = PROGRAM.format(option=option)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert line in done.stdout.splitlines()
    loaded = set(done.stderr.split())
    assert "toroids.cli.app" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_help_of_a_command_begins_with(name):
    first = inspect.cleandoc(load_command(name).help or "").splitlines()[0]
    words, said = (text.rstrip(".").split() for text in (first, COMMANDS[name][1]))
    assert said[:4] == words[:4]
