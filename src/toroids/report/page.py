"""The report: one self-contained HTML file, a pure function of a run's rows."""

import json
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from toroids.errors import ToroidsError
from toroids.files import write_atomically
from toroids.report import figures, findings
from toroids.report.findings import Finding, Summary
from toroids.report.text import label
from toroids.study.store import REPORT, Row, read_rows

Draw = Callable[[Sequence[Row], Summary], go.Figure]

INTERVALS = (
    "Bars and bands are 95 % intervals from a bootstrap over networks; pairs that share a network "
    "are not treated as independent."
)
# What was observed, its figure, and how to read it: of real weights and of binary ones.
SECTIONS: tuple[tuple[Callable[[Summary], Finding], Draw, str, str], ...] = (
    (
        findings.flatness,
        figures.flatness_curves,
        "Every weight w becomes w (1 + σ z) with z standard normal; the increase does not depend "
        f"on how units are ordered or scaled. {INTERVALS} Solvers spend different "
        "numbers of gradient steps; the table below lists them.",
        "A fraction of the weights, drawn at random, changes its sign; the increase does not "
        f"depend on how units are ordered or flipped. {INTERVALS} Solvers spend different "
        "numbers of gradient steps; the table below lists them.",
    ),
    (
        findings.test_error,
        figures.flatness_against_test_error,
        "One point per network. Horizontal bars: standard error over noise draws; vertical bars: "
        "binomial standard error over test images.",
        "One point per network. Horizontal bars: standard error over random flips; vertical bars: "
        "binomial standard error over test images.",
    ),
    (
        findings.distances,
        figures.distance_matrices,
        "Angle between corresponding units: root mean square within a layer, then the root of the "
        "sum over layers. Networks are ordered by solver, then seed. Brackets: 95 % intervals.",
        "Fraction of the weights that differ (Hamming distance): 1/2 for networks that have "
        "nothing to do with each other. Networks are ordered by solver, then seed. Brackets: 95 % "
        "intervals.",
    ),
    (
        findings.barriers,
        figures.barrier_profiles,
        f"Mean over all pairs within a solver, for five ways of joining two networks. {INTERVALS}",
        "Mean over all pairs within a solver. Every path flips each weight that differs once: in "
        f"several random orders, or in one chosen greedily by error. {INTERVALS}",
    ),
    (
        findings.removed,
        figures.barrier_heights,
        "Mean over pairs of the largest error on the path minus the larger error of its ends. "
        f"{INTERVALS}",
        "Mean over pairs, and over random orders, of the largest error on the path minus the "
        f"larger error of its ends. {INTERVALS}",
    ),
)
BENDS = (
    findings.bends,
    figures.bend_profiles,
    "Mean over pairs within a solver. A third network, the bend at t = 1/2, is trained so that the "
    f"error on both segments is low. {INTERVALS}",
    "Mean over pairs within a solver. A third network, the bend at t = 1/2, is trained with binary "
    "weights so that the error is low on both halves, whose flips come in random orders or in a "
    f"greedy one. {INTERVALS}",
)


def write_report(folder: str | Path) -> Path:
    """Writes `report.html` into the folder of a finished run.

    Args:
        folder: a run, as `run_study` leaves it.

    Returns:
        The report's path.

    Raises:
        ToroidsError: the folder holds no run, or one that was not finished.
    """
    path = Path(folder) / REPORT
    write_atomically(path, render(read_rows(folder)).encode())
    return path


def render(rows: Sequence[Row]) -> str:
    """Renders the rows of a run as one HTML page that works offline.

    Args:
        rows: all measurements of a finished run.

    Returns:
        The page.

    Raises:
        ToroidsError: the rows are not those of a finished run.
    """
    run = next((row for row in rows if row["kind"] == "run"), None)
    symmetry = next((row for row in rows if row["kind"] == "symmetry"), None)
    networks = [row for row in rows if row["kind"] == "network"]
    if run is None or symmetry is None or not networks:
        raise ToroidsError("the run was not finished; run the study again.")
    summary = Summary(rows)
    sections = (*SECTIONS, BENDS) if summary.has_bends else SECTIONS
    template = Template(files("toroids.report").joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        title=escape(f"Study {run['study']}"),
        subtitle=escape(_subtitle(rows, run)),
        plotly=get_plotlyjs(),
        figures="\n".join(
            _section(
                finding(summary),
                draw(rows, summary),
                notes[summary.binary],
                f"figure-{number}",
            )
            for number, (finding, draw, *notes) in enumerate(sections, start=1)
        ),
        table_title=escape(_ended(networks, [row for row in rows if row["kind"] == "diverged"])),
        table_note="Train error is counted on all training images; ± is one standard error, over "
        "test images and over noise draws.",
        table=_table(networks, summary),
        symmetry_note=escape(
            f"Random elements of the group change the outputs by at most "
            f"{symmetry['deviation']:.1e} (relative, float64)."
        ),
        symmetry_table=escape(symmetry["table"]),
        reproduce=escape(
            f"{run['seconds']:.0f} s on {run['machine']}; "
            + ", ".join(f"{name} {number}" for name, number in run["versions"].items())
            + ". Every number stands in measurements.jsonl beside this file. The study:"
        ),
        config=escape(json.dumps(run["config"], indent=2)),
    )


def _subtitle(rows: Sequence[Row], run: Row) -> str:
    pairs = [row for row in rows if row["kind"] == "pair"]
    profiled = sum(bool(row["profiles"]) for row in pairs)
    networks = sum(row["kind"] == "network" for row in rows)
    data = run["config"]["data"]
    return (
        f"{networks} networks trained on {data['train']} {data['name']}; {len(pairs)} pairs "
        f"aligned, {profiled} of them measured along several paths."
    )


def _section(finding: Finding, figure: go.Figure, note: str, name: str) -> str:
    # plotly escapes "<" inside its JSON, so that no name can close the script element
    chart = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config=figures.CHART,
    )
    return (
        f"<section><h2>{escape(finding.title)}</h2><p>{escape(finding.detail)}</p>"
        f'<figure><div class="scroll"><div class="chart">{chart}</div></div>'
        f"<figcaption>{escape(note)}</figcaption></figure></section>"
    )


def _ended(networks: Sequence[Row], diverged: Sequence[Row]) -> str:
    reached = sum(row["ended"] == "zero error" for row in networks)
    text = f"{reached} of {len(networks)} networks ended with zero train error within their budget"
    names = ", ".join(label(row["name"]) for row in diverged)
    return f"{text}; not measured, because they diverged: {names}" if diverged else text


def _table(networks: Sequence[Row], summary: Summary) -> str:
    heads = (
        "network",
        "ended by",
        "epochs",
        "gradient steps",
        "train error",
        "test error",
        f"increase of train error, {summary.disturbance}",
        "seconds",
        "notes",
    )
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(_table_row(row, summary.sigma) for row in networks)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _table_row(row: Row, sigma: float) -> str:
    flatness = row["flatness"]
    position = flatness["sigma"].index(sigma)
    increase, stderr = flatness["increase"][position], flatness["stderr"][position]
    cells = (
        label(row["name"]),
        row["ended"],
        f"{row['epochs']}",
        f"{row['gradient_steps']}",
        f"{row['train_error']:.2%}",
        f"{row['test_error']:.2%} ± {100 * row['test_error_stderr']:.2f}",
        f"{increase:.2%} ± {100 * stderr:.2f}",
        f"{row['seconds']:.1f}",
        "; ".join(row["notes"]),
    )
    return "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in cells) + "</tr>"
