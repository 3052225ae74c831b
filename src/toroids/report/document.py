"""The frame of a page: one HTML file that works offline, and the elements that stand in it."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from toroids.report.figures.drawing import Drawing
from toroids.report.tables import Column, as_csv, table_html
from toroids.statistics.row import Plain

# Shown by page.js, which alone can answer it.
TOGGLE = '<button type="button" class="toggle" data-toggle hidden></button>'


def document(title: str, body: str) -> str:
    """Writes a page around its body.

    Scripts may be run only if they are our own, which their checksums say, and nothing may be
    fetched: a name in a study that came through all escaping would still do nothing.

    Args:
        title: plain text.
        body: HTML.

    Returns:
        The page.
    """
    script = _resource("page.js")
    allowed = " ".join(f"'sha256-{_checksum(text)}'" for text in (script, get_plotlyjs()))
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return Template(_resource("page.html")).substitute(
        policy=policy,
        title=escape(title),
        style=_resource("page.css"),
        body=body,
        script=script,
        plotly=get_plotlyjs(),
    )


def _resource(name: str) -> str:
    return files("toroids.report").joinpath(name).read_text("utf-8")


@cache
def _checksum(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def chart_json(figure: go.Figure) -> dict[str, Any]:
    """Takes a figure apart into plain data, without the colours that the page sets itself."""
    plain: dict[str, Any] = json.loads(json.dumps(figure.to_plotly_json(), cls=PlotlyJSONEncoder))
    plain["layout"].pop("template", None)
    return plain


def held(content: Mapping[str, Any]) -> str:
    """Writes data for page.js; no name in it can end the script element."""
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def buttons(*kinds: str, of: str) -> str:
    """Writes the buttons that save something as a file."""
    made = (
        f'<button type="button" data-save="{kind}" aria-label="Save {escape(of)} as '
        f'{kind.upper()}">{kind.upper()}</button>'
        for kind in kinds
    )
    return f'<div class="save">{"".join(made)}</div>'


def file_name(text: str) -> str:
    """Makes a name that is safe as a file's and as an anchor."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "unnamed"


def chart_html(labelled: str) -> str:
    """Writes the place where page.js draws a figure."""
    return f'<div class="chart" role="img" aria-labelledby="{labelled}"></div>'


class Elements:
    """Writes figures and tables, and keeps count of them.

    Attributes:
        drawings: the figures so far; their numbers are their places, from 1.
    """

    def __init__(self, study: str) -> None:
        """Begins with no figure.

        Args:
            study: its name stands in the names of saved files.
        """
        self.study = study
        self.drawings: list[Drawing] = []

    def figure(self, drawing: Drawing) -> str:
        """Writes a figure with its caption and what can be saved of it."""
        self.drawings.append(drawing)
        number = len(self.drawings)
        name = f"figure-{number}"
        content = {
            "name": file_name(f"{self.study}-{drawing.name}"),
            "figure": chart_json(drawing.chart),
            "csv": as_csv(drawing.records),
        }
        return (
            f'<figure id="{name}" data-holder>{chart_html(f"{name}-caption")}'
            f'<figcaption id="{name}-caption"><strong>Figure {number}. {escape(drawing.title)}.'
            f"</strong> {escape(drawing.caption)} "
            f'<span class="source">Rows: {escape(drawing.source)}.</span></figcaption>'
            f"{buttons('svg', 'csv', of=f'figure {number}')}{held(content)}</figure>"
        )

    def table(
        self, name: str, caption: str, columns: Sequence[Column], records: Sequence[Plain]
    ) -> str:
        """Writes a table and the button that saves its numbers."""
        content = {"name": file_name(f"{self.study}-{name}"), "csv": as_csv(records)}
        return (
            f"<div data-holder>{table_html(columns, caption)}"
            f"{buttons('csv', of='the table')}{held(content)}</div>"
        )
