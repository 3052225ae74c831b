"""Numbers and names as a reader sees them."""

from collections.abc import Callable

from toroids.study.store import Row

PATHS = {
    "raw": "line, raw",
    "normalised": "line, normalised",
    "aligned": "line, aligned",
    "both": "line, normalised and aligned",
    "geodesic": "geodesic, normalised and aligned",
    "flips_raw": "random flips, not aligned",
    "flips": "random flips, aligned",
    "flips_greedy": "greedy flips, aligned",
}
BENDS = {
    "bend": "two segments over a trained bend",
    "bend_greedy": "two segments over a trained bend, greedy flips",
}


def label(group: str) -> str:
    """Writes a solver's name, or a pair's, as words."""
    return group.replace("_", " ").replace("sgd", "SGD")


def sentence(group: str) -> str:
    """Writes a solver's name as the beginning of a sentence."""
    words = label(group)
    return words[0].upper() + words[1:]


def percent(row: Row) -> str:
    """Writes a fraction with its 95 % interval in percent."""
    return _with_interval(row, lambda value: f"{100 * value:.2f}", " %")


def plain(row: Row) -> str:
    """Writes a number with its 95 % interval."""
    return _with_interval(row, lambda value: f"{value:.2f}", "")


def _with_interval(row: Row, number: Callable[[float], str], unit: str) -> str:
    if row["estimate"] is None:
        return "undefined"
    text = f"{number(row['estimate'])}{unit}"
    if row["low"] is None:
        return text
    return f"{text} [{number(row['low'])}, {number(row['high'])}]"


def apart(a: Row, b: Row) -> bool:
    """Tells whether the intervals of two summary rows do not overlap."""
    if None in (a["low"], a["high"], b["low"], b["high"]):
        return False
    return bool(a["high"] < b["low"] or b["high"] < a["low"])
