"""How far apart the networks are, before and after alignment."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from toroids.report.figures.drawing import Drawing
from toroids.report.figures.style import (
    COLOURS,
    GREY,
    bars,
    colour_bar,
    laid_out,
    panels,
    shown,
    solver_style,
    wrapped,
)
from toroids.report.study import Architecture, group_of
from toroids.report.text import WORDS, label, short
from toroids.statistics.row import Plain, plain

MOMENTS = {"before": "not aligned", "after": "aligned"}


def measure(architecture: Architecture) -> str:
    """Says what distances are, for an axis."""
    return WORDS[architecture.manifold].distance


def matrices(architecture: Architecture) -> Drawing | None:
    """Draws the distances between all networks, ordered by solver, before and after alignment."""
    names = [row.name for row in architecture.networks]
    if not architecture.pairs:
        return None
    figure = panels([f"in standard form, {m}" for m in MOMENTS.values()], shared=False)
    texts = [shown(short(name, architecture.name)) for name in names]
    unit = WORDS[architecture.manifold].unit
    for column, moment in enumerate(MOMENTS, start=1):
        figure.add_heatmap(
            z=_matrix(names, architecture, moment),
            x=list(range(len(names))),
            y=list(range(len(names))),
            text=[[f"{a}<br>{b}" for a in texts] for b in texts],
            coloraxis="coloraxis",
            hovertemplate="%{text}<br>%{z:.3f}" + unit + "<extra></extra>",
            row=1,
            col=column,
        )
        suffix = "" if column == 1 else "2"
        figure.update_yaxes(scaleanchor=f"x{suffix}", row=1, col=column)
    edge = [-0.5, len(names) - 0.5]
    figure.update_xaxes(constrain="domain", range=edge, showgrid=False, showticklabels=False)
    figure.update_yaxes(
        **_solver_ticks(architecture), constrain="domain", range=edge[::-1], showgrid=False
    )
    records = [
        {"a": row.a, "b": row.b, **plain(row.measures[architecture.distance])}
        for row in architecture.pairs
    ]
    explained = WORDS[architecture.manifold].explained
    return Drawing(
        f"distances-{architecture.name}",
        "Distances between all networks, before and after alignment",
        f"{explained} All {len(names)} networks, {len(records)} pairs, ordered by solver, then "
        "seed, from left to right as from top to bottom; both panels have the same colours. A cell "
        "is one exact number without sampling error; empty cells are not measured.",
        laid_out(
            figure, 420, 260, square=True, shared=True, coloraxis=colour_bar(measure(architecture))
        ),
        records,
        f'kind "pair", field {architecture.distance}',
    )


def _matrix(
    names: Sequence[str], architecture: Architecture, moment: str
) -> list[list[float | None]]:
    position = {name: index for index, name in enumerate(names)}
    matrix: list[list[float | None]] = [[None] * len(names) for _ in names]
    for index in range(len(names)):
        matrix[index][index] = 0.0
    for row in architecture.pairs:
        if row.a in position and row.b in position:
            a, b = position[row.a], position[row.b]
            matrix[a][b] = matrix[b][a] = getattr(row.measures[architecture.distance], moment)
    return matrix


def _solver_ticks(architecture: Architecture) -> dict[str, Any]:
    """Puts one tick, the solver's name, in the middle of its networks."""
    owners = [row.solver for row in architecture.networks]
    middles = []
    for solver in architecture.solvers:
        positions = [index for index, owner in enumerate(owners) if owner == solver]
        middles.append(sum(positions) / len(positions))
    texts = [shown(solver) for solver in architecture.solvers]
    return {"tickmode": "array", "tickvals": middles, "ticktext": texts}


def layers(architecture: Architecture) -> Drawing | None:
    """Draws the distance of every pair within a solver, layer by layer."""
    pairs = [row for row in architecture.pairs if row.solver_a == row.solver_b]
    pairs = [row for row in pairs if row.layers]
    if not pairs:
        return None
    spaces = list(dict.fromkeys(layer.space for row in pairs for layer in row.layers))
    records = [
        {"a": row.a, "b": row.b, "solver": row.solver_a, **plain(layer)}
        for row in pairs
        for layer in row.layers
    ]
    figure = go.Figure()
    for moment, colour in (("before", GREY), ("after", COLOURS[0])):
        figure.add_box(
            x=[record[moment] for record in records],
            y=[shown(record["space"]) for record in records],
            orientation="h",
            name=MOMENTS[moment],
            line={"color": colour, "width": 1.5},
            fillcolor="rgba(0,0,0,0)" if moment == "before" else "rgba(0,114,178,0.35)",
            boxpoints=False,
            hoverinfo="x+name",
        )
    words = WORDS[architecture.manifold]
    figure.update_xaxes(title=f"distance in this layer ({words.layer})", rangemode="tozero")
    figure.update_yaxes(
        autorange="reversed", tickmode="array", tickvals=[shown(s) for s in spaces], showgrid=False
    )
    return Drawing(
        f"layers-{architecture.name}",
        "Distances layer by layer",
        f"{words.layers}; all {len(pairs)} pairs within a solver. Boxes: the middle half of "
        "the pairs and their median; whiskers: all others but those further away than one and a "
        "half boxes. Boxes show spread, not an interval for the mean.",
        laid_out(figure, 52 * len(spaces) + 40, boxmode="group"),
        records,
        'kind "pair", field layers',
    )


