"""Maps of all networks of an architecture: points in the plane whose distances are those measured.

Metric multidimensional scaling minimises the stress, the squared differences between the distances
d of the points and those measured, delta, by majorisation (SMACOF): every point moves to

    x_i <- 1/n sum_j (delta_ij / d_ij) (x_i - x_j),

which never raises the stress. It starts from the classical solution and so needs no random numbers.
How much of the distances the plane cannot show is Kruskal's stress-1,

    sqrt(sum (d - delta)^2 / sum d^2).

A map has no orientation of its own. The first one of an architecture is turned to its principal
axes; the map after alignment is turned, and mirrored if need be, onto the one before.

References:
    J. B. Kruskal, Multidimensional scaling by optimizing goodness of fit to a nonmetric hypothesis,
    1964. J. de Leeuw, Applications of convex analysis to multidimensional scaling, 1977.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toroids.statistics.claims.exchange import table_of
from toroids.statistics.measured import Network, Pair
from toroids.statistics.resampling import Floats
from toroids.statistics.row import OfArchitecture, Real, Row, alike
from toroids.statistics.summary import MOMENTS

FEWEST = 3  # two points are a line
STEPS = 1000  # majorisation is slow; far more than it needs for some hundred networks
# Stops when a step lowers the squared stress by less than this share of it: the map then moves by
# far less than a symbol's width.
SETTLED = 1e-7


@dataclass(frozen=True, kw_only=True)
class Map(OfArchitecture):
    """Networks as points of a plane.

    Attributes:
        moment: "before" or "after" alignment.
        measure: of the distances: "mean_angle", in radians, or "hamming".
        names: of the networks.
        x: their places.
        y: their places.
        stress: what of the distances the plane cannot show.
    """

    kind: ClassVar[str] = "map"
    moment: str
    measure: str
    names: list[str]
    x: list[Real]
    y: list[Real]
    stress: Real

    def __post_init__(self) -> None:
        alike(self.names, self.x, self.y)


def make_maps(rows: Sequence[Row]) -> list[Map]:
    """Computes the map of every architecture, before and after alignment.

    Args:
        rows: measured rows of a study, finished or not.

    Returns:
        The maps; none where there are fewer than three networks or a pair of them was not measured.
    """
    networks = [row for row in rows if isinstance(row, Network)]
    pairs = [row for row in rows if isinstance(row, Pair)]
    return [
        drawn
        for architecture in dict.fromkeys(row.architecture for row in networks)
        for drawn in _of_architecture(
            architecture,
            [row.name for row in networks if row.architecture == architecture],
            [row for row in pairs if row.architecture == architecture],
        )
    ]


def _of_architecture(architecture: str, names: list[str], pairs: Sequence[Pair]) -> list[Map]:
    if len(names) < FEWEST or not pairs:
        return []
    measure = "hamming" if pairs[0].hamming is not None else "mean_angle"
    maps: list[Map] = []
    before = None
    for moment in MOMENTS:
        distances = {(row.a, row.b): getattr(row.measures[measure], moment) for row in pairs}
        table = table_of(names, distances)
        np.fill_diagonal(table, 0.0)
        if not np.isfinite(table).all():
            continue
        points = scale(table)
        points = _principal(points) if before is None else _turned(points, before)
        before = points
        maps.append(
            Map(
                architecture=architecture,
                moment=moment,
                measure=measure,
                names=names,
                x=points[:, 0].tolist(),
                y=points[:, 1].tolist(),
                stress=stress(points, table),
            )
        )
    return maps


def scale(distances: Floats) -> Floats:
    """Places points in the plane so that their distances are close to given ones.

    Args:
        distances: symmetric, zero on the diagonal, of shape (n, n).

    Returns:
        Points of shape (n, 2), their mean at the origin.
    """
    points = _classical(distances)
    squares = _squares(points, distances)
    for _ in range(STEPS):
        apart = between(points)
        ratio = np.divide(distances, apart, out=np.zeros_like(apart), where=apart > 0)
        points = (ratio.sum(axis=1)[:, None] * points - ratio @ points) / len(points)
        before, squares = squares, _squares(points, distances)
        if before - squares <= SETTLED * before:
            break
    return points


def stress(points: Floats, distances: Floats) -> float:
    """Computes Kruskal's stress-1 of a map.

    Args:
        points: of shape (n, 2).
        distances: what their distances should be, of shape (n, n).

    Returns:
        A number from 0, nothing is lost; 0 if all points are the same.
    """
    whole = float((between(points) ** 2).sum())
    return float(np.sqrt(_squares(points, distances) / whole)) if whole > 0 else 0.0


def between(points: Floats) -> Floats:
    """Computes the Euclidean distances of n points, of shape (n, n)."""
    found: Floats = np.linalg.norm(points[:, None] - points[None], axis=2)
    return found


def _squares(points: Floats, distances: Floats) -> float:
    return float(((between(points) - distances) ** 2).sum())


def _classical(distances: Floats) -> Floats:
    """Torgerson's solution: principal components of the doubly centred squares."""
    count = len(distances)
    centring = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(-centring @ distances**2 @ centring / 2)
    found: Floats = vectors[:, [-1, -2]] * np.sqrt(np.maximum(values[[-1, -2]], 0.0))
    return found


def _principal(points: Floats) -> Floats:
    """Turns a map to its principal axes; the point farthest along each has a positive place."""
    axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2]
    turned = (points - points.mean(axis=0)) @ axes.T
    farthest = np.abs(turned).argmax(axis=0)
    signs = np.where(turned[farthest, [0, 1]] < 0, -1.0, 1.0)
    found: Floats = turned * signs
    return found


def _turned(points: Floats, onto: Floats) -> Floats:
    """Turns or mirrors a map so that it lies closest to another (orthogonal Procrustes)."""
    points = points - points.mean(axis=0)
    left, _, right = np.linalg.svd(points.T @ onto)
    found: Floats = points @ (left @ right)
    return found
