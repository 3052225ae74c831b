"""The effects behind a claim, with their intervals."""

from collections.abc import Sequence

import plotly.graph_objects as go

from toroids.report.figures.drawing import Drawing
from toroids.report.figures.strips import STEP
from toroids.report.figures.style import COLOURS, TITLE, bars, laid_out, panels, shown, wrapped
from toroids.report.study import Architecture
from toroids.statistics.claims.effect import Effect
from toroids.statistics.claims.verdict import Claim
from toroids.statistics.row import plain

LINE = 18  # pixels of a further line of a name

UNITS = {
    "fraction": "difference of error",
    "radians": "radians",
    "ratio": "ratio",
    "correlation": "correlation",
    "networks": "networks",
}


def effects(architecture: Architecture, claim: Claim) -> Drawing | None:
    """Draws all effects of a claim with their intervals, one panel per unit."""
    found = [effect for effect in claim.effects if effect.estimate is not None]
    if not found:
        return None
    units = list(dict.fromkeys(effect.unit for effect in found))
    figure = panels([""] * len(units), shared=False)
    for column, unit in enumerate(units, start=1):
        rows = [effect for effect in found if effect.unit == unit]
        _forest(figure, rows, column, UNITS.get(unit, unit))
    most = max(sum(effect.unit == unit for effect in found) for unit in units)
    lines = max(_named(effect).count("<br>") for effect in found)
    return Drawing(
        f"{claim.claim}-{architecture.name}",
        f"The effects that {claim.claim} is judged by",
        "Points: estimates; bars: 95 % intervals over networks; how many behind the "
        "names. Filled: what the verdict needs; hollow: what is told beside it.",
        laid_out(figure, (STEP + LINE * lines) * most + 30, 300),
        [{"claim": claim.claim, **plain(effect)} for effect in found],
        f'kind "claim", claim "{claim.claim}", field effects',
    )


def _forest(figure: go.Figure, rows: Sequence[Effect], column: int, title: str) -> None:
    axis = "x" if column == 1 else f"x{column}"
    figure.add_scatter(
        x=[row.estimate for row in rows],
        y=[-number for number in range(len(rows))],
        error_x=bars(rows),
        mode="markers",
        marker={
            "color": COLOURS[0],
            "size": 11,
            "symbol": ["diamond" if row.required else "diamond-open" for row in rows],
        },
        text=[shown(row.name) for row in rows],
        hovertemplate="%{text}: %{x:.3g}<extra></extra>",
        showlegend=False,
        row=1,
        col=column,
    )
    for number, row in enumerate(rows):
        # above its interval, because a long name beside it leaves no room on a phone
        figure.add_annotation(
            text=_named(row),
            align="left",
            x=0,
            xref=f"{axis} domain",
            xanchor="left",
            y=-number,
            yref=axis.replace("x", "y"),
            yanchor="bottom",
            yshift=8,
            showarrow=False,
            name="inside",
        )
    figure.update_xaxes(title=title, zeroline=True, row=1, col=column)
    figure.update_yaxes(
        range=[0.5 - len(rows), 0.8],
        showgrid=False,
        showticklabels=False,
        zeroline=False,
        row=1,
        col=column,
    )


def _named(row: Effect) -> str:
    """The name of an effect in lines that fit into a panel, and how many networks are behind it."""
    return wrapped(f"{row.name} ({row.networks})", TITLE)
