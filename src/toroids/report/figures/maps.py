"""All networks as points of a plane, as far apart as they are on the toroid."""

from toroids.report.figures.distances import MOMENTS
from toroids.report.figures.drawing import Drawing
from toroids.report.figures.style import laid_out, panels, shown, solver_style
from toroids.report.study import Architecture
from toroids.report.text import WORDS, short
from toroids.statistics.map import Map
from toroids.statistics.row import Plain


def maps(architecture: Architecture) -> Drawing | None:
    """Draws the networks by multidimensional scaling, before and after alignment."""
    found = {row.moment: row for row in architecture.of(Map)}
    moments = [moment for moment in MOMENTS if moment in found]
    if not moments:
        return None
    figure = panels([f"{MOMENTS[m]} (stress {found[m].stress:.2f})" for m in moments], shared=False)
    records: list[Plain] = []
    for column, moment in enumerate(moments, start=1):
        records += _points(figure, architecture, found[moment], column)
        suffix = "" if column == 1 else str(column)
        figure.update_yaxes(scaleanchor=f"x{suffix}", row=1, col=column)
    unit = WORDS[architecture.manifold].position
    figure.update_xaxes(title=f"position ({unit})", constrain="domain")
    figure.update_yaxes(title=f"position ({unit})", constrain="domain")
    return Drawing(
        f"map-{architecture.name}",
        "Map of all networks, before and after alignment",
        f"Multidimensional scaling of all {len(found[moments[-1]].names)} networks: distances "
        "on the paper are as close to the true ones as a plane allows; directions mean nothing. "
        "The stress is the uncertainty of the map: the root of the summed squared differences "
        "between drawn and true distances over the summed squared true ones; below 0.1 a map is "
        "faithful, above 0.2 it misleads.",
        laid_out(figure, 420, 270, square=True),
        records,
        'kind "map"',
    )


def _points(figure: object, architecture: Architecture, found: Map, column: int) -> list[Plain]:
    owner = {row.name: row.solver for row in architecture.networks}
    places = list(zip(found.names, found.x, found.y, strict=True))
    records = []
    for solver in architecture.solvers:
        colour, symbol = solver_style(architecture, solver)
        own = [place for place in places if owner.get(place[0]) == solver]
        figure.add_scatter(  # type: ignore[attr-defined]
            x=[x for _, x, _ in own],
            y=[y for _, _, y in own],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10},
            name=f"{shown(solver)} ({len(own)})",
            legendgroup=shown(solver),
            showlegend=column == 1,
            text=[shown(short(name, architecture.name)) for name, _, _ in own],
            hovertemplate="%{text}<extra></extra>",
            row=1,
            col=column,
        )
        records += [
            {"network": n, "solver": solver, "moment": found.moment, "x": x, "y": y}
            for n, x, y in own
        ]
    return records
