"""The figure that belongs to each claim."""

from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go

from toroids.report.figures.distances import dumbbells
from toroids.report.figures.drawing import INTERVALS, Drawing
from toroids.report.figures.effects import effects
from toroids.report.figures.flatness import disturbance, disturbed
from toroids.report.figures.strips import STEP, Strip, strip_chart
from toroids.report.figures.style import (
    GREY,
    bars,
    laid_out,
    record,
    shown,
    solver_style,
    stderr_bars,
    wrapped,
)
from toroids.report.study import Architecture, group_of
from toroids.report.text import BENDS, PARTS, PATHS, short, value
from toroids.statistics.claims.verdict import Claim
from toroids.statistics.measured import Bend, Network, OfPair, Pair
from toroids.statistics.row import Plain
from toroids.statistics.summary import Summary

BARRIER = "barrier of train error"
BARRIERS = "Barrier: the largest train error on the path minus the larger one of its ends."


def flatness_by_solver(architecture: Architecture) -> Drawing | None:
    """Draws every network's flatness at the reference, with the mean of its solver."""
    strips, records = [], []
    for solver in architecture.solvers:
        found = _flatness(architecture, solver)
        if not found:
            continue
        mean = architecture.get("increase", solver, sigma=architecture.sigma)
        colour, symbol = solver_style(architecture, solver)
        names = [shown(short(row.name, architecture.name)) for row, _, _ in found]
        values = [increase for _, increase, _ in found]
        text = f"{wrapped(solver)} ({len(found)})"
        strips.append(Strip(text, colour, symbol, mean, values, names))
        records += [
            {"network": row.name, "solver": solver, "increase": increase, "stderr": stderr}
            for row, increase, stderr in found
        ]
        records += [_mean_record(mean, solver, "increase")] if mean else []
    if not strips:
        return None
    return Drawing(
        f"R1-{architecture.name}",
        f"Increase of the train error at {disturbance(architecture)}, by solver",
        f"{disturbed(architecture)}; further left is flatter. Counts of networks behind the names. "
        "Ticks: single networks; filled marks: means with 95 % intervals over networks.",
        strip_chart(strips, f"increase of train error, {disturbance(architecture)}"),
        records,
        'kind "network", field flatness; kind "summary", statistic "increase"',
    )


def _flatness(architecture: Architecture, solver: str) -> list[tuple[Network, float, float]]:
    return [
        (row, *found)
        for row in architecture.networks
        if row.solver == solver and (found := architecture.flatness(row)) is not None
    ]


def _mean_record(row: Summary, solver: str, field: str) -> Plain:
    return {
        "network": "mean",
        "solver": solver,
        field: row.estimate,
        "low": row.low,
        "high": row.high,
        "networks": row.count,
    }


def flatness_against_test_error(architecture: Architecture) -> Drawing | None:
    """Draws one point per network: flatness across, test error up."""
    figure = go.Figure()
    records = []
    for solver in architecture.solvers:
        colour, symbol = solver_style(architecture, solver)
        found = _flatness(architecture, solver)
        figure.add_scatter(
            x=[increase for _, increase, _ in found],
            y=[row.test_error for row, _, _ in found],
            error_x=stderr_bars([stderr for _, _, stderr in found]),
            error_y=stderr_bars([row.test_error_stderr or 0.0 for row, _, _ in found]),
            mode="markers",
            marker={
                "symbol": [
                    symbol if architecture.counts(row) else f"{symbol}-open" for row, _, _ in found
                ],
                "size": 10,
                "color": colour,
            },
            name=f"{shown(solver)} ({len(found)})",
            text=[shown(short(row.name, architecture.name)) for row, _, _ in found],
            hovertemplate="%{text}: %{y:.2%} at %{x:.2%}<extra></extra>",
        )
        records += [
            {
                "network": row.name,
                "solver": solver,
                "increase": increase,
                "increase_stderr": stderr,
                "test_error": row.test_error,
                "test_error_stderr": row.test_error_stderr,
                "counts": architecture.counts(row),
            }
            for row, increase, stderr in found
        ]
    if not records:
        return None
    hollow = sum(not record["counts"] for record in records)
    across = f"increase of train error, {disturbance(architecture)}"
    figure.update_xaxes(title=across, tickformat=".2~%")
    figure.update_yaxes(title="test error", tickformat=".2~%")
    return Drawing(
        f"R2-{architecture.name}",
        "Flatness against test error",
        f"One point per network, {len(records)} in all. Horizontal bars: standard error over the "
        "draws of the disturbance; vertical bars: binomial standard error over test examples, "
        "which all networks share."
        + (f" Hollow: {hollow} with a larger train error than claims allow." if hollow else ""),
        laid_out(figure, showlegend=True),
        records,
        'kind "network", fields flatness, test_error and test_error_stderr',
    )


