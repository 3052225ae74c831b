"""What was measured of one architecture, figure by figure."""

from collections.abc import Callable
from html import escape

from toroids.report.document import Elements, file_name
from toroids.report.figures.barriers import barrier_profiles, bend_profiles, parts_profiles
from toroids.report.figures.distances import layers, matrices
from toroids.report.figures.drawing import Drawing
from toroids.report.figures.flatness import disturbance, flatness_curves
from toroids.report.figures.maps import maps
from toroids.report.figures.sections import sections
from toroids.report.figures.training import training_curves
from toroids.report.figures.trajectories import trajectories
from toroids.report.study import Architecture
from toroids.report.tables import Column
from toroids.report.text import label, plural, quantity, sentence, short, value
from toroids.statistics.measured import Diverged, Network
from toroids.statistics.summary import Summary

Draw = Callable[[Architecture], Drawing | None]
# Heading, anchor, figure, and what to say where nothing was measured.
SUBJECTS: tuple[tuple[str, str, Draw, str], ...] = (
    ("Flatness", "flatness", flatness_curves, "No network has been measured."),
    ("Distances", "distances", matrices, "No pair of networks has been measured."),
    ("Map of the networks", "map", maps, "There is no map: it needs three networks or more."),
    ("Barriers", "barriers", barrier_profiles, "No path has been measured."),
    ("Parts of the group", "parts", parts_profiles, "Only the whole group has been measured."),
    ("Bends", "bends", bend_profiles, "No bend has been trained in this study."),
    ("Sections", "sections", sections, "No section has been measured in this study."),
    ("Trajectories", "trajectories", trajectories, "No training has been followed in this study."),
    ("Distances by layer", "layers", layers, "No pair within a solver has been measured."),
)


def subjects(architecture: Architecture) -> list[tuple[str, str]]:
    """Lists headings and anchors of an architecture, for the contents."""
    headings = [
        ("Solvers", "solvers"),
        *((heading, anchor) for heading, anchor, *_ in SUBJECTS),
        ("Symmetries", "symmetries"),
    ]
    return [(heading, _anchor(architecture, anchor)) for heading, anchor in headings]


def anchor(architecture: Architecture) -> str:
    """Names the place of an architecture on the page."""
    return f"architecture-{file_name(architecture.name)}"


def _anchor(architecture: Architecture, subject: str) -> str:
    return f"{anchor(architecture)}-{subject}"


def measurements(architecture: Architecture, elements: Elements, several: bool) -> str:
    """Writes all that was measured of one architecture.

    Args:
        architecture: its rows.
        elements: counts figures.
        several: whether the study has others beside it.

    Returns:
        A section.
    """
    title = f"Measurements: {label(architecture.name)}" if several else "Measurements"
    parts = [
        f"<h2>{escape(title)}</h2>",
        f'<h3 id="{_anchor(architecture, "solvers")}">Solvers</h3>',
        _solvers(architecture, elements),
    ]
    for heading, subject, draw, nothing in SUBJECTS:
        drawing = draw(architecture)
        parts.append(f'<h3 id="{_anchor(architecture, subject)}">{escape(heading)}</h3>')
        parts.append(
            elements.figure(drawing) if drawing else f'<p class="muted">{escape(nothing)}</p>'
        )
    parts.append(f'<h3 id="{_anchor(architecture, "symmetries")}">Symmetries</h3>')
    parts.append(_symmetries(architecture))
    return f'<section id="{anchor(architecture)}">{"".join(parts)}</section>'


def _solvers(architecture: Architecture, elements: Elements) -> str:
    if not architecture.networks:
        return '<p class="muted">No network has been trained and measured.</p>'
    drawing = training_curves(architecture)
    return (
        _by_solver(architecture, elements)
        + (elements.figure(drawing) if drawing else "")
        + f"<details><summary>All {len(architecture.networks)} networks, one by one</summary>"
        + _by_network(architecture, elements)
        + "</details>"
    )


