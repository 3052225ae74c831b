"""Strips: one line per group, with its single values, their mean and its interval."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from toroids.report.figures.style import bars, laid_out
from toroids.statistics.summary import Summary

STEP = 46  # pixels from one line to the next


@dataclass(frozen=True)
class Strip:
    """One line of a strip chart.

    Attributes:
        text: what the axis says.
        colour: of its marks.
        symbol: of the mean.
        mean: estimate, low and high; None where there is no mean.
        values: the single values.
        names: what each of them is.
        before: a second mean to compare with, drawn hollow.
    """

    text: str
    colour: str
    symbol: str
    mean: Summary | None
    values: Sequence[float] = ()
    names: Sequence[str] = ()
    before: Summary | None = field(default=None)


def strip_chart(
    strips: Sequence[Strip],
    title: str,
    unit: str = "fraction",
    legend: tuple[str, str, str] = ("mean, 95 % interval", "single networks", ""),
    bound: tuple[float, str] | None = None,
) -> go.Figure:
    """Draws strips below each other.

    Args:
        strips: from the top to the bottom.
        title: of the horizontal axis.
        unit: "fraction" is shown in percent.
        legend: what the filled mark, the dots and the hollow mark are; "" for none.
        bound: where a vertical line stands, and what it says.

    Returns:
        The figure.
    """
    figure = go.Figure()
    places = [-float(number) for number in range(len(strips))]
    written = ":.2%" if unit == "fraction" else ":.3g"
    for strip, place in zip(strips, places, strict=True):
        _dots(figure, strip, place, written)
    _means(figure, strips, places, written)
    _hollow(figure, strips, places, written)
    _legend(figure, legend)
    if bound is not None:
        figure.add_vline(x=bound[0], line={"dash": "dot", "width": 1.5, "color": "#808080"})
        figure.add_annotation(
            x=bound[0], y=1, yref="y domain", yanchor="bottom", text=bound[1], showarrow=False
        )
    figure.update_xaxes(
        title=title, tickformat=".2~%" if unit == "fraction" else "", rangemode="tozero"
    )
    figure.update_yaxes(
        tickvals=places,
        ticktext=[strip.text for strip in strips],
        range=[-len(strips) + 0.4, 0.6],
        showgrid=False,
        zeroline=False,
    )
    return laid_out(figure, STEP * len(strips) + 40)


def _dots(figure: go.Figure, strip: Strip, place: float, written: str) -> None:
    figure.add_scatter(
        x=list(strip.values),
        y=[place + 0.24] * len(strip.values),
        mode="markers",
        marker={"color": strip.colour, "symbol": "line-ns-open", "size": 10},
        text=list(strip.names),
        hovertemplate="%{text}: %{x" + written + "}<extra></extra>",
        showlegend=False,
    )


def _means(figure: go.Figure, strips: Sequence[Strip], places: Sequence[float], w: str) -> None:
    for strip, place in zip(strips, places, strict=True):
        if strip.mean is None:
            continue
        figure.add_scatter(
            x=[strip.mean.estimate],
            y=[place - 0.06],
            error_x=bars([strip.mean]),
            mode="markers",
            marker={"color": strip.colour, "symbol": strip.symbol, "size": 11},
            hovertemplate="mean %{x" + w + "}<extra></extra>",
            showlegend=False,
        )


def _hollow(figure: go.Figure, strips: Sequence[Strip], places: Sequence[float], w: str) -> None:
    for strip, place in zip(strips, places, strict=True):
        if strip.before is None:
            continue
        figure.add_scatter(
            x=[strip.before.estimate],
            y=[place - 0.28],
            error_x=bars([strip.before]),
            mode="markers",
            marker={"color": "#808080", "symbol": f"{strip.symbol}-open", "size": 11},
            hovertemplate="%{x" + w + "}<extra></extra>",
            showlegend=False,
        )


def _legend(figure: go.Figure, texts: tuple[str, str, str]) -> None:
    """Explains the marks by samples that are not on the chart itself."""
    marks: tuple[dict[str, Any], ...] = (
        {"symbol": "circle", "size": 11, "color": "#808080"},
        {"symbol": "line-ns-open", "size": 10, "color": "#808080"},
        {"symbol": "circle-open", "size": 11, "color": "#808080"},
    )
    for text, mark in zip(texts, marks, strict=True):
        if text:
            figure.add_scatter(x=[None], y=[None], mode="markers", marker=mark, name=text)
