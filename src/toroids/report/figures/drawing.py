"""What a figure is to the page: a chart, its caption, its numbers, and where they are from."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from toroids.statistics.row import Plain

INTERVALS = (
    "95 % intervals are over networks: pairs that share a network do not count as independent."
)


@dataclass(frozen=True)
class Drawing:
    """A figure of the page.

    Attributes:
        name: of the files that a reader saves.
        title: what is drawn, in a few words.
        caption: how to read it: units, sample size, uncertainty.
        chart: the figure.
        records: the numbers that are drawn, one flat dictionary per point.
        source: the rows of the study that they come from.
    """

    name: str
    title: str
    caption: str
    chart: go.Figure
    records: Sequence[Plain]
    source: str
