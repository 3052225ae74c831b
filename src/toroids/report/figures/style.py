"""The look that all figures share: colours, symbols, panels, error bars.

Colours and symbols say the same thing twice, so that no reader needs to tell colours apart. Colours
of text, grid and background are set in the browser, by the page's scheme (report/page.js).
"""

from collections.abc import Sequence
from html import escape
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from toroids.report.study import Architecture
from toroids.report.text import Estimate, label
from toroids.statistics.row import Plain
from toroids.statistics.summary import Summary

# Okabe and Ito's palette, made to be told apart by colour-blind readers too. Seven symbols against
# six colours: their combinations repeat only after 42 solvers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star")
GREY = "#808080"  # stands out from white and from black alike
SCALE = "Viridis"
LINE = 22  # letters beside an axis; more would leave a phone no room for the chart
TITLE = 40  # letters above a panel
PATH_STYLES = {
    "raw": (GREY, "dot", "circle-open"),
    "normalised": ("#E69F00", "dashdot", "square-open"),
    "aligned": ("#56B4E9", "dash", "triangle-up"),
    "balanced": ("#D55E00", "longdashdot", "cross"),
    "both": ("#CC79A7", "longdash", "diamond"),
    "geodesic": ("#0072B2", "solid", "circle"),
    "permutations": ("#E69F00", "dashdot", "square-open"),
    "scales": ("#56B4E9", "dash", "triangle-up"),
    "heads": ("#CC79A7", "longdash", "diamond"),
    "learned": ("#009E73", "solid", "square"),
    "flips_raw": (GREY, "dot", "circle-open"),
    "flips": ("#56B4E9", "dash", "triangle-up"),
    "flips_greedy": ("#0072B2", "solid", "circle"),
    "bend": ("#009E73", "dash", "square"),
    "bend_greedy": ("#D55E00", "solid", "diamond"),
}
FONT = {"family": "system-ui, -apple-system, Segoe UI, sans-serif", "size": 14}


def laid_out(
    figure: go.Figure,
    height: int = 360,
    width: int = 280,
    square: bool = False,
    shared: bool = False,
    **layout: Any,
) -> go.Figure:
    """Gives a figure the layout that all share.

    The page puts as many panels side by side as there is room for, so that a phone shows them one
    below the other; what it needs to know for that travels in the layout's `meta`.

    Args:
        figure: one panel or several.
        height: of one panel's plotting area, in pixels.
        width: below which a panel's plotting area should not shrink, in pixels.
        square: whether a panel is as high as it is wide, `height` at most.
        shared: whether all panels have the same vertical axis.
        layout: more for plotly.

    Returns:
        The same figure.
    """
    panels = sum(key.startswith("xaxis") for key in figure.layout.to_plotly_json()) or 1
    figure.update_layout(
        template="plotly_white",
        height=height + 150,
        font=FONT,
        margin={"l": 70, "r": 20, "t": 60, "b": 60},
        legend={
            "orientation": "h",
            "yref": "container",
            "y": 1,
            "yanchor": "top",
            "xref": "container",
            "x": 0,
            "xanchor": "left",
            "itemwidth": 40,
        },
        hovermode="closest",
        meta={
            "panels": panels,
            "height": height,
            "width": width,
            "square": square,
            "shared": shared,
        },
        **layout,
    )
    figure.update_xaxes(automargin=True, title_standoff=10, title_font_size=FONT["size"])
    figure.update_yaxes(automargin=True, title_standoff=10, title_font_size=FONT["size"])
    return figure


def panels(titles: Sequence[str], shared: bool = True) -> go.Figure:
    """Makes a figure with one panel per title, side by side."""
    count = max(len(titles), 1)
    figure = make_subplots(
        cols=count, shared_yaxes=shared, horizontal_spacing=min(0.08, 0.5 / count)
    )
    for number, title in enumerate(titles, start=1):
        suffix = "" if number == 1 else str(number)
        # in the panel's own coordinates, so that it moves with the panel
        figure.add_annotation(
            text=escape(title if len(title) <= TITLE else f"{title[: TITLE - 1]}…"),
            x=0,
            y=1,
            xref=f"x{suffix} domain",
            yref=f"y{suffix} domain",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            yshift=4,
            name="panel",
        )
    return figure


def colour_bar(title: str) -> dict[str, Any]:
    """Describes a scale of colours below the panels."""
    bar = {
        "title": {"text": title, "side": "bottom", "font": {"size": FONT["size"]}},
        "orientation": "h",
        "yref": "container",
        "y": 0,
        "yanchor": "bottom",
        "thickness": 14,
    }
    return {"colorscale": SCALE, "colorbar": bar}


def solver_style(architecture: Architecture, solver: str) -> tuple[str, str]:
    """Gives a solver its colour and symbol, the same in all figures of a study."""
    position = architecture.study.solvers.index(solver)
    return COLOURS[position % len(COLOURS)], SYMBOLS[position % len(SYMBOLS)]


def shown(group: str) -> str:
    """Writes a name so that plotly takes none of it for markup."""
    return escape(label(group))


def wrapped(group: str, letters: int = LINE) -> str:
    """Writes the name of a group on an axis, in short lines: two solvers below each other."""
    words = label(group).replace(" / ", " and\n")
    lines = [line for part in words.splitlines() for line in wrap(part, letters)]
    return "<br>".join(escape(line) for line in lines)


def bars(rows: Sequence[Estimate]) -> dict[str, Any]:
    """Makes error bars from 95 % intervals; none where a row has no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [_beyond(row.high, row.estimate) for row in rows],
        "arrayminus": [_beyond(row.estimate, row.low) for row in rows],
        "thickness": 1.8,
    }


def _beyond(upper: float | None, lower: float | None) -> float:
    if upper is None or lower is None:
        return 0.0
    return max(upper - lower, 0.0)


def stderr_bars(values: Sequence[float]) -> dict[str, Any]:
    """Makes thin error bars from standard errors."""
    return {"type": "data", "array": list(values), "thickness": 1, "width": 2}


def record(row: Summary, **more: Any) -> Plain:
    """Takes from a summary what a reader of the drawn numbers needs."""
    kept = ("group", "path", "sigma", "t", "estimate", "low", "high", "count")
    data = row.data
    return {key: data[key] for key in kept if key in data} | more
