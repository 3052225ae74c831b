"""The report's figures, each a function of the rows."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from toroids.report.findings import Summary
from toroids.report.text import BENDS, PATHS, label, percent
from toroids.study.store import Row

# Okabe and Ito's palette, made to be told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "cross")
PATH_STYLES = {
    "raw": ("#666666", "dot"),
    "normalised": ("#E69F00", "dashdot"),
    "aligned": ("#56B4E9", "dash"),
    "both": ("#CC79A7", "longdash"),
    "geodesic": ("#0072B2", "solid"),
    "flips_raw": ("#666666", "dot"),
    "flips": ("#56B4E9", "dash"),
    "flips_greedy": ("#0072B2", "solid"),
    "bend": ("#CC79A7", "dash"),
    "bend_greedy": ("#D55E00", "solid"),
}
CHART = {"responsive": True, "displaylogo": False, "toImageButtonOptions": {"format": "svg"}}
FONT = {"family": "system-ui, -apple-system, Segoe UI, sans-serif", "size": 14}


def laid_out(figure: go.Figure, height: int = 420, **layout: Any) -> go.Figure:
    """Gives a figure the layout that all share."""
    figure.update_layout(
        template="plotly_white",
        height=height,
        font=FONT,
        margin={"l": 70, "r": 20, "t": 40, "b": 60},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        **layout,
    )
    return figure


def _style(summary: Summary, solver: str) -> tuple[str, str]:
    position = summary.solvers.index(solver)
    return COLOURS[position % len(COLOURS)], SYMBOLS[position % len(SYMBOLS)]


def _name(group: str) -> str:
    return escape(label(group))


def flatness_curves(rows: Sequence[Row], summary: Summary) -> go.Figure:
    """Draws the increase of train error over the noise, by solver, with 95 % intervals."""
    figure = go.Figure()
    for solver in summary.solvers:
        colour, symbol = _style(summary, solver)
        curve = summary.all("increase", solver)
        figure.add_scatter(
            x=[row["sigma"] for row in curve],
            y=[row["estimate"] for row in curve],
            error_y=_bars(curve),
            mode="lines+markers",
            marker={"symbol": symbol, "size": 9},
            line={"color": colour},
            name=f"{_name(solver)} ({curve[0]['count']} networks)",
        )
    title = "fraction of weights flipped" if summary.binary else "relative weight noise σ"
    figure.update_xaxes(title=title)
    figure.update_yaxes(title="increase of train error", tickformat=".0%", rangemode="tozero")
    return laid_out(figure)


def _bars(rows: Sequence[Row]) -> dict[str, Any]:
    """Error bars from the 95 % interval; none where a row has no interval."""
    known = [row["low"] is not None for row in rows]
    return {
        "type": "data",
        "symmetric": False,
        "array": [
            max(row["high"] - row["estimate"], 0) if k else 0
            for row, k in zip(rows, known, strict=True)
        ],
        "arrayminus": [
            max(row["estimate"] - row["low"], 0) if k else 0
            for row, k in zip(rows, known, strict=True)
        ],
        "thickness": 1.5,
    }


def flatness_against_test_error(rows: Sequence[Row], summary: Summary) -> go.Figure:
    """Draws one point per network: flatness across, test error up, standard errors as bars."""
    figure = go.Figure()
    for solver in summary.solvers:
        colour, symbol = _style(summary, solver)
        networks = [row for row in rows if row["kind"] == "network" and row["solver"] == solver]
        position = networks[0]["flatness"]["sigma"].index(summary.sigma)
        figure.add_scatter(
            x=[row["flatness"]["increase"][position] for row in networks],
            y=[row["test_error"] for row in networks],
            error_x={"array": [row["flatness"]["stderr"][position] for row in networks]},
            error_y={"array": [row["test_error_stderr"] for row in networks]},
            mode="markers",
            marker={"symbol": symbol, "size": 11, "color": colour},
            name=_name(solver),
            text=[escape(row["name"]) for row in networks],
        )
    figure.update_traces(error_x_thickness=1, error_y_thickness=1)
    figure.update_xaxes(
        title=f"increase of train error, {summary.disturbance} (± standard error)",
        tickformat=".1~%",
    )
    figure.update_yaxes(title="test error (± standard error)", tickformat=".1%")
    return laid_out(figure)


def distance_matrices(rows: Sequence[Row], summary: Summary) -> go.Figure:
    """Draws the distances between all networks, ordered by solver, before and after alignment."""
    names = [row["name"] for row in rows if row["kind"] == "network"]
    pairs = [row for row in rows if row["kind"] == "pair"]
    figure = make_subplots(
        cols=2, subplot_titles=("canonical, not aligned", "canonical and aligned")
    )
    shown = [escape(label(name)) for name in names]
    unit = "" if summary.binary else " rad"
    for column, moment in enumerate(("before", "after"), start=1):
        figure.add_heatmap(
            z=_matrix(names, pairs, summary.apart, moment),
            x=shown,
            y=shown,
            coloraxis="coloraxis",
            row=1,
            col=column,
            hovertemplate="%{y}<br>%{x}<br>%{z:.3f}" + unit + "<extra></extra>",
        )
        figure.update_yaxes(autorange="reversed", scaleanchor=f"x{column}", row=1, col=column)
    ticks = _solver_ticks(names, rows)
    figure.update_xaxes(**ticks, constrain="domain", tickangle=0)
    figure.update_yaxes(**ticks, constrain="domain", tickangle=-90)
    figure.update_yaxes(showticklabels=False, col=2)
    text = "fraction of<br>weights that<br>differ" if summary.binary else "mean angle<br>(radians)"
    bar = {"title": {"text": text}}
    return laid_out(figure, 520, coloraxis={"colorscale": "Viridis", "colorbar": bar})


def _matrix(
    names: Sequence[str], pairs: Sequence[Row], measure: str, moment: str
) -> list[list[float]]:
    position = {name: index for index, name in enumerate(names)}
    matrix = [[0.0] * len(names) for _ in names]
    for row in pairs:
        a, b = position[row["a"]], position[row["b"]]
        matrix[a][b] = matrix[b][a] = row[measure][moment]
    return matrix


def _solver_ticks(names: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Puts one tick, the solver's name, in the middle of its networks."""
    owner = {row["name"]: row["solver"] for row in rows if row["kind"] == "network"}
    solvers = list(dict.fromkeys(owner.values()))
    middles = []
    for solver in solvers:
        positions = [index for index, name in enumerate(names) if owner[name] == solver]
        middles.append(sum(positions) / len(positions))
    texts = [_name(solver).replace(" SGD", "<br>SGD") for solver in solvers]
    return {"tickmode": "array", "tickvals": middles, "ticktext": texts}


