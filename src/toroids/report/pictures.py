"""Pictures of single measurements: profiles, a flatness curve, sections, a merge."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from torch import Tensor

from toroids.evaluation.summary import Evaluation
from toroids.files.writing import write_atomically
from toroids.landscape.flatness import LocalEnergy
from toroids.landscape.median import MedianSection
from toroids.landscape.orders import FlipProfile
from toroids.landscape.profile import Profile
from toroids.landscape.section import Section
from toroids.report.document import (
    TOGGLE,
    buttons,
    chart_html,
    chart_json,
    document,
    file_name,
    held,
)
from toroids.report.figures.style import COLOURS, SYMBOLS, colour_bar, laid_out, panels
from toroids.report.text import BENDS, PATHS

NAMES = {**PATHS, **BENDS}
MARK = {"color": "white", "size": 11, "line": {"color": "black", "width": 1.5}}
WHITE = {  # networks on a plane
    "textposition": "top center",
    "textfont": {"color": "white", "shadow": "0 0 3px black"},
    "marker": MARK,
    "showlegend": False,
}


def profile_picture(
    profiles: Mapping[str, Profile | FlipProfile], name: str = "error", measure: str = "error"
) -> go.Figure:
    """Draws error or loss along paths; bands are one standard error, over orders one deviation.

    Args:
        profiles: by what they are called.
        name: of the vertical axis.
        measure: "error" or "loss".

    Returns:
        The picture.
    """
    figure = go.Figure()
    for number, (called, curve) in enumerate(profiles.items()):
        colour = COLOURS[number % len(COLOURS)]
        height, width = getattr(curve, measure), getattr(curve, f"{measure}_stderr")
        if isinstance(curve, FlipProfile) and len(curve.curves) > 1:
            width = curve.error_spread
        low, high = height - width, height + width
        _band(figure, curve.t, low.clamp(min=0), high, colour)
        figure.add_scatter(
            x=curve.t.tolist(),
            y=height.tolist(),
            mode="lines+markers",
            name=escape(NAMES.get(called, called)),
            line={"color": colour},
            marker={"size": 5},
        )
    figure.update_xaxes(title="position t on the path", range=[0, 1])
    figure.update_yaxes(title=name, rangemode="tozero")
    return laid_out(figure)


def energy_picture(energies: Mapping[str, LocalEnergy], error: str = "error") -> go.Figure:
    """Draws the increase of the error over the noise, with one standard error."""
    figure = go.Figure()
    for number, (name, energy) in enumerate(energies.items()):
        figure.add_scatter(
            x=energy.sigma.tolist(),
            y=energy.increase.tolist(),
            error_y={"array": energy.stderr.tolist()},
            mode="lines+markers",
            name=escape(name),
            line={"color": COLOURS[number % len(COLOURS)]},
            marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8},
        )
    flips = {energy.kind for energy in energies.values()} == {"flips"}
    title = "fraction of flipped weights p" if flips else "relative size of the noise σ"
    figure.update_xaxes(title=title, rangemode="tozero")
    figure.update_yaxes(title=f"increase of the {error}", rangemode="tozero")
    return laid_out(figure, showlegend=True)


def section_picture(section: Section, names: Sequence[str], error: str = "error") -> go.Figure:
    """Draws the error on a plane in true distances, and the three networks on it."""
    figure = _plane(section, error)
    figure.add_scatter(
        x=section.points[:, 0].tolist(),
        y=section.points[:, 1].tolist(),
        mode="markers+text",
        text=[escape(name) for name in names],
        **WHITE,
    )
    figure.update_xaxes(title="distance along the first two networks", constrain="domain")
    figure.update_yaxes(title="distance from their line", scaleanchor="x", constrain="domain")
    return laid_out(figure, 520, square=True, coloraxis=colour_bar(escape(error)))


def trajectory_picture(section: Section, names: Sequence[str], error: str = "error") -> go.Figure:
    """Draws the error on the plane of a training's principal axes, and the way it went.

    Args:
        section: along principal axes.
        names: of the checkpoints, in order; the first and the last are written beside them.
        error: what the values are called.

    Returns:
        The plane; the larger a checkpoint's mark, the farther it is from the plane.
    """
    figure = _plane(section, error)
    away, own = section.away.tolist(), section.errors.tolist()
    farthest = max(*away, 1e-300)
    shown = [escape(name) for name in names]
    figure.add_scatter(
        x=section.points[:, 0].tolist(),
        y=section.points[:, 1].tolist(),
        mode="lines+markers+text",
        line={"color": "white", "width": 1.5},
        text=[shown[0], *[""] * (len(shown) - 2), shown[-1]],
        hovertext=[
            f"{name}<br>{escape(error)} {e:.4g}<br>{distance:.3g} from the plane"
            for name, e, distance in zip(shown, own, away, strict=True)
        ],
        hoverinfo="text",
        **{**WHITE, "marker": {**MARK, "size": [6 + 10 * d / farthest for d in away]}},
    )
    shares = section.explained.tolist()
    for update, share, which in (
        (figure.update_xaxes, shares[0], "first"),
        (figure.update_yaxes, shares[1], "second"),
    ):
        update(title=f"distance along the {which} principal axis ({share:.0%})", constrain="domain")
    figure.update_yaxes(scaleanchor="x")
    return laid_out(figure, 520, square=True, coloraxis=colour_bar(escape(error)))


def _plane(section: Section, error: str) -> go.Figure:
    figure = go.Figure()
    figure.add_contour(
        x=section.x.tolist(),
        y=section.y.tolist(),
        z=section.error.tolist(),
        coloraxis="coloraxis",
        ncontours=20,
        line={"width": 0.5},
        hovertemplate=f"x %{{x:.3g}}<br>y %{{y:.3g}}<br>{escape(error)} %{{z:.4g}}<extra></extra>",
    )
    return figure


def median_picture(section: MedianSection, names: Sequence[str], error: str = "error") -> go.Figure:
    """Draws the error on the faces around the median of three networks, in Hamming distances.

    Args:
        section: the three faces.
        names: of the three networks.
        error: what the values are called.

    Returns:
        Three heatmaps with a common scale of colours; the median is the lower left corner of each.
    """
    shown = [escape(name) for name in names]
    titles = [f"{names[i]} and {names[j]}" for i, j in section.faces]
    figure = panels(titles, shared=False)
    for column, ((i, j), values) in enumerate(
        zip(section.faces, section.error, strict=True), start=1
    ):
        across, up = section.distances[i].tolist(), section.distances[j].tolist()
        place = {"row": 1, "col": column}
        figure.add_heatmap(
            x=across,
            y=up,
            z=values.T.tolist(),  # rows of a heatmap go up, the first leg goes across
            coloraxis="coloraxis",
            hovertemplate=f"{shown[i]} %{{x:.3g}}<br>{shown[j]} %{{y:.3g}}<br>"
            f"{escape(error)} %{{z:.4g}}<extra></extra>",
            **place,
        )
        figure.add_scatter(
            x=[0, across[-1], 0],
            y=[0, 0, up[-1]],
            mode="markers+text",
            text=["median", shown[i], shown[j]],
            textposition=["top right", "top left", "bottom right"],
            textfont={"color": "white"},
            marker={"color": "white", "size": 9, "line": {"color": "black", "width": 1.5}},
            cliponaxis=False,
            showlegend=False,
            hoverinfo="skip",
            **place,
        )
        figure.update_xaxes(title=f"distance from the median to {shown[i]}", **place)
        figure.update_yaxes(title=f"to {shown[j]}", scaleanchor=f"x{column}", **place)
    figure.update_xaxes(constrain="domain")
    figure.update_yaxes(constrain="domain")
    return laid_out(figure, 300, 220, square=True, coloraxis=colour_bar(escape(error)))


def errors_picture(errors: Mapping[str, Evaluation], error: str = "error") -> go.Figure:
    """Draws errors side by side, with one standard error."""
    figure = go.Figure()
    figure.add_bar(
        x=[escape(name) for name in errors],
        y=[found.error for found in errors.values()],
        error_y={"array": [found.error_stderr for found in errors.values()]},
        marker={"color": COLOURS[0]},
    )
    figure.update_yaxes(title=error, rangemode="tozero")
    return laid_out(figure)


def write_picture(figure: go.Figure, title: str, lines: Sequence[str], path: str | Path) -> None:
    """Writes a figure as one HTML page that works offline.

    Args:
        figure: what is drawn.
        title: the page's heading.
        lines: what stands below the figure, a paragraph each.
        path: the file to write.
    """
    write_atomically(path, picture_page(figure, title, lines).encode())


def picture_page(figure: go.Figure, title: str, lines: Sequence[str]) -> str:
    """Makes of a figure one HTML page that works offline, as `write_picture` writes it."""
    content = {"name": file_name(title), "figure": chart_json(figure)}
    written = "".join(f"<p>{escape(line)}</p>" for line in lines)
    body = (
        f'<header>{TOGGLE}<h1 id="title">{escape(title)}</h1></header>'
        f"<main><figure data-holder>{chart_html('title')}{buttons('svg', of='the figure')}"
        f"{held(content)}</figure>{written}</main>"
    )
    return document(title, body)


def _band(figure: Any, x: Tensor, low: Tensor, high: Tensor, colour: str) -> None:
    figure.add_scatter(
        x=[*x.tolist(), *x.flip(0).tolist()],
        y=[*high.tolist(), *low.flip(0).tolist()],
        fill="toself",
        mode="none",
        fillcolor=colour,
        opacity=0.2,
        hoverinfo="skip",
        showlegend=False,
    )