def barriers_by_solver(architecture: Architecture) -> Drawing | None:
    """Draws the barrier of every pair on the path without symmetries."""
    path = architecture.removed
    bound = architecture.study.config["claims"]["small"]
    strips, records = _barriers(architecture, architecture.groups, path)
    if not strips:
        return None
    return Drawing(
        f"R4-{architecture.name}",
        f"Barriers on the path with all symmetries removed ({PATHS[path]})",
        f"{BARRIERS} Counts of pairs behind the names. Ticks: single pairs; filled marks: means. "
        f"{INTERVALS} Dotted line: the largest barrier that this study calls small.",
        strip_chart(
            strips, BARRIER, legend=_legend("single pairs"), bound=(bound, f"small: {value(bound)}")
        ),
        records,
        'kind "pair", field profiles; kind "summary", statistic "barrier"',
    )


def _legend(single: str, hollow: str = "") -> tuple[str, str, str]:
    return ("mean, 95 % interval", single, hollow)


def _barriers(
    architecture: Architecture, groups: Sequence[str], path: str, kind: type[OfPair] = Pair
) -> tuple[list[Strip], list[Plain]]:
    strips, records = [], []
    rows = [row for row in architecture.of(kind) if row.barrier(path) is not None]
    for group in groups:
        mean = architecture.get("barrier", group, path=path)
        pairs = [row for row in rows if group_of(row) == group]
        if not pairs:
            continue
        colour, symbol = (GREY, "circle") if "/" in group else solver_style(architecture, group)
        heights = [row.profiles[path].barrier or 0.0 for row in pairs]
        names = [f"{shown(row.a)}<br>{shown(row.b)}" for row in pairs]
        direct = architecture.get("barrier", group, path=architecture.removed)
        before = direct if kind is Bend else None
        text = f"{wrapped(group)} ({len(pairs)})"
        strips.append(Strip(text, colour, symbol, mean, heights, names, before))
        records += [
            {"a": row.a, "b": row.b, "group": group, "path": path, "barrier": height}
            for row, height in zip(pairs, heights, strict=True)
        ]
        records += [_barrier_record(row) for row in (mean, before) if row]
    return strips, records


def _barrier_record(row: Summary) -> Plain:
    return {
        "a": "mean",
        "b": "mean",
        "group": row.group,
        "path": row.path,
        "barrier": row.estimate,
        "low": row.low,
        "high": row.high,
        "pairs": row.count,
    }


def barriers_over_bends(architecture: Architecture) -> Drawing | None:
    """Draws the barrier over every trained bend, beside that of the direct path."""
    path = architecture.manifold.bend
    strips, records = _barriers(architecture, architecture.solvers, path, Bend)
    if not strips:
        return None
    bound = architecture.study.config["claims"]["tolerance"]
    line = (bound, f"none: {value(bound)}")
    return Drawing(
        f"R5-{architecture.name}",
        f"Barriers over {BENDS[path].replace('two segments over ', '')}, and without it",
        f"{BARRIERS} Counts of bends behind the names. Ticks: single bends; filled marks: their "
        "means; hollow marks: means over all pairs on the direct path "
        f"({PATHS[architecture.removed]}). "
        f"{INTERVALS} Dotted line: the largest barrier that this study counts as none.",
        strip_chart(strips, BARRIER, legend=_legend("single bends", "without a bend"), bound=line),
        records,
        'kind "bend", field profiles; kind "summary", statistic "barrier"',
    )


