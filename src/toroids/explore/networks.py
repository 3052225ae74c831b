"""What the page knows from the start: the networks of a run, how they look, and where they lie."""

from collections.abc import Sequence

from toroids.report.figures.style import COLOURS, PATH_STYLES, SYMBOLS
from toroids.report.text import PATHS, label
from toroids.statistics.map import Map
from toroids.statistics.measured import Flatness, Network
from toroids.statistics.row import Plain, Row
from toroids.study.opened import OpenRun
from toroids.study.rows import Run


def networks(opened: OpenRun) -> Plain:
    """Lists the networks of a run by architecture, with what they are drawn with.

    Args:
        opened: the run, finished or not.

    Returns:
        Plain data: the study's name and settings, the paths' names and styles, and for every
        architecture its solvers, networks and maps.
    """
    config, rows = opened.config, opened.rows
    run = next((row for row in rows if isinstance(row, Run)), None)
    solvers = _styles(list(config.solvers))
    return {
        "study": config.name,
        "finished": run is not None and run.finished,
        "sigma": config.flatness.reference,
        "points": config.profiles.points,
        "resolution": config.sections.resolution,
        "paths": [
            dict(zip(("colour", "dash"), PATH_STYLES[way], strict=False), name=way, label=text)
            for way, text in PATHS.items()
        ],
        "architectures": [
            {
                "name": name,
                "label": label(name),
                "binary": network.binary,
                "solvers": solvers,
                "networks": found,
                "maps": _maps(rows, name),
            }
            for name, network in config.networks.items()
            if (found := listed(rows, name, config.flatness.reference))
        ],
    }


def listed(rows: Sequence[Row], architecture: str, sigma: float) -> list[Plain]:
    """Lists the trained networks of an architecture in the order of the study's rows.

    Args:
        rows: of the run.
        architecture: its name.
        sigma: the disturbance at which flatness is told.

    Returns:
        Name, solver, seed, errors and flatness of each; None where it was not measured.
    """
    return [
        {
            **row.columns("name", "solver", "seed", "ended", "epochs", "notes"),
            **row.columns("train_error", "test_error", "test_error_stderr"),
            "flatness": _flatness(row.flatness, sigma),
        }
        for row in rows
        if isinstance(row, Network) and row.architecture == architecture
    ]


def _flatness(curve: Flatness, sigma: float) -> Plain | None:
    if sigma not in curve.sigma:
        return None
    at = curve.sigma.index(sigma)
    return {"increase": curve.increase[at], "stderr": curve.stderr[at]}


def _styles(solvers: Sequence[str]) -> list[dict[str, str]]:
    """Colours and symbols of solvers, the same as in the report."""
    return [
        {
            "name": solver,
            "label": label(solver),
            "colour": COLOURS[number % len(COLOURS)],
            "symbol": SYMBOLS[number % len(SYMBOLS)],
        }
        for number, solver in enumerate(solvers)
    ]


def _maps(rows: Sequence[Row], architecture: str) -> dict[str, Plain]:
    """The maps of an architecture before and after alignment, of which there may be none yet."""
    return {
        row.moment: row.columns("measure", "names", "x", "y", "stress")
        for row in rows
        if isinstance(row, Map) and row.architecture == architecture
    }
