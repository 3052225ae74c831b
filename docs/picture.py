"""Draws the README's picture, docs/barriers.svg, from the rows of the default study.

Needs `make study`, `pip install kaleido` and a Chrome or Chromium; run from the repository root:

    .venv/bin/python docs/picture.py
"""

from pathlib import Path

from toroids.report.figures.barriers import barrier_profiles
from toroids.report.study import Study
from toroids.study.rows import read_rows

RUN = Path("runs/digits")
PICTURE = Path("docs/barriers.svg")


def main() -> None:
    """Reads the rows and writes the picture."""
    (architecture, *_) = Study(read_rows(RUN)).architectures
    drawing = barrier_profiles(architecture)
    assert drawing is not None, "the default study measures paths"
    figure = drawing.chart.update_layout(paper_bgcolor="white", margin_t=90)
    figure.update_yaxes(title="", col=2).update_yaxes(title="", col=3)
    figure.write_image(PICTURE, width=1000, height=420)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
