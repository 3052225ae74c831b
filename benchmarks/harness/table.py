"""The one place that formats results: a table in Markdown."""

import statistics
from collections.abc import Callable, Iterable, Sequence

from harness.result import Outcome, Result

COLUMNS = (
    "benchmark", "what is measured", "unit", "runs", "toroids", "beside it", "has",
    "ratio", "goal", "note",
)  # fmt: skip


def line(cells: Iterable[str]) -> str:
    """One line of the table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def head() -> str:
    """The first two lines."""
    return line(COLUMNS) + "\n" + "|---" * len(COLUMNS) + "|"


def spread(values: Sequence[float]) -> str:
    """The median, and the least and the largest value where there are several."""
    if not values:
        return "not measured"
    text = f"{statistics.median(values):.4g}"
    return text if len(values) == 1 else f"{text} ({min(values):.4g} to {max(values):.4g})"


def row(benchmark: str, result: Result, verdict: bool = True) -> str:
    """One line for one result.

    Args:
        benchmark: as the first column shows it.
        result: what was measured.
        verdict: say whether the goal is reached; a reduced run has nothing to say on that.

    Returns:
        The line.
    """
    beside = spread(result.peer) if result.peer else result.absent or ""
    ratio = "" if result.ratio is None else f"{result.ratio:.3g}"
    return line((
        benchmark, result.name, result.unit, str(len(result.ours)), spread(result.ours),
        result.peer_name, beside, ratio, _goal(result, verdict), result.note,
    ))  # fmt: skip


def _goal(result: Result, verdict: bool) -> str:
    if result.goal is None:
        return ""
    text = f"{'≥' if result.at_least else '≤'} {result.goal:g}"
    if not verdict:
        return text
    return text + {True: ", reached", False: ", **missed**", None: ", not measured"}[result.reached]


def table(
    outcomes: Iterable[Outcome],
    verdict: bool = True,
    link: Callable[[str], str] = lambda name: name,
) -> str:
    """All rows of all benchmarks; one that failed ends with a row that says so.

    Args:
        outcomes: what the benchmarks left.
        verdict: say whether goals are reached.
        link: what to show for the name of a benchmark.

    Returns:
        The table, without a newline at its end.
    """
    lines = [head()]
    for outcome in outcomes:
        name = link(outcome.benchmark)
        lines += [row(name, result, verdict) for result in outcome.results]
        if outcome.failure:
            rest = [""] * (len(COLUMNS) - 2)
            lines.append(line((name, f"**failed**: {outcome.failure}", *rest)))
    return "\n".join(lines)
