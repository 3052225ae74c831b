"""Measures the error on the plane of the principal axes of one training's epochs.

The training is done again for it, by the same seeds, so that no run has to keep its epochs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from toroids.canonical.form import canonicalize
from toroids.design.config.solvers import solver_of
from toroids.design.task import Task
from toroids.evaluation.passes import Passes
from toroids.landscape.section import section
from toroids.params import Params
from toroids.solvers.session import watched
from toroids.statistics.measured import OfNetwork
from toroids.statistics.row import Measured, Whole, alike, plain
from toroids.study.perform.architecture import Architecture, Asked, Network
from toroids.study.perform.kind import Kind, Lines, of_network
from toroids.study.perform.setting import Setting
from toroids.study.perform.train import solved
from toroids.study.shapes import Grid, Two, grid


@dataclass(frozen=True, kw_only=True)
class Trajectory(OfNetwork, Grid):
    """The error on the plane along one training."""

    kind: ClassVar[str] = "trajectory"
    points: Annotated[list[Two], Field(min_length=3)]
    errors: list[Measured]
    away: list[Measured]
    explained: Two
    epochs: list[Whole]

    def __post_init__(self) -> None:
        super().__post_init__()
        alike(self.points, self.errors, self.away, self.epochs)


def trajectory(setting: Setting, networks: Sequence[Params]) -> Trajectory:
    """Measures the train error along one training.

    Args:
        setting: data, architecture, group, solver and seeds; resolution, number of checkpoints.
        networks: the one that was trained, the last of the checkpoints.

    Returns:
        The error on the plane, every point moved onto the toroid, and where the epochs are on it.

    Raises:
        ToroidsError: the training had one epoch, or went along one line.
    """
    epochs, found = _epochs(setting)
    kept = _spread(len(epochs), setting["checkpoints"])
    given: list[Params] = [found[place] for place in kept]
    given[-1] = networks[0]
    standard = [canonicalize(setting.group, network) for network in given]
    plane = section(setting.landscape, standard, setting["resolution"], axes="principal")
    return Trajectory(
        **setting.labels(),
        **grid(plane),
        points=plain(plane.points),
        errors=plain(plane.errors),
        away=plain(plane.away),
        explained=plain(plane.explained),
        epochs=[epochs[place] for place in kept],
    )


def _epochs(setting: Setting) -> tuple[list[int], list[dict[str, Tensor]]]:
    """The networks before the first epoch and after every one, and their numbers."""
    epochs: list[int] = []
    found: list[dict[str, Tensor]] = []

    def keep(phase: str, epoch: int, params: Mapping[str, Tensor]) -> None:
        if phase == "train":
            epochs.append(epoch)
            found.append({name: tensor.clone() for name, tensor in params.items()})

    with watched(keep):
        solved(setting, None)
    return epochs, found


def _spread(count: int, most: int) -> list[int]:
    """At most so many places among `count`, the first and the last among them, evenly spread."""
    if count <= most:
        return list(range(count))
    return [round(number * (count - 1) / (most - 1)) for number in range(most)]


def _passes(setting: Setting) -> list[Passes]:
    points = setting["resolution"] ** 2 + setting["checkpoints"]
    return [solver_of(setting["solver"]).passes(setting.examples), setting.along(points)]


def _lines(row: Trajectory) -> Lines:
    measured = (getattr(row, key) for key in ("epochs", "points", "away", "errors"))
    for epoch, (x, y), away, error in zip(*measured, strict=True):
        yield of_network(row) | {"epoch": epoch, "x": x, "y": y, "away": away, "error": error}


def _count(asked: Asked) -> int:
    most = min(asked.config.sections.trajectories, len(asked.config.seeds))
    return len(asked.trained_here) * most


def _plan(architecture: Architecture) -> Iterator[Task]:
    sections = architecture.config.sections
    for solver in architecture.trained_here:
        for seed in architecture.config.seeds[: sections.trajectories]:
            network = Network(architecture.name, solver, seed)
            text = architecture.text(
                **architecture.training(network),
                resolution=sections.resolution,
                checkpoints=sections.checkpoints,
            )
            yield architecture.on("trajectory", (network,), text)


KIND = Kind(
    "trajectory",
    "a section along a training, which is done again",
    Trajectory,
    _count,
    _plan,
    _passes,
    trajectory,
    {"trajectories": _lines},
)
