"""Error and loss on the plane through three networks, in true distances.

Every value stands where its network is: row i and column j of the grid belong to y[i] and x[j], and
the grid goes through the three networks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from toroids.align.problem import Progress
from toroids.arguments import checked
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import owners_of
from toroids.evaluation.summary import Evaluation
from toroids.landscape.grid import Grid
from toroids.landscape.manifold import check_three, toroid_of
from toroids.landscape.plane import Plane, lines
from toroids.landscape.recalibrate import between
from toroids.params import Params


@dataclass(frozen=True)
class Section:
    """Error and loss on the plane through three networks; float64 tensors on the CPU.

    Attributes:
        x: positions of the n columns along b - a, in Euclidean distance from a.
        y: positions of the m rows along the rest of c - a, in Euclidean distance.
        error: mean error, of shape (m, n); NaN where outputs are not finite.
        loss: mean loss, of shape (m, n).
        error_stderr: standard error of `error` over the examples, of shape (m, n).
        evaluated: whether a point was evaluated, of shape (m, n); elsewhere the values are
            interpolated, which happens only with a tolerance.
        points: coordinates (x, y) of a, b and c, of shape (3, 2); all are on the grid.
        errors: errors of a, b and c, of shape (3,).
        notes: a sentence for every point whose outputs are not finite.

    See `section` for an example.
    """

    x: Tensor
    y: Tensor
    error: Tensor
    loss: Tensor
    error_stderr: Tensor
    evaluated: Tensor
    points: Tensor
    errors: Tensor
    notes: tuple[str, ...] = ()


@checked
def section(
    landscape: Landscape,
    networks: Sequence[Params],
    resolution: int | tuple[int, int] = 25,
    *,
    margin: float = 0.2,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Section:
    """Measures error and loss on the plane through three networks.

    A point of the plane is a combination of the three networks with weights that sum to one;
    floating buffers are combined alike but do not count in distances, integer ones stay those of
    the first. Where one of the three lies, it is evaluated as it is, buffers included.

    Args:
        landscape: model, data and metric. Where it is on a toroid, every point is moved to the
            nearest one of the toroid before it is evaluated, and the three networks are canonical;
            distances stay those of the plane. Statistics of batch norms are estimated anew
            everywhere but at the three networks, unless it keeps them.
        networks: a, the origin of the plane; b, on its first axis; and c, above the first axis.
        resolution: columns and rows, at least 2 each, or one number for both. Lines close to a
            network are moved to go through it, and up to one row or column is added per network
            where that would merge two lines.
        margin: how far the grid goes beyond the three networks, relative to their extent.
        tolerance: where given, a grid of every fourth line is evaluated first, and then only
            within cells whose corners differ by more in their errors; what is narrower than such a
            cell can be missed.
        progress: called with a text, the number of points done, and of all points (0: unknown).

    Returns:
        The grid, and where the three networks are on it.

    Raises:
        ToroidsError: the three networks lie on one line, a resolution, margin or tolerance that
            makes no grid, or a landscape on a hypercube, which has no planes.
        ParamsError: there are not three networks, or one is not of the model's architecture, not
            finite, or not canonical on a toroid.
        DataError: as in `evaluate`.

    Example:
        >>> import torch, toroids as td
        >>> models = [td.models.fully_connected([2, 3, 2], seed=seed) for seed in range(3)]
        >>> data = (torch.randn(8, 2), torch.zeros(8, dtype=torch.long))
        >>> landscape = td.Landscape(models[0], data)
        >>> plane = td.section(landscape, [model.state_dict() for model in models], (9, 7))
        >>> plane.error.shape
        torch.Size([7, 9])
        >>> bool((plane.x == plane.points[1, 0]).any())  # b lies on a column
        True
    """
    columns, rows = _checked(resolution, margin, tolerance)
    toroid = None if landscape.on is None else toroid_of(landscape)
    check_three(landscape, networks)
    a, b, c = networks
    plane = Plane(a, b, c, dict.fromkeys(owners_of(landscape.model).values()))
    x = lines(plane.points[:, 0].tolist(), columns, margin)
    y = lines(plane.points[:, 1].tolist(), rows, margin)
    ready = between(landscape)

    def evaluate(*place: float) -> Evaluation:
        params: Params = plane(*place)
        if plane.network_at(*place) is None:
            params = ready(params if toroid is None else toroid.project(params))
        return landscape.measure(params)

    grid = Grid(x, y, evaluate, progress)
    at_columns, at_rows = (
        [int((axis == position).nonzero()) for position in positions.tolist()]
        for axis, positions in zip((x, y), plane.points.T, strict=True)
    )
    if tolerance is None:
        grid.fill()
    else:
        grid.refine(tolerance, at_rows, at_columns)
    return Section(
        x=x,
        y=y,
        **grid.values,
        evaluated=grid.evaluated,
        points=plane.points,
        errors=grid.values["error"][at_rows, at_columns],
        notes=tuple(grid.notes),
    )


def _checked(
    resolution: int | tuple[int, int], margin: float, tolerance: float | None
) -> tuple[int, int]:
    sides = (resolution,) * 2 if isinstance(resolution, int) else resolution
    whole = isinstance(sides, Sequence) and all(isinstance(side, int) for side in sides)
    if not whole or len(sides) != 2 or min(sides) < 2:
        raise ToroidsError(
            f"the resolution is {resolution}; pass at least 2 columns and 2 rows, or one number."
        )
    if not 0 <= margin < math.inf:
        raise ToroidsError(f"the margin is {margin}; pass a share of the extent, 0 or more.")
    if tolerance is not None and not tolerance >= 0:
        raise ToroidsError(f"the tolerance is {tolerance}; pass an error of 0 or more, or None.")
    return sides[0], sides[1]
