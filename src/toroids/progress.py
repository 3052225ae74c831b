"""How long work tells how far it is."""

from collections.abc import Callable
from typing import TypeAlias

# What is done now, how much of it is done, and of how much.
Progress: TypeAlias = Callable[[str, int, int], None]
