"""What the files of a run hold, so that those who read them can rely on it.

A checksum tells that a file is as it was written, not by whom. A result that lacks something, or
has something of another type, counts as none: whoever runs the study computes it again, and whoever
reads it shows what else there is.
"""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from toroids.statistics.row import Row

Measured = float | None  # where something is not finite a row holds None
Three = Field(min_length=3, max_length=3)
Names = Annotated[list[str], Three]
Two = Annotated[list[float], Field(min_length=2, max_length=2)]


class _Shape(BaseModel):
    """Fields that are there, and of their types; others may be there, too."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Curve(_Shape):
    """What was measured along a path."""

    t: list[float] = Field(min_length=1)
    error: list[Measured]
    error_stderr: list[Measured]
    loss: list[Measured]
    barrier: Measured

    @model_validator(mode="after")
    def _are_as_long(self) -> Self:
        _alike(self.t, self.error, self.error_stderr, self.loss)
        return self


class Flatness(_Shape):
    """How the error grows with noise."""

    sigma: list[float] = Field(min_length=1)
    increase: list[Measured]
    stderr: list[Measured]
    samples: int

    @model_validator(mode="after")
    def _are_as_long(self) -> Self:
        _alike(self.sigma, self.increase, self.stderr)
        return self


class Moments(_Shape):
    """A quantity before and after alignment."""

    before: Measured
    after: Measured


class Layer(Moments):
    """The distance of two networks in one space."""

    space: str


class Epoch(_Shape):
    """An epoch of a training."""

    phase: str
    epoch: int
    lr: Measured
    error: Measured
    loss: Measured
    coupling: Measured


class _Any(_Shape):
    architecture: str
    seconds: float


class Symmetry(_Any):
    """The group of an architecture."""

    binary: bool
    group: str
    table: str
    deviation: float
    log10_order: float
    dimension: int
    parameters: int


class _Network(_Any):
    name: str
    solver: str
    seed: int


class Training(_Network):
    """How a network was trained."""

    config: dict[str, Any]
    ended: str
    epochs: int
    gradient_steps: int
    history: list[Epoch]
    note: str = ""

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.ended == "diverged" and not self.note:
            raise ValueError("a network that diverged has a note")
        return self


class Measurement(_Network):
    """Errors and flatness of a network."""

    train_error: Measured
    train_loss: Measured
    test_error: Measured
    test_error_stderr: Measured
    test_loss: Measured
    flatness: Flatness
    notes: list[str]


class _Pair(_Any):
    a: str
    b: str
    solver_a: str
    solver_b: str
    profiles: dict[str, Curve]


class Pair(_Pair):
    """How far apart two networks are."""

    method: str
    similarity: Moments
    layers: list[Layer]
    notes: list[str]


class RealPair(Pair):
    """Distances on the toroid."""

    distance: Moments
    mean_angle: Moments


class BinaryPair(Pair):
    """Distances on the hypercube."""

    hamming: Moments


class _Section(_Any):
    networks: Names
    solvers: Names


class _Grid(_Shape):
    """What was measured at the points of a grid on a plane."""

    x: list[float] = Field(min_length=1)
    y: list[float] = Field(min_length=1)
    error: list[list[Measured]]
    error_stderr: list[list[Measured]]
    loss: list[list[Measured]]

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        for values in (self.error, self.error_stderr, self.loss):
            _alike(self.y, values)
            _alike(self.x, *values)
        return self


class Plane(_Section, _Grid):
    """The error on the plane through three networks."""

    points: Annotated[list[Two], Three]


class Trajectory(_Network, _Grid):
    """The error on the plane along one training."""

    points: list[Two] = Field(min_length=3)
    errors: list[Measured]
    away: list[Measured]
    explained: Two
    epochs: list[int]

    @model_validator(mode="after")
    def _are_as_long(self) -> Self:
        _alike(self.points, self.errors, self.away, self.epochs)
        return self


class Faces(_Section):
    """The error on the faces around the median of three binary networks."""

    faces: Annotated[list[Annotated[list[int], Field(min_length=2, max_length=2)]], Three]
    distances: Annotated[list[Annotated[list[float], Field(min_length=1)]], Three]
    error: Annotated[list[list[list[Measured]]], Three]

    @model_validator(mode="after")
    def _are_grids(self) -> Self:
        for (i, j), values in zip(self.faces, self.error, strict=True):
            if not (0 <= i < 3 and 0 <= j < 3):
                raise ValueError("a face is between two of three networks")
            _alike(self.distances[i], values)
            _alike(self.distances[j], *values)
        return self


class Summary(_Shape):
    """A mean over networks or pairs."""

    statistic: str
    architecture: str
    group: str
    estimate: Measured
    low: Measured
    high: Measured
    count: int


class Map(_Shape):
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
        _alike(self.names, self.x, self.y)
        return self


class Effect(_Shape):
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


class Claim(_Shape):
    """What a study says about a claim."""

    claim: str
    architecture: str
    statement: str
    verdict: str
    reason: str
    effects: list[Effect]


class Stamp(_Shape):
    """Who wrote a file."""

    format: int
    versions: dict[str, str]


class Result(Stamp):
    """What a task left."""

    task: str
    row: dict[str, Any]
    inputs: list[str | None] = []
    weights: str = ""
    seal: str | None = None


class Planned(_Shape):
    """A task of a manifest."""

    kind: str
    label: str
    settings: int | str
    inputs: list[str]


class Failure(_Shape):
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
    "symmetry": Symmetry,
    "train": Training,
    "measure": Measurement,
    "pair": RealPair | BinaryPair,
    "bend": _Pair,
    "section": Plane | Faces,
    "trajectory": Trajectory,
    "summary": Summary,
    "map": Map,
    "claim": Claim,
}
ADAPTERS = {kind: TypeAdapter(shape) for kind, shape in ROWS.items()}


class Derived(_Shape):
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


def fits(shape: TypeAdapter[Any] | type[BaseModel], found: Any) -> bool:
    """Tells whether plain data have a shape."""
    try:
        if isinstance(shape, TypeAdapter):
            shape.validate_python(found)
        else:
            shape.model_validate(found)
    except ValidationError:
        return False
    return True


def _alike(*values: list[Any]) -> None:
    if len({len(each) for each in values}) > 1:
        raise ValueError("they are not as long as each other")
