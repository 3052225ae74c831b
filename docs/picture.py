"""Draws the README's picture, docs/barriers.svg, from the rows of the default study.

Needs `make study`, `pip install kaleido` and a Chrome or Chromium; run from the repository root:

    .venv/bin/python docs/picture.py
"""

from pathlib import Path

from toroids.report.figures import barrier_profiles
from toroids.report.findings import Summary
from toroids.study.store import read_rows

RUN = Path("runs/digits")
PICTURE = Path("docs/barriers.svg")


def main() -> None:
    """Reads the rows and writes the picture."""
    rows = read_rows(RUN)
    figure = barrier_profiles(rows, Summary(rows))
    figure.update_layout(paper_bgcolor="white")
    figure.write_image(PICTURE, width=1000, height=420)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
