"""The train error along paths between two networks, and the barriers on them."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from toroids.report.figures.drawing import INTERVALS, Drawing
from toroids.report.figures.style import PATH_STYLES, laid_out, panels, record
from toroids.report.study import Architecture
from toroids.report.text import BENDS, PARTS, PATHS, WORDS, label, plural
from toroids.statistics.row import Plain
from toroids.statistics.summary import Summary


def barrier_profiles(architecture: Architecture) -> Drawing | None:
    """Draws the mean train error along all paths, one panel per solver."""
    ways = WORDS[architecture.manifold].joined
    return _profiles(
        architecture,
        {path: PATHS[path] for path in PATHS},
        f"profiles-{architecture.name}",
        "The train error along paths between two networks",
        f"{ways} Means over pairs; bands: {INTERVALS}",
    )


def bend_profiles(architecture: Architecture) -> Drawing | None:
    """Draws the mean train error over trained bends beside that on the direct path."""
    direct = architecture.removed
    return _profiles(
        architecture,
        {direct: PATHS[direct], **BENDS},
        f"bends-{architecture.name}",
        "The train error over a trained bend",
        "A third network, the bend at t = 1/2, is trained so that the error is low on both "
        "segments; above the panels stands how many bends were. Beside it the direct path after "
        f"all symmetries are removed, over all pairs. Means; bands: {INTERVALS}",
        needed=BENDS,
    )


def parts_profiles(architecture: Architecture) -> Drawing | None:
    """Draws the mean train error between networks that were aligned by parts of their group."""
    whole = architecture.removed
    return _profiles(
        architecture,
        {"raw": PATHS["raw"], **PARTS, whole: PATHS[whole]},
        f"parts-{architecture.name}",
        "The train error between networks aligned within parts of their group",
        "Every part holds those before it: permutations with signs, scales with shifts, matrices "
        "and phases of heads, rotations of the stream, with which nothing is left. The last "
        f"alignment looks at the loss between the two. Means over pairs; bands: {INTERVALS}",
        needed=PARTS,
    )


def _profiles(
    architecture: Architecture,
    paths: Mapping[str, str],
    name: str,
    title: str,
    caption: str,
    needed: Mapping[str, str] | None = None,
) -> Drawing | None:
    curves = {
        solver: {
            path: curve
            for path in paths
            if (curve := architecture.all("path_error", solver, path=path))
        }
        for solver in architecture.solvers
    }
    wanted = set(needed or paths)
    solvers = [solver for solver in architecture.solvers if wanted & curves[solver].keys()]
    if not solvers:
        return None
    figure = panels([_title(solver, curves[solver], wanted) for solver in solvers])
    records: list[Plain] = []
    explained: set[str] = set()
    for column, solver in enumerate(solvers, start=1):
        for path, curve in curves[solver].items():
            _add_band(figure, curve, path, column)
            _add_line(figure, curve, path, paths[path], column, path not in explained)
            explained.add(path)
            records += [record(row) for row in curve]
    figure.update_xaxes(title="position t on the path", range=[0, 1])
    figure.update_yaxes(title="train error", tickformat=".2~%", rangemode="tozero")
    chart = laid_out(figure, 300, 250, shared=True).update_layout(hoverlabel_namelength=-1)
    return Drawing(name, title, caption, chart, records, 'kind "summary", statistic "path_error"')


def _title(solver: str, curves: Mapping[str, Sequence[Summary]], wanted: set[str]) -> str:
    count = max(curve[0].count for path, curve in curves.items() if path in wanted)
    return f"{label(solver)} ({plural(count, 'pair')})"


def _add_band(figure: go.Figure, curve: Sequence[Summary], path: str, column: int) -> None:
    if any(row.low is None for row in curve):
        return
    t = [row.t for row in curve]
    figure.add_scatter(
        x=t + t[::-1],
        y=[row.high for row in curve] + [row.low for row in curve][::-1],
        fill="toself",
        fillcolor=PATH_STYLES[path][0],
        opacity=0.18,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=path,
        row=1,
        col=column,
    )


def _add_line(
    figure: go.Figure, curve: Sequence[Summary], path: str, name: str, column: int, explained: bool
) -> None:
    colour, dash, _ = PATH_STYLES[path]
    figure.add_scatter(
        x=[row.t for row in curve],
        y=[row.estimate for row in curve],
        mode="lines",
        line={"color": colour, "dash": dash, "width": 2.5},
        name=name,
        legendgroup=path,
        showlegend=explained,
        hovertemplate="t = %{x:.2f}: %{y:.2%}",
        row=1,
        col=column,
    )
