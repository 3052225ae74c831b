"""Numbers and names as a reader sees them."""

from collections.abc import Callable, Mapping
from typing import Any

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
PARTS = {
    "permutations": "geodesic, aligned by permutations only",
    "scales": "geodesic, aligned by permutations and scales",
    "heads": "geodesic, aligned by these and the heads' matrices",
    "learned": "geodesic, aligned by the loss",
}
BENDS = {
    "bend": "two segments over a trained bend",
    "bend_greedy": "two segments over a trained bend, greedy flips",
}
CLAIMS = {
    "R1": "Solvers find minima of different flatness",
    "R2": "Flatness goes with test error",
    "R3": "Removing the symmetries brings networks closer",
    "R4": "Barriers between flat minima are small",
    "R5": "One bend joins minima without error",
    "R6": "Binary networks show the same picture",
    "R7": "What each removed symmetry contributes",
    "R8": "Wide flat minima reach most others",
}


def label(group: str) -> str:
    """Writes a solver's name, or a pair's, as words."""
    return group.replace("_", " ").replace("sgd", "SGD")


def prose(text: str) -> str:
    """Writes a sentence of the study: names as words, no line ends before a percent sign."""
    return label(text).replace(" %", "\N{NO-BREAK SPACE}%")


def sentence(group: str) -> str:
    """Writes a name as the beginning of a sentence."""
    words = label(group)
    return words[:1].upper() + words[1:]


def short(name: str, architecture: str) -> str:
    """Writes a network's name without its architecture, which the heading says."""
    return label(name.removeprefix(f"{architecture}-"))


def plural(count: int, noun: str) -> str:
    """Writes a count with its noun."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else many}"


def quantity(row: Mapping[str, Any], unit: str = "fraction") -> str:
    """Writes an estimate with its 95 % interval.

    Args:
        row: has `estimate`, `low` and `high`, each a number or None.
        unit: "fraction" is written in percent; "radians", "ratio", "correlation" and "networks"
            are written as they are.

    Returns:
        For example "3.20 % [2.10, 4.30]", with a space that breaks no line.
    """
    if row["estimate"] is None:
        return "undefined"
    number, sign = _written(unit)
    text = f"{number(row['estimate'])}{sign}"
    if row.get("low") is None or row.get("high") is None:
        return text
    return f"{text} [{number(row['low'])}, {number(row['high'])}]"


def value(number: float | None, unit: str = "fraction") -> str:
    """Writes one number in its unit."""
    return quantity({"estimate": number, "low": None, "high": None}, unit)


def _written(unit: str) -> tuple[Callable[[float], str], str]:
    if unit == "fraction":
        return _percent, "\N{NO-BREAK SPACE}%"
    sign = {"radians": " rad", "networks": " networks"}.get(unit, "")
    return lambda number: _signed(f"{number:.3g}"), sign


def _percent(number: float) -> str:
    return _signed(f"{100 * number:.2f}")


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}", 1) if text.startswith("-") else text


def probability(p: float | None) -> str:
    """Writes a p-value."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """Writes a time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"