def barriers_by_path(architecture: Architecture) -> Drawing | None:
    """Draws the mean barrier of every path within every solver."""
    names = {**PATHS, **PARTS}
    found = {
        (path, solver): row
        for path in {**names, **BENDS}
        for solver in architecture.solvers
        if (row := architecture.get("barrier", solver, path=path))
    }
    if not found:
        return None
    paths = [path for path in names if any(path == known for known, _ in found)]
    solvers = architecture.solvers
    figure = go.Figure()
    for number, solver in enumerate(solvers):
        colour, symbol = solver_style(architecture, solver)
        drawn = [path for path in paths if (path, solver) in found]
        rows = [found[path, solver] for path in drawn]
        shift = 0.5 * ((len(solvers) - 1) / 2 - number) / max(len(solvers), 1)
        figure.add_scatter(
            x=[row.estimate for row in rows],
            y=[shift - paths.index(path) for path in drawn],
            error_x=bars(rows),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10},
            name=f"{shown(solver)} ({max((row.count for row in rows), default=0)} pairs)",
            hovertemplate="%{x:.2%}",
        )
    figure.update_xaxes(title=BARRIER, tickformat=".2~%", rangemode="tozero")
    figure.update_yaxes(
        tickvals=[-number for number in range(len(paths))],
        ticktext=[names[path].replace(", ", ",<br>", 1) for path in paths],
        range=[0.5 - len(paths), 0.5],
        showgrid=False,
        zeroline=False,
    )
    return Drawing(
        f"R7-{architecture.name}",
        "Barriers as the symmetries are removed one after another",
        f"{BARRIERS} Means over all pairs within a solver. {INTERVALS}",
        laid_out(figure, (STEP + 10) * len(paths) + 40, showlegend=True),
        [record(row) for row in found.values()],
        'kind "summary", statistic "barrier"',
    )


def reach(architecture: Architecture) -> Drawing | None:
    """Draws for every network how many others it reaches without a barrier, over its flatness."""
    heights: dict[str, list[float]] = {}
    path = architecture.removed
    for row in architecture.pairs:
        height = row.barrier(path)
        if height is not None:
            for end in (row.a, row.b):
                heights.setdefault(end, []).append(height)
    tolerance = architecture.study.config["claims"]["tolerance"]
    figure = go.Figure()
    records = []
    for solver in architecture.solvers:
        colour, symbol = solver_style(architecture, solver)
        found = [f for f in _flatness(architecture, solver) if f[0].name in heights]
        points = [
            {
                "network": row.name,
                "solver": solver,
                "increase": increase,
                "increase_stderr": stderr,
                "reached": sum(height <= tolerance for height in heights[row.name]),
                "measured": len(heights[row.name]),
            }
            for row, increase, stderr in found
        ]
        figure.add_scatter(
            x=[point["increase"] for point in points],
            y=[point["reached"] / point["measured"] for point in points],
            error_x=stderr_bars([point["increase_stderr"] for point in points]),
            mode="markers",
            marker={"symbol": symbol, "size": 10, "color": colour},
            name=f"{shown(solver)} ({len(points)})",
            text=[_reached(point, architecture) for point in points],
            hovertemplate="%{text}<extra></extra>",
        )
        records += points
    if not records:
        return None
    figure.update_xaxes(
        title=f"increase of train error, {disturbance(architecture)}", tickformat=".2~%"
    )
    figure.update_yaxes(
        title="fraction of networks reached", tickformat=".2~%", range=[-0.04, 1.04]
    )
    return Drawing(
        f"R8-{architecture.name}",
        "How many others a network reaches, over its flatness",
        f"One point per network. Reached: the barrier on the path with all symmetries removed "
        f"({PATHS[path]}) is at most {value(tolerance)}; counted over the partners to which it was "
        "measured. Horizontal bars: standard error over the draws of the disturbance; the counts "
        "have no error of their own.",
        laid_out(figure, showlegend=True),
        records,
        'kind "pair", field profiles; kind "network", field flatness',
    )


def _reached(point: Plain, architecture: Architecture) -> str:
    name = shown(short(point["network"], architecture.name))
    return f"{name}: {point['reached']} of {point['measured']}"


FIGURES: Mapping[str, Callable[[Architecture], Drawing | None]] = {
    "R1": flatness_by_solver,
    "R2": flatness_against_test_error,
    "R3": dumbbells,
    "R4": barriers_by_solver,
    "R5": barriers_over_bends,
    "R7": barriers_by_path,
    "R8": reach,
}


def claim_figure(architecture: Architecture, claim: Claim) -> Drawing | None:
    """Draws the figure of a claim: the one made for it, else its effects."""
    draw = FIGURES.get(claim.claim)
    return (draw(architecture) if draw else None) or effects(architecture, claim)
