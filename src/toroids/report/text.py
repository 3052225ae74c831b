"""Numbers and names as a reader sees them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from toroids.statistics.claims.effect import Effect
from toroids.statistics.manifold import HYPERCUBE, TOROID
from toroids.statistics.summary import Summary

Estimate: TypeAlias = Summary | Effect

PATHS = {
    "raw": "line, raw",
    "normalised": "line, normalised",
    "aligned": "line, aligned",
    "balanced": "line, balanced and aligned",
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


@dataclass(frozen=True)
class Words:
    """How a report says what is measured on a manifold.

    Attributes:
        distance: of an axis of distances.
        explained: what a distance is.
        unit: what stands behind a distance; with its space.
        position: the unit of a map.
        layer: the unit of a distance in one layer.
        layers: what one line of such distances is.
        disturbed: what weights undergo.
        disturbance: of an axis of disturbances.
        quoted: one disturbance, for str.format; 100 times it comes second.
        joined: the ways of joining two networks.
    """

    distance: str
    explained: str
    unit: str
    position: str
    layer: str
    layers: str
    disturbed: str
    disturbance: str
    quoted: str
    joined: str


WORDS = {
    TOROID: Words(
        distance="mean angle (radians)",
        explained="Distance: the angle between corresponding units, as root mean square within a "
        "layer, then as root of the sum over layers.",
        unit=" rad",
        position="radians",
        layer="radians",
        layers="One line per space of units; the distance is the root of its units' summed squared "
        "angles, so that it grows with their number",
        disturbed="Every weight w becomes w (1 + σ z) with z standard normal",
        disturbance="relative weight noise σ",
        quoted="σ\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{0:g}",
        joined="Six ways to join two networks: the straight line between the weights as trained, "
        "after normalising every unit, after aligning the units, after aligning them and giving "
        "every unit the scale of least norm, after aligning and normalising, and the geodesic on "
        "the toroid.",
    ),
    HYPERCUBE: Words(
        distance="fraction of weights that differ",
        explained="Distance: the fraction of the weights that differ; 1/2 for networks that have "
        "nothing to do with each other.",
        unit="",
        position="fraction of weights",
        layer="fraction of the tensor's weights that differ",
        layers="One line per tensor of weights",
        disturbed="A fraction of the weights, drawn at random, changes its sign",
        disturbance="fraction of weights flipped",
        quoted="{1:g} % of the weights flipped",
        joined="Every path flips each weight that differs once: in random orders (the mean of "
        "several), or in one order chosen greedily by the error.",
    ),
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


def quantity(found: Estimate, unit: str = "fraction") -> str:
    """Writes an estimate with its 95 % interval.

    Args:
        found: the estimate.
        unit: "fraction" is written in percent; "radians", "ratio", "correlation" and "networks"
            are written as they are.

    Returns:
        For example "3.20 % [2.10, 4.30]", with a space that breaks no line.
    """
    text = value(found.estimate, unit)
    if found.estimate is None or found.low is None or found.high is None:
        return text
    number, _ = _written(unit)
    return f"{text} [{number(found.low)}, {number(found.high)}]"


def value(number: float | None, unit: str = "fraction") -> str:
    """Writes one number in its unit."""
    if number is None:
        return "undefined"
    written, sign = _written(unit)
    return f"{written(number)}{sign}"


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
