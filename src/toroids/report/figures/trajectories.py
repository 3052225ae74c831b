"""The train error along trainings, as colour, and the way that each of them went."""

import plotly.graph_objects as go

from toroids.report.figures.drawing import Drawing
from toroids.report.figures.sections import WHITE, colours, levels, plane, points_of
from toroids.report.figures.style import laid_out, panels
from toroids.report.study import Architecture
from toroids.report.text import label
from toroids.statistics.row import Plain
from toroids.study.perform.trajectory import Trajectory

SMALLEST, LARGEST = 5, 16  # marks of epochs, in pixels


def trajectories(architecture: Architecture) -> Drawing | None:
    """Draws the sections along trainings of an architecture with the same colours."""
    rows = architecture.of(Trajectory)
    if not rows:
        return None
    figure = panels([_title(row) for row in rows], shared=False)
    records: list[Plain] = []
    for column, row in enumerate(rows, start=1):
        plane(figure, row, levels(rows), column)
        _way(figure, row, column)
        records += points_of(row, network=row.name)
    figure.update_xaxes(title="distance along the first principal axis (radians)")
    figure.update_yaxes(title="along the second (radians)")
    figure.update_xaxes(constrain="domain")
    figure.update_yaxes(constrain="domain")
    return Drawing(
        f"trajectories-{architecture.name}",
        "Trajectories: the train error on the plane of a training's principal axes",
        "The plane goes through the network at the end of the training, at the origin, along the "
        "two principal axes of the differences of its epochs from it. Each epoch (white) stands "
        "at its foot on the plane, and is the larger the farther it is from the plane; its own "
        "error and distance are shown when pointed at. Networks are canonical, not aligned. "
        "Titles say which share of the squared distances lies in the plane. The error at a point "
        "is counted on all training examples; the saved numbers hold its standard error.",
        laid_out(figure, 360, 230, square=True, coloraxis=colours(rows)),
        records,
        'kind "trajectory"',
    )


def _title(row: Trajectory) -> str:
    share = sum(row.explained)
    return f"{label(row.solver)}, seed {row.seed} ({share:.0%})"


def _way(figure: go.Figure, row: Trajectory, column: int) -> None:
    """The epochs in their order."""
    away = [distance or 0.0 for distance in row.away]
    farthest = max(*away, 1e-300)
    epochs = row.epochs
    figure.add_scatter(
        x=[x for x, _ in row.points],
        y=[y for _, y in row.points],
        mode="lines+markers+text",
        line={"color": "white", "width": 1.5},
        marker={**WHITE, "size": [SMALLEST + (LARGEST - SMALLEST) * d / farthest for d in away]},
        text=[f"epoch {epochs[0]}", *[""] * (len(epochs) - 2), f"{epochs[-1]}"],
        textposition="top center",
        textfont={"color": "white", "size": 12, "shadow": "0 0 3px black"},
        hovertext=[
            f"epoch {epoch}: {_percent(error)}, {distance:.2f} from the plane"
            for epoch, error, distance in zip(epochs, row.errors, away, strict=True)
        ],
        hoverinfo="text",
        cliponaxis=False,
        showlegend=False,
        row=1,
        col=column,
    )


def _percent(error: float | None) -> str:
    return "not finite" if error is None else f"{error:.2%}"
