"""Parts that the results of several kinds of tasks have."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from toroids.landscape.section import Section
from toroids.statistics.row import Measured, Part, Places, Plain, Real, alike, plain

Three = Field(min_length=3, max_length=3)
Two = Annotated[list[Real], Field(min_length=2, max_length=2)]


@dataclass(frozen=True, kw_only=True)
class Grid(Part):
    """What was measured at the points of a grid on a plane."""

    x: Places
    y: Places
    error: list[list[Measured]]
    error_stderr: list[list[Measured]]
    loss: list[list[Measured]]

    def __post_init__(self) -> None:
        for values in (self.error, self.error_stderr, self.loss):
            alike(self.y, values)
            alike(self.x, *values)


def grid(found: Section) -> Plain:
    """The fields of a grid from a section that was measured."""
    names = ("x", "y", "error", "error_stderr", "loss")
    return {name: plain(getattr(found, name)) for name in names}
