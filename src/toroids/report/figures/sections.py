"""The train error between three networks, as colour."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from toroids.report.figures.drawing import Drawing
from toroids.report.figures.style import colour_bar, laid_out, panels, shown
from toroids.report.study import Architecture
from toroids.report.text import label, short
from toroids.statistics.row import Plain
from toroids.study.perform.section import Faces, Plane, Section
from toroids.study.shapes import Grid

LEVELS = 20  # lines of equal error at most
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
WHITE = {"color": "white", "size": 10, "line": {"color": "black", "width": 1.5}}


def sections(architecture: Architecture) -> Drawing | None:
    """Draws all sections of an architecture with the same colours."""
    if planes := architecture.of(Plane):
        return _planes(architecture, planes)
    faces = architecture.of(Faces)
    return _faces(architecture, faces) if faces else None


def _planes(architecture: Architecture, rows: Sequence[Plane]) -> Drawing:
    figure = panels([_title(row) for row in rows], shared=False)
    records: list[Plain] = []
    for column, row in enumerate(rows, start=1):
        plane(figure, row, levels(rows), column)
        names = [_letter(architecture, name) for name in row.networks]
        _corners(figure, row.points, names, column)
        records += points_of(row, networks=" ".join(row.networks))
    figure.update_xaxes(title="distance along the first two (radians)", constrain="domain")
    figure.update_yaxes(title="distance from their line (radians)", constrain="domain")
    return Drawing(
        f"sections-{architecture.name}",
        "Sections: the train error on the plane through three networks",
        "Distances are those on the toroid; the three networks (white) are aligned to the first "
        "and stand at their true distances; the plane between them is moved onto the toroid point "
        f"by point. {_many(rows)}. The error at a point is counted on all training examples; the "
        "saved numbers hold its standard error.",
        laid_out(figure, 360, 230, square=True, coloraxis=colours(rows)),
        records,
        'kind "section"',
    )


def plane(figure: go.Figure, row: Grid, steps: tuple[float, float], column: int) -> None:
    """Draws the error on a plane in one panel, with lines as far apart as in the others."""
    step, top = steps
    figure.add_contour(
        x=row.x,
        y=row.y,
        z=row.error,
        coloraxis="coloraxis",
        contours={"start": 0, "end": top, "size": step},
        line={"width": 0.5},
        hovertemplate="(%{x:.2f}, %{y:.2f}): %{z:.2%}<extra></extra>",
        row=1,
        col=column,
    )
    suffix = "" if column == 1 else str(column)
    figure.update_yaxes(scaleanchor=f"x{suffix}", row=1, col=column)


def levels(rows: Sequence[Grid | Faces]) -> tuple[float, float]:
    """The step between lines of equal error on all sections, a round number, and the highest."""
    values = [v for row in rows for v in _flat(row.error) if v is not None]
    most = max(values, default=0.0)
    step = next((step for step in STEPS if most <= LEVELS * step), STEPS[-1])
    return step, step * max(math.ceil(most / step), 1)


def _flat(values: Any) -> Iterator[float | None]:
    if isinstance(values, list):
        for value in values:
            yield from _flat(value)
    else:
        yield values


def colours(rows: Sequence[Grid | Faces]) -> dict[str, Any]:
    """The scale of colours of all sections of an architecture."""
    scale = colour_bar("train error")
    scale["colorbar"]["tickformat"] = ".2~%"
    return {**scale, "cmin": 0, "cmax": levels(rows)[1]}


def points_of(row: Grid, **who: str) -> list[Plain]:
    """The numbers of a plane, point by point."""
    return [
        {
            **who,
            "x": x,
            "y": y,
            "error": row.error[up][across],
            "error_stderr": row.error_stderr[up][across],
        }
        for up, y in enumerate(row.y)
        for across, x in enumerate(row.x)
    ]


def _faces(architecture: Architecture, rows: Sequence[Faces]) -> Drawing:
    places = [(row, face) for row in rows for face in range(len(row.faces))]
    titles = [_face_title(architecture, row, face) for row, face in places]
    figure = panels(titles, shared=False)
    records: list[Plain] = []
    for column, (row, face) in enumerate(places, start=1):
        i, j = row.faces[face]
        across, up = row.distances[i], row.distances[j]
        values = row.error[face]
        suffix = "" if column == 1 else str(column)
        figure.add_heatmap(
            x=across,
            y=up,
            z=[list(line) for line in zip(*values, strict=True)],  # the first leg goes across
            coloraxis="coloraxis",
            hovertemplate="(%{x:.3f}, %{y:.3f}): %{z:.2%}<extra></extra>",
            row=1,
            col=column,
        )
        names = ["median", *(_letter(architecture, row.networks[k]) for k in (i, j))]
        _corners(figure, [[0, 0], [across[-1], 0], [0, up[-1]]], names, column)
        figure.update_yaxes(scaleanchor=f"x{suffix}", row=1, col=column)
        records += [
            {
                "networks": " ".join(row.networks),
                "towards_across": row.networks[i],
                "towards_up": row.networks[j],
                "across": x,
                "up": y,
                "error": values[a][b],
            }
            for a, x in enumerate(across)
            for b, y in enumerate(up)
        ]
    figure.update_xaxes(title="fraction flipped towards the one", constrain="domain")
    figure.update_yaxes(title="towards the other", constrain="domain")
    return Drawing(
        f"sections-{architecture.name}",
        "Sections: the train error on the three faces around the median of three networks",
        "Three aligned binary networks have a median, which takes every weight from the majority. "
        "From it (lower left corner) the weights that differ are flipped towards one network "
        "across and towards another upwards; axes are fractions of all weights. "
        f"{_many(rows)}, three faces each. The error is counted on all training examples, without "
        "error.",
        laid_out(figure, 300, 220, square=True, coloraxis=colours(rows)),
        records,
        'kind "section"',
    )


def _many(rows: Sequence[Section]) -> str:
    return f"{len(rows)} section{'s' if len(rows) != 1 else ''} of three networks each"


def _title(row: Section) -> str:
    return " and ".join(dict.fromkeys(label(solver) for solver in row.solvers))


def _face_title(architecture: Architecture, row: Faces, face: int) -> str:
    i, j = row.faces[face]
    names = [short(row.networks[k], architecture.name) for k in (i, j)]
    if row.solvers[i] != row.solvers[j]:
        return " and ".join(names)
    seeds = [name.rpartition("-")[2] for name in names]
    return f"{label(row.solvers[i])}, seeds {' and '.join(seeds)}"


def _letter(architecture: Architecture, name: str) -> str:
    """The end of a network's name, its seed: the panel's title says the solver."""
    return shown(
        f"seed {name.rpartition('-')[2]}" if "-" in name else short(name, architecture.name)
    )


def _corners(
    figure: go.Figure, points: Sequence[Sequence[float]], names: Sequence[str], column: int
) -> None:
    figure.add_scatter(
        x=[point[0] for point in points],
        y=[point[1] for point in points],
        mode="markers+text",
        text=list(names),
        textposition=["top right", "top left", "top center"],
        textfont={"color": "white", "size": 12, "shadow": "0 0 3px black"},
        marker=WHITE,
        cliponaxis=False,
        showlegend=False,
        hoverinfo="skip",
        row=1,
        col=column,
    )
