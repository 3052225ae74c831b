"""How the train error grows when the weights are disturbed."""

import plotly.graph_objects as go

from toroids.report.figures.drawing import Drawing
from toroids.report.figures.style import (
    bars,
    laid_out,
    record,
    shown,
    solver_style,
)
from toroids.report.study import Architecture
from toroids.report.text import WORDS, plural


def disturbance(architecture: Architecture) -> str:
    """Says in words at which disturbance flatness is quoted."""
    sigma = architecture.sigma
    return WORDS[architecture.manifold].quoted.format(sigma, 100 * sigma)


def disturbed(architecture: Architecture) -> str:
    """Says in words how the weights are disturbed."""
    return WORDS[architecture.manifold].disturbed


def flatness_curves(architecture: Architecture) -> Drawing | None:
    """Draws the increase of train error over the disturbance, by solver."""
    figure = go.Figure()
    records = []
    for solver in architecture.solvers:
        curve = architecture.all("increase", solver)
        if not curve:
            continue
        colour, symbol = solver_style(architecture, solver)
        figure.add_scatter(
            x=[row.sigma for row in curve],
            y=[row.estimate for row in curve],
            error_y=bars(curve),
            mode="lines+markers",
            marker={"symbol": symbol, "size": 9},
            line={"color": colour, "width": 2},
            name=f"{shown(solver)} ({plural(curve[0].count, 'network')})",
            hovertemplate="%{x}: %{y:.2%}",
        )
        records += [record(row) for row in curve]
    if not records:
        return None
    figure.update_xaxes(title=WORDS[architecture.manifold].disturbance)
    figure.update_yaxes(title="increase of train error", tickformat=".2~%", rangemode="tozero")
    samples = architecture.networks[0].flatness.samples
    return Drawing(
        f"flatness-{architecture.name}",
        "Flatness: the increase of the train error over the disturbance of the weights",
        f"{disturbed(architecture)}; the increase does not depend on how units are ordered, scaled "
        f"or flipped. Means over networks with 95 % intervals; {samples} draws per network and "
        "point.",
        laid_out(figure, showlegend=True),
        records,
        'kind "summary", statistic "increase"; single networks: kind "network", field flatness',
    )
