"""Measures the error on the plane through three networks, aligned to the first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from toroids.align.alignment import align
from toroids.design.task import Task
from toroids.evaluation.passes import Passes
from toroids.landscape.median import median_section
from toroids.landscape.section import section as plane_section
from toroids.params import Params
from toroids.statistics.measured import Result
from toroids.statistics.row import Measured, Places, Whole, alike, plain
from toroids.study.perform.architecture import Architecture
from toroids.study.perform.kind import Kind, Lines
from toroids.study.perform.setting import Setting
from toroids.study.shapes import Grid, Three, Two, grid


@dataclass(frozen=True, kw_only=True)
class Section(Result):
    """The error between three networks."""

    kind: ClassVar[str] = "section"
    networks: Annotated[list[str], Three]
    solvers: Annotated[list[str], Three]


@dataclass(frozen=True, kw_only=True)
class Plane(Section, Grid):
    """The error on the plane through three networks."""

    points: Annotated[list[Two], Three]
    errors: list[Measured] | None = None


@dataclass(frozen=True, kw_only=True)
class Faces(Section):
    """The error on the faces around the median of three binary networks."""

    faces: Annotated[list[Annotated[list[Whole], Field(min_length=2, max_length=2)]], Three]
    distances: Annotated[list[Places], Three]
    error: Annotated[list[list[list[Measured]]], Three]

    def __post_init__(self) -> None:
        for (i, j), values in zip(self.faces, self.error, strict=True):
            if not (0 <= i < 3 and 0 <= j < 3):
                raise ValueError("a face is between two of three networks")
            alike(self.distances[i], values)
            alike(self.distances[j], *values)


def section(setting: Setting, networks: Sequence[Params]) -> Section:
    """Measures the train error between three networks.

    Args:
        setting: data, architecture, group, method of alignment; resolution.
        networks: the one that stays, and two that are aligned to it.

    Returns:
        Of real weights the error on the plane through the three, every point moved onto the toroid;
        of binary ones the error on the three faces around their median.
    """
    first, *others = networks
    moved = [align(setting.group, b, to=first, method=setting["alignment"]) for b in others]
    three = [moved[0].reference, *(alignment.params for alignment in moved)]
    resolution = setting["resolution"]
    if setting.group.binary:
        faces = median_section(setting.landscape, three, resolution)
        return Faces(
            **setting.labels(),
            faces=plain(faces.faces),
            distances=plain(faces.distances),
            error=plain(faces.error),
        )
    found = plane_section(setting.landscape, three, resolution)
    return Plane(
        **setting.labels(), **grid(found), points=plain(found.points), errors=plain(found.errors)
    )


def _passes(setting: Setting) -> list[Passes]:
    faces = 3 if setting.binary else 1
    return [setting.along(faces * setting["resolution"] ** 2)]


def _lines(row: Plane | Faces) -> Lines:
    networks = dict(zip("abc", row.networks, strict=True))
    who = {"architecture": row.architecture, **networks}
    if isinstance(row, Faces):
        for face, ((i, j), errors) in enumerate(zip(row.faces, row.error, strict=True)):
            across, up = row.distances[i], row.distances[j]
            for x, column in zip(across, errors, strict=True):
                for y, error in zip(up, column, strict=True):
                    yield who | {"face": face, "x": x, "y": y, "error": error}
        return
    for y, *values in zip(row.y, row.error, row.error_stderr, row.loss, strict=True):
        for x, error, stderr, loss in zip(row.x, *values, strict=True):
            yield who | {"x": x, "y": y, "error": error, "error_stderr": stderr, "loss": loss}


def _plan(architecture: Architecture) -> Iterator[Task]:
    sections, alignment = architecture.config.sections, architecture.config.alignment.method
    text = architecture.text(resolution=sections.resolution, alignment=alignment)
    for three in architecture.drawn(3, sections.count, "sections"):
        yield architecture.on("section", three, text)


KIND = Kind(
    "section",
    "a section through three networks",
    Plane | Faces,
    lambda asked: asked.within(3, asked.config.sections.count),
    _plan,
    _passes,
    section,
    {"sections": _lines},
)
