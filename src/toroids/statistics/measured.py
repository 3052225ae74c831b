"""What tasks measure that claims, summaries and maps are made of."""

from dataclasses import dataclass
from typing import Any, ClassVar

from toroids.statistics.row import (
    Flag,
    Measured,
    OfArchitecture,
    Part,
    Places,
    Real,
    Whole,
    alike,
)


@dataclass(frozen=True, kw_only=True)
class Result(OfArchitecture):
    """What a task leaves.

    Attributes:
        task: that left it, once it is a row.
        seconds: that it took.
    """

    task: str = ""
    seconds: Real


@dataclass(frozen=True, kw_only=True)
class Symmetry(Result):
    """The group of an architecture: its size, as a table, and as JSON."""

    kind: ClassVar[str] = "symmetry"
    binary: Flag
    deviation: Real
    log10_order: Real
    dimension: Whole
    parameters: Whole
    table: str
    group: str


@dataclass(frozen=True, kw_only=True)
class OfNetwork(Result):
    """What is of one network."""

    name: str
    solver: str
    seed: Whole


@dataclass(frozen=True, kw_only=True)
class Epoch(Part):
    """An epoch of a training."""

    phase: str
    epoch: Whole
    lr: Measured
    error: Measured
    loss: Measured
    coupling: Measured


@dataclass(frozen=True, kw_only=True)
class Training(OfNetwork):
    """How a network was trained.

    Attributes:
        random_seed: of all that was random in it.
        config: the solver's settings.
        note: why it diverged.
    """

    kind: ClassVar[str] = "train"
    random_seed: Whole | None = None
    config: dict[str, Any]
    ended: str
    epochs: Whole
    gradient_steps: Whole
    history: list[Epoch]
    note: str = ""

    def __post_init__(self) -> None:
        if self.diverged and not self.note:
            raise ValueError("a network that diverged has a note")

    @property
    def diverged(self) -> bool:
        """Whether there is no network to measure."""
        return self.ended == "diverged"


@dataclass(frozen=True, kw_only=True)
class Diverged(Training):
    """A network that diverged, as a row."""

    kind: ClassVar[str] = "diverged"


@dataclass(frozen=True, kw_only=True)
class Flatness(Part):
    """How the error grows with noise."""

    sigma: Places
    increase: list[Measured]
    stderr: list[Measured]
    samples: Whole

    def __post_init__(self) -> None:
        alike(self.sigma, self.increase, self.stderr)


@dataclass(frozen=True, kw_only=True)
class Measurement(OfNetwork):
    """Errors and flatness of a network, with notes on degenerate units."""

    kind: ClassVar[str] = "measure"
    train_error: Measured
    train_loss: Measured
    test_error: Measured
    test_error_stderr: Measured
    test_loss: Measured
    flatness: Flatness
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class Network(Training, Measurement):
    """A network: how it was trained, and what was measured of it.

    Attributes:
        seconds: of its training.
        measure_seconds: of its measurement.
    """

    kind: ClassVar[str] = "network"
    measure_seconds: Measured


@dataclass(frozen=True, kw_only=True)
class Curve(Part):
    """What was measured along a path.

    Attributes:
        orders: of binary networks, in how many orders weights were flipped.
    """

    t: Places
    error: list[Measured]
    error_stderr: list[Measured]
    loss: list[Measured]
    barrier: Measured
    orders: Whole | None = None

    def __post_init__(self) -> None:
        alike(self.t, self.error, self.error_stderr, self.loss)


@dataclass(frozen=True, kw_only=True)
class OfPair(Result):
    """What is of two networks, with what was measured along paths between them."""

    a: str
    b: str
    solver_a: str
    solver_b: str
    profiles: dict[str, Curve]

    def barrier(self, path: str) -> float | None:
        """The barrier on a path; None where it was not measured or is not finite."""
        return self.profiles[path].barrier if path in self.profiles else None


@dataclass(frozen=True, kw_only=True)
class Bend(OfPair):
    """The path between two networks over a trained bend."""

    kind: ClassVar[str] = "bend"


@dataclass(frozen=True, kw_only=True)
class Moments(Part):
    """A quantity before and after alignment."""

    before: Measured
    after: Measured


@dataclass(frozen=True, kw_only=True)
class Layer(Part):
    """The distance of two networks in one space, before and after alignment."""

    space: str
    before: Measured
    after: Measured


@dataclass(frozen=True, kw_only=True)
class Pair(OfPair):
    """How far apart two networks are: in angles, or of binary ones by the weights that differ."""

    kind: ClassVar[str] = "pair"
    method: str
    similarity: Moments
    distance: Moments | None = None
    mean_angle: Moments | None = None
    hamming: Moments | None = None
    layers: list[Layer]
    notes: list[str]

    def __post_init__(self) -> None:
        if None in (self.distance, self.mean_angle) and self.hamming is None:
            raise ValueError("a pair has a distance")

    @property
    def measures(self) -> dict[str, Moments]:
        """The distances that there are, by name."""
        found = {name: getattr(self, name) for name in ("distance", "mean_angle", "hamming")}
        return {name: moments for name, moments in found.items() if moments is not None}