def dumbbells(architecture: Architecture) -> Drawing | None:
    """Draws the mean distance of every group of pairs before and after alignment."""
    groups = [
        g for g in architecture.groups if architecture.get(_statistic(architecture, "after"), g)
    ]
    if not groups:
        return None
    figure = panels(["means by group of pairs", "pairs within a solver"], shared=False)
    records = _means(figure, architecture, groups)
    records += _against_flatness(figure, architecture)
    explained = WORDS[architecture.manifold].explained
    chart = laid_out(figure, max(46 * len(groups) + 40, 300), 280)
    return Drawing(
        f"R3-{architecture.name}",
        "Distances before and after alignment, and how they go with flatness",
        f"{explained} Left: means with 95 % intervals over networks; counts of pairs behind the "
        "names. Right: one point per aligned pair, against the mean of its two networks' increase "
        "of train error at the reference disturbance: lower is closer, further left is flatter.",
        chart,
        records,
        f'kind "summary", statistics {architecture.distance}_before and _after; kinds "pair" and '
        '"network"',
    )


def _statistic(architecture: Architecture, moment: str) -> str:
    return f"{architecture.distance}_{moment}"


def _means(figure: go.Figure, architecture: Architecture, groups: Sequence[str]) -> list[Plain]:
    records = []
    for moment, colour, symbol, shift in (
        ("before", GREY, "circle-open", 0.13),
        ("after", COLOURS[0], "circle", -0.13),
    ):
        found = [architecture.get(_statistic(architecture, moment), group) for group in groups]
        rows = [row for row in found if row]
        figure.add_scatter(
            x=[row.estimate for row in rows],
            y=[shift - groups.index(row.group) for row in rows],
            error_x=bars(rows),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 11},
            name=MOMENTS[moment],
            row=1,
            col=1,
        )
        records += [
            {
                "kind": "mean",
                "group": row.group,
                "moment": moment,
                "distance": row.estimate,
                "low": row.low,
                "high": row.high,
                "pairs": row.count,
            }
            for row in rows
        ]
    counts = {record["group"]: record["pairs"] for record in records}
    figure.update_yaxes(
        tickvals=[-number for number in range(len(groups))],
        ticktext=[f"{wrapped(group)} ({counts[group]})" for group in groups],
        range=[0.5 - len(groups), 0.5],
        showgrid=False,
        zeroline=False,
        row=1,
        col=1,
    )
    figure.update_xaxes(title=measure(architecture), rangemode="tozero", row=1, col=1)
    return records


def _against_flatness(figure: go.Figure, architecture: Architecture) -> list[Plain]:
    flatness = {
        row.name: found[0]
        for row in architecture.networks
        if (found := architecture.flatness(row)) is not None
    }
    records = []
    for solver in architecture.solvers:
        colour, symbol = solver_style(architecture, solver)
        rows = [row for row in architecture.pairs if group_of(row) == solver and row.a in flatness]
        points: list[Plain] = [
            {
                "kind": "pair",
                "group": solver,
                "a": row.a,
                "b": row.b,
                "moment": "after",
                "distance": row.measures[architecture.distance].after,
                "increase": (flatness[row.a] + flatness[row.b]) / 2,
            }
            for row in rows
            if row.b in flatness
        ]
        figure.add_scatter(
            x=[point["increase"] for point in points],
            y=[point["distance"] for point in points],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 7},
            opacity=0.8,
            name=shown(solver),
            text=[f"{shown(label(p['a']))}<br>{shown(label(p['b']))}" for p in points],
            hovertemplate="%{text}<br>%{y:.3f} at %{x:.2%}<extra></extra>",
            row=1,
            col=2,
        )
        records += points
    figure.update_xaxes(title="increase of train error", tickformat=".2~%", row=1, col=2)
    figure.update_yaxes(title=measure(architecture), row=1, col=2)
    return records
