"""What the files of a run hold, so that those who read them can rely on it.

A checksum tells that a file is as it was written, not by whom. A result that lacks something, or
has something of another type, counts as none: whoever runs the study computes it again, and whoever
reads it shows what else there is.
"""

from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from toroids.statistics.measured import Result
from toroids.statistics.row import Measured, Plain, Row, alike, read
from toroids.study.perform.kinds import KINDS

T = TypeVar("T", bound=BaseModel)


class Shape(BaseModel):
    """Fields that are there, and of their types; others may be there, too."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)


class Summary(Shape):
    """A mean over networks or pairs."""

    statistic: str
    architecture: str
    group: str
    estimate: Measured
    low: Measured
    high: Measured
    count: int


class Map(Shape):
    """Networks as points of a plane."""

    architecture: str
    moment: str
    measure: str
    names: list[str]
    x: list[float]
    y: list[float]
    stress: float

    @model_validator(mode="after")
    def _are_as_many(self) -> Self:
        alike(self.names, self.x, self.y)
        return self


class Effect(Shape):
    """A number behind a claim."""

    name: str
    estimate: Measured
    low: Measured
    high: Measured
    unit: str
    networks: int
    pairs: int | None
    expected: str
    bound: Measured
    required: bool
    p: Measured
    method: str


class Claim(Shape):
    """What a study says about a claim."""

    claim: str
    architecture: str
    statement: str
    verdict: str
    reason: str
    effects: list[Effect]


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


class Failure(Shape):
    """A task that failed."""

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


DERIVED: dict[str, type[Shape]] = {"summary": Summary, "map": Map, "claim": Claim}


class Derived(Shape):
    """What follows from the results."""

    of: str
    rows: list[Row]

    @model_validator(mode="after")
    def _are_complete(self) -> Self:
        if not all(is_complete(str(row.get("kind")), row) for row in self.rows):
            raise ValueError("a row lacks something")
        return self


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


def is_complete(kind: str, row: Row) -> bool:
    """Tells whether a row has what those of its kind have.

    Args:
        kind: of the task that left it, or of what follows from such.
        row: plain data.

    Returns:
        Whether every field is there, and of its type; others may be there, too.
    """
    if kind in DERIVED:
        return fitted(DERIVED[kind], row) is not None
    return result_of(kind, row) is not None