def barrier_profiles(rows: Sequence[Row], summary: Summary) -> go.Figure:
    """Draws the mean train error along all paths, one panel per solver, with 95 % intervals."""
    return _profiles(summary, PATHS)


def bend_profiles(rows: Sequence[Row], summary: Summary) -> go.Figure:
    """Draws the mean train error over trained bends, one panel per solver."""
    return _profiles(summary, BENDS)


def _profiles(summary: Summary, paths: Mapping[str, str]) -> go.Figure:
    curves = {
        solver: {
            path: curve for path in paths if (curve := summary.all("path_error", solver, path=path))
        }
        for solver in summary.solvers
    }
    solvers = [solver for solver in summary.solvers if curves[solver]]
    counts = [next(iter(curves[solver].values()))[0]["count"] for solver in solvers]
    titles = [f"{_name(s)} ({count} pairs)" for s, count in zip(solvers, counts, strict=True)]
    figure = make_subplots(
        cols=max(len(solvers), 1), shared_yaxes=True, subplot_titles=titles or ("no pairs",)
    )
    for column, solver in enumerate(solvers, start=1):
        for path, curve in curves[solver].items():
            _add_band(figure, curve, path, paths[path], column)
    figure.update_xaxes(title="position t on the path", range=[0, 1])
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(title="train error", col=1)
    return laid_out(figure, 480).update_layout(
        margin_t=110, legend_y=1.12, hovermode="x unified", hoverlabel_namelength=-1
    )


def _add_band(figure: go.Figure, curve: Sequence[Row], path: str, name: str, column: int) -> None:
    colour, dash = PATH_STYLES[path]
    t = [row["t"] for row in curve]
    if curve and all(row["low"] is not None for row in curve):
        figure.add_scatter(
            x=t + t[::-1],
            y=[row["high"] for row in curve] + [row["low"] for row in curve][::-1],
            fill="toself",
            fillcolor=colour,
            opacity=0.15,
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=path,
            row=1,
            col=column,
        )
    figure.add_scatter(
        x=t,
        y=[row["estimate"] for row in curve],
        mode="lines",
        line={"color": colour, "dash": dash, "width": 2.5},
        name=name,
        legendgroup=path,
        showlegend=column == 1,
        hovertemplate="%{y:.2%}",
        row=1,
        col=column,
    )


def barrier_heights(rows: Sequence[Row], summary: Summary) -> go.Figure:
    """Draws the mean barrier of every path for every group of pairs, with 95 % intervals."""
    groups = list(
        dict.fromkeys(row["group"] for row in summary.rows if row["statistic"] == "barrier")
    )
    figure = go.Figure()
    for path, name in {**PATHS, **BENDS}.items():
        found = [summary.get("barrier", group, path=path) for group in groups]
        points = [row for row in found if row]
        if not points:
            continue
        colour, _ = PATH_STYLES[path]
        figure.add_bar(
            x=[_name(row["group"]).replace(" / ", " /<br>") for row in points],
            y=[row["estimate"] for row in points],
            error_y=_bars(points),
            marker={"color": colour},
            name=name,
            hovertext=[f"{percent(row)}, {row['count']} pairs" for row in points],
            hoverinfo="text+name",
        )
    figure.update_yaxes(
        title="barrier of train error<br>(largest minus larger end)",
        tickformat=".0%",
        rangemode="tozero",
    )
    return laid_out(figure, 480, barmode="group").update_layout(margin_t=90)
