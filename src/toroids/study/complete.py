"""What the files of a run hold, so that those who read them can rely on it.

A checksum tells that a file is as it was written, not by whom. A result that lacks something, or
has something of another type, counts as none: whoever runs the study computes it again, and whoever
reads it shows what else there is.
"""

from typing import Any, Self

from pydantic import TypeAdapter, model_validator

from toroids.statistics.row import Row
from toroids.study.perform.kinds import KINDS
from toroids.study.shapes import Measured, Shape, alike, fits


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
    row: dict[str, Any]
    inputs: list[str | None] = []
    weights: str = ""
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
    config: dict[str, Any]
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


ROWS: dict[str, Any] = {
    **{kind.name: kind.result for kind in KINDS.values()},
    "summary": Summary,
    "map": Map,
    "claim": Claim,
}
ADAPTERS = {kind: TypeAdapter(shape) for kind, shape in ROWS.items()}


class Derived(Shape):
    """What follows from the results."""

    of: str
    rows: list[dict[str, Any]]

    @model_validator(mode="after")
    def _are_complete(self) -> Self:
        if not all(is_complete(str(row.get("kind")), row) for row in self.rows):
            raise ValueError("a row lacks something")
        return self


def is_complete(kind: str, row: Row) -> bool:
    """Tells whether a row has what those of its kind have.

    Args:
        kind: of the task that left it, or of what follows from such.
        row: plain data.

    Returns:
        Whether every field is there, and of its type; others may be there, too.
    """
    return kind in ADAPTERS and fits(ADAPTERS[kind], row)
