"""What an argument must be, as a value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toroids.arguments.shown import shown
from toroids.errors import ArgumentError


class Unfit(Exception):
    """A value does not fit a rule; what came and what to do, where the rule's words do not tell."""


@dataclass(frozen=True)
class Rule:
    """What an argument must be.

    Attributes:
        words: completes "pass ...".
        read: gives a value that fits as Python's own numbers and lists, which is the value itself
            where it is made of these; raises Unfit for any other.
        refuse: raises an error of its own, where there is a better one than the general.
        hint: how to get one.
    """

    words: str
    read: Callable[[Any], Any]
    refuse: Callable[[str, Any], None] | None = None
    hint: str = ""

    def check(self, name: str, value: Any, error: type[ArgumentError] = ArgumentError) -> Any:
        """The value as a function takes it; raises unless it fits."""
        try:
            return self.read(value)
        except Unfit as unfit:
            if self.refuse is not None:
                self.refuse(name, value)
            hint = f", {self.hint}" if self.hint else ""
            words = unfit.args or (shown(value), f"pass {self.words}{hint}")
        raise error(name, *words)


def where(fits: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Reads what fits as it is."""

    def read(value: Any) -> Any:
        if not fits(value):
            raise Unfit
        return value

    return read
