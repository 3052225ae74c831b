"""Barriers, distances and flatness against the size of networks of one kind."""

from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from toroids.report.figures.drawing import INTERVALS, Drawing
from toroids.report.figures.flatness import disturbance
from toroids.report.figures.style import (
    PATH_STYLES,
    bars,
    laid_out,
    panels,
    record,
    shown,
    solver_style,
)
from toroids.report.study import Architecture, Study
from toroids.report.text import PATHS
from toroids.statistics.row import Plain
from toroids.statistics.summary import Summary

LEAST = 3  # sizes; two are no curve
SIZE = "parameters"


def sizes(study: Study) -> list[Drawing]:
    """Draws what depends on size, for every kind of network of which a study has three sizes.

    Args:
        study: its rows.

    Returns:
        For every kind barriers by path, then distances and flatness; nothing that was not measured.
    """
    kinds: dict[str, list[Architecture]] = {}
    for architecture in study.architectures:
        if architecture.symmetry is not None and architecture.networks:
            kinds.setdefault(_model(study, architecture), []).append(architecture)
    found: list[Drawing | None] = []
    for kind, own in kinds.items():
        own.sort(key=_parameters)
        if len({_parameters(architecture) for architecture in own}) >= LEAST:
            found += [_barriers(kind, own), _measures(kind, own)]
    return [drawing for drawing in found if drawing is not None]


def _model(study: Study, architecture: Architecture) -> str:
    return str(study.config["networks"].get(architecture.name, {}).get("model", ""))


def _parameters(architecture: Architecture) -> int:
    return architecture.symmetry.parameters if architecture.symmetry else 0


def _solvers(own: Sequence[Architecture]) -> list[str]:
    present = {solver for architecture in own for solver in architecture.solvers}
    return [solver for solver in own[0].study.solvers if solver in present]


def _curve(
    own: Sequence[Architecture], read: Callable[[Architecture], Summary | None]
) -> tuple[list[int], list[Summary]]:
    """The sizes at which a statistic was measured, and its rows."""
    rows = [(_parameters(a), row) for a in own if (row := read(a)) is not None]
    return [size for size, _ in rows], [row for _, row in rows]


def _barriers(kind: str, own: Sequence[Architecture]) -> Drawing | None:
    """The mean barrier of every path against size, a panel for every solver."""
    solvers = [s for s in _solvers(own) if any(a.all("barrier", s) for a in own)]
    if not solvers:
        return None
    figure = panels([shown(solver) for solver in solvers])
    records: list[Plain] = []
    for column, solver in enumerate(solvers, start=1):
        for path in PATHS:
            read = _reader("barrier", solver, path=path)
            found, rows = _curve(own, read)
            if rows:
                colour, dash, symbol = PATH_STYLES[path]
                line = {"line": {"color": colour, "dash": dash}}
                _draw(figure, found, rows, PATHS[path], column, colour, symbol, line)
                records += _records(found, rows, "barrier")
    figure.update_yaxes(title="barrier of train error", tickformat=".2~%", rangemode="tozero")
    return Drawing(
        f"sizes-barriers-{kind}",
        "Barriers against the number of parameters",
        "Means over all pairs within a solver, on every path: how high barriers are between flat "
        f"minima (R4) and what each removed symmetry contributes (R7), size by size. {INTERVALS}",
        _laid_out(figure),
        records,
        'kind "summary", statistic "barrier"; kind "symmetry", field parameters',
    )


def _measures(kind: str, own: Sequence[Architecture]) -> Drawing | None:
    """Distance after alignment and flatness against size, a line for every solver."""
    first = own[0]
    wanted: list[tuple[str, dict[str, float], str]] = [
        (f"{first.distance}_after", {}, "distance after alignment"),
        ("increase", {"sigma": first.sigma}, f"increase of train error, {disturbance(first)}"),
    ]
    figure = panels([title for *_, title in wanted], shared=False)
    records: list[Plain] = []
    for column, (statistic, labels, title) in enumerate(wanted, start=1):
        for solver in _solvers(own):
            found, rows = _curve(own, _reader(statistic, solver, **labels))
            if rows:
                colour, symbol = solver_style(first, solver)
                _draw(figure, found, rows, shown(solver), column, colour, symbol, {})
                records += _records(found, rows, statistic)
        figure.update_yaxes(title=title, rangemode="tozero", row=1, col=column)
    if not records:
        return None
    return Drawing(
        f"sizes-measures-{kind}",
        "Distance and flatness against the number of parameters",
        "Means over networks, or pairs of networks, of one solver. Distances are root mean square "
        f"angles (radians) of real networks, which compare across widths. {INTERVALS}",
        _laid_out(figure),
        records,
        'kind "summary", statistics of distance and "increase"; kind "symmetry", field parameters',
    )


def _records(found: Sequence[int], rows: Sequence[Summary], statistic: str) -> list[Plain]:
    pairs = zip(found, rows, strict=True)
    return [record(row, parameters=size, statistic=statistic) for size, row in pairs]


def _reader(
    statistic: str, solver: str, **labels: str | float
) -> Callable[[Architecture], Summary | None]:
    return lambda architecture: architecture.get(statistic, solver, **labels)


def _draw(
    figure: go.Figure, found: Sequence[int], rows: Sequence[Summary], name: str, column: int,
    colour: str, symbol: str, more: Plain,
) -> None:  # fmt: skip
    known = any(trace.name == name for trace in figure.data)
    figure.add_scatter(
        x=list(found),
        y=[row.estimate for row in rows],
        error_y=bars(rows),
        mode="lines+markers",
        marker={"color": colour, "symbol": symbol, "size": 9},
        name=name,
        legendgroup=name,
        showlegend=not known,
        hovertemplate="%{x:,} parameters: %{y:.3g}",
        row=1,
        col=column,
        **{"line": {"color": colour}, **more},
    )


def _laid_out(figure: go.Figure) -> go.Figure:
    figure.update_xaxes(title=SIZE, type="log")
    return laid_out(figure, showlegend=True)