def _by_solver(architecture: Architecture, elements: Elements) -> str:
    solvers = architecture.solvers
    members = [[n for n in architecture.networks if n.solver == s] for s in solvers]
    diverged = [sum(row.solver == s for row in architecture.of(Diverged)) for s in solvers]
    means = {
        statistic: [architecture.get(statistic, solver) for solver in solvers]
        for statistic in ("train_error", "test_error")
    }
    flat = [architecture.get("increase", s, sigma=architecture.sigma) for s in solvers]
    zero = [sum(row.ended == "zero error" for row in rows) for rows in members]
    columns = [
        Column("solver", [sentence(solver) for solver in solvers], numeric=False),
        Column("networks", [_many(*pair) for pair in zip(members, diverged, strict=True)]),
        Column("reached zero train error", [str(count) for count in zero]),
        Column("epochs", [_range(rows, "epochs") for rows in members]),
        Column("gradient steps", [_range(rows, "gradient_steps") for rows in members]),
        Column("train error", [_mean(row) for row in means["train_error"]]),
        Column("test error", [_mean(row) for row in means["test_error"]]),
        Column(f"increase at {disturbance(architecture)}", [_mean(row) for row in flat]),
    ]
    rows = [*means["train_error"], *means["test_error"], *flat]
    kept = ("statistic", "group", "sigma", "estimate", "low", "high", "count")
    records = [row.columns(*kept) for row in rows if row]
    caption = "By solver: means over networks with 95 % intervals; of epochs and steps the range"
    return elements.table(f"solvers-{architecture.name}", caption, columns, records)


def _many(measured: list[Network], diverged: int) -> str:
    return f"{len(measured)} (and {diverged} diverged)" if diverged else str(len(measured))


def _mean(row: Summary | None) -> str:
    return quantity(row) if row else ""


def _range(rows: list[Network], field: str) -> str:
    numbers = [getattr(row, field) for row in rows]
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _by_network(architecture: Architecture, elements: Elements) -> str:
    rows = architecture.networks
    flat = [architecture.flatness(row) for row in rows]
    columns = [
        Column("network", [short(row.name, architecture.name) for row in rows], numeric=False),
        Column("ended by", [row.ended for row in rows], numeric=False),
        Column("epochs", [str(row.epochs) for row in rows]),
        Column("gradient steps", [str(row.gradient_steps) for row in rows]),
        Column("train error", [value(row.train_error) for row in rows]),
        Column("test error", [_with_error(row.test_error, row.test_error_stderr) for row in rows]),
        Column(
            f"increase at {disturbance(architecture)}",
            [_with_error(*found) if found else "" for found in flat],
        ),
        Column("seconds of training", [f"{row.seconds:.1f}" for row in rows]),
        Column("notes", ["; ".join(row.notes) for row in rows], numeric=False),
    ]
    records = [
        {
            "network": row.name,
            **row.columns(*_NETWORK),
            "increase": found[0] if found else None,
            "increase_stderr": found[1] if found else None,
            "notes": "; ".join(row.notes),
        }
        for row, found in zip(rows, flat, strict=True)
    ]
    caption = (
        "All networks. Train errors are counted on all training examples; ± is one standard error, "
        "over test examples and over draws of the disturbance"
    )
    return elements.table(f"networks-{architecture.name}", caption, columns, records)


_NETWORK = (
    "solver",
    "seed",
    "ended",
    "epochs",
    "gradient_steps",
    "train_error",
    "train_loss",
    "test_error",
    "test_error_stderr",
    "test_loss",
    "seconds",
)


def _with_error(estimate: float | None, stderr: float | None) -> str:
    if estimate is None:
        return "undefined"
    return f"{100 * estimate:.2f} ± {100 * (stderr or 0):.2f} %"


def _symmetries(architecture: Architecture) -> str:
    row = architecture.symmetry
    if row is None:
        return '<p class="muted">The symmetries have not been found yet.</p>'
    free = plural(row.dimension, "dimension")
    return (
        f"<p>Of {row.parameters} parameters the continuous symmetries take {free}; besides "
        f"there are about 10<sup>{row.log10_order:.0f}</sup> permutations and sign flips. "
        f"Random elements of the group change the outputs by at most {row.deviation:.1e} "
        '(relative, in double precision).</p><pre tabindex="0" aria-label="Table of the '
        'symmetries">'
        f"{escape(row.table)}</pre>"
    )
