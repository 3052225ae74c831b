"""What functions say of their arguments, in words of the shell: --batch-size for batch_size."""

import re
import sys
from typing import Any

from toroids.cli.app import COMMANDS, load_command
from toroids.errors import ArgumentError


def in_shell(error: Exception) -> str:
    """Puts the options of the command that was called in the place of arguments.

    Args:
        error: whose sentence it is.

    Returns:
        The sentence; names that are words as well, as data, only where they are surely arguments:
        with a value, or what an `ArgumentError` is about.
    """
    sentence = str(error)
    about = error.name if isinstance(error, ArgumentError) else None
    called = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    for name, option in _options(called).items():
        pattern = rf"\b{name}(?==\S)"
        if name == about or "_" in name:
            pattern = rf"`{name}`|{pattern}"
        if "_" in name:
            pattern += rf"|\b{name}\b"
        sentence = re.sub(pattern, option, sentence).replace(f"{option}=True", option)
        sentence = sentence.replace(f"{option}=", f"{option} ")
    return sentence


def _options(command: str) -> dict[str, str]:
    """The arguments of a command by their names in Python, as far as they are options."""
    parameters: list[Any] = load_command(command).params if command in COMMANDS else []
    found = {each.name: next(iter(each.opts)) for each in parameters}
    return {name: option for name, option in found.items() if option.startswith("--")}
