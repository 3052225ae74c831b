"""What the files of a run hold, so that those who read them can rely on it.

A checksum tells that a file is as it was written, not by whom. A result that lacks something, or
has something of another type, counts as none: whoever runs the study computes it again, and whoever
reads it shows what else there is.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from toroids.statistics.claims.verdict import Claim
from toroids.statistics.map import Map
from toroids.statistics.measured import Result
from toroids.statistics.row import Plain, Row, read
from toroids.statistics.summary import Summary
from toroids.study.perform.kinds import KINDS

T = TypeVar("T", bound=BaseModel)
DERIVED: dict[str, type[Row]] = {each.kind: each for each in (Summary, Map, Claim)}


class Shape(BaseModel):
    """Fields that are there, and of their types; others may be there, too."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)


class Stamp(Shape):
    """Who wrote a file."""

    format: int
    versions: dict[str, str]


class Kept(Stamp):
    """What a task left."""

    task: str
    row: Plain
    inputs: list[str | None] | None = None  # runs that began before results held them have none
    weights: str | None = None
    seal: str | None = None


class Planned(Shape):
    """A task of a manifest."""

    kind: str
    label: str
    settings: int | str
    inputs: list[str]


@dataclass(frozen=True, kw_only=True)
class Failure(Row):
    """A task that failed, with what it failed by."""

    kind: ClassVar[str] = "failed"
    task: str
    task_kind: str
    label: str
    note: str


class Manifest(Stamp):
    """The study, its tasks, and how it was run."""

    study: str
    config: Plain
    tasks: list[Planned]
    settings: list[str] = []
    failures: list[Failure]
    machine: str
    engine: str
    workers: int
    seconds: float
    finished: bool

    @model_validator(mode="after")
    def _has_all_settings(self) -> Self:
        places = [task.settings for task in self.tasks if isinstance(task.settings, int)]
        if any(not 0 <= place < len(self.settings) for place in places):
            raise ValueError("the settings of a task are missing")
        return self


class Derived(Shape):
    """What follows from the results."""

    of: str
    rows: list[Plain]


def fitted(shape: type[T], found: Any) -> T | None:
    """Reads what a file holds; None where it has another shape."""
    try:
        return shape.model_validate(found)
    except ValidationError:
        return None


def result_of(kind: str, found: Any) -> Result | None:
    """Reads what a task left.

    Args:
        kind: of the task.
        found: plain data.

    Returns:
        The result; None unless every field is there, and of its type.
    """
    try:
        result: Result | None = read(KINDS[kind].result, found) if kind in KINDS else None
    except ValueError:
        return None
    return result


def derived_of(found: Any) -> list[Row] | None:
    """Reads what follows from the results.

    Args:
        found: rows as plain data.

    Returns:
        Summaries, maps and claims; None unless every one of them is whole.
    """
    try:
        return [read(DERIVED[row["kind"]], row) for row in found]
    except (LookupError, TypeError, ValueError):
        return None
