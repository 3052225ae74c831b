"""Error and loss on the plane through three networks, in true distances.

Every value stands where its network is: row i and column j of the grid belong to y[i] and x[j], and
the grid goes through the three networks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from toroids.align.problem import Progress
from toroids.arguments import checked
from toroids.errors import ToroidsError
from toroids.evaluation.batches import Data
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import Metric
from toroids.evaluation.running import check_params, owners_of
from toroids.evaluation.summary import Evaluation
from toroids.geometry.toroid import Toroid
from toroids.landscape.grid import Grid
from toroids.landscape.plane import Plane, lines
from toroids.landscape.recalibrate import Recalibrator, batch_norms, check_batch_norm
from toroids.params import Params, check_placed_alike

# On a CPU larger batches are slower: activations of some megabytes are given back to the system
# after every layer, and their pages come back one by one. A GPU takes more at once.
BATCH_SIZE = 1024


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
    model: nn.Module,
    a: Params,
    b: Params,
    c: Params,
    data: Data,
    resolution: int | tuple[int, int] = 25,
    *,
    margin: float = 0.2,
    toroid: Toroid | None = None,
    tolerance: float | None = None,
    calibration: Data | None = None,
    batch_norm: str = "recalibrate",
    metric: str | Metric = "classification",
    temperature: float = 1.0,
    batch_size: int = BATCH_SIZE,
    output_key: str | int | None = None,
    progress: Progress | None = None,
) -> Section:
    """Measures error and loss on the plane through three networks.

    A point of the plane is a combination of the three networks with weights that sum to one;
    floating buffers are combined alike but do not count in distances, integer ones stay those of
    `a`. Where one of the three lies, it is evaluated as it is, buffers included.

    Args:
        model: gives the architecture; it is left as it was.
        a: the origin of the plane; parameters and buffers by name.
        b: on its first axis.
        c: above the first axis.
        data: a pair `(inputs, targets)` or an iterable of such batches.
        resolution: columns and rows, at least 2 each, or one number for both. Lines close to a
            network are moved to go through it, and up to one row or column is added per network
            where that would merge two lines.
        margin: how far the grid goes beyond the three networks, relative to their extent.
        toroid: where given, every point is moved to the nearest one of the toroid before it is
            evaluated, and the three networks are canonical; distances stay those of the plane.
        tolerance: where given, a grid of every fourth line is evaluated first, and then only
            within cells whose corners differ by more in their errors; what is narrower than such a
            cell can be missed.
        calibration: training data, on which batch-norm statistics are estimated; `data` when None.
        batch_norm: "recalibrate" estimates the statistics of batch norms anew everywhere but at
            the three networks; "keep" combines theirs.
        metric: as in `evaluate`.
        temperature: as in `evaluate`.
        batch_size: how many examples of a pair of tensors are run at once.
        output_key: which entry of a structured output holds the logits.
        progress: called with a text, the number of points done, and of all points (0: unknown).

    Returns:
        The grid, and where the three networks are on it.

    Raises:
        ToroidsError: the three networks lie on one line, or a resolution, margin or tolerance that
            makes no grid.
        ParamsError: a network is not of the model's architecture, not finite, or not canonical
            where a toroid is given.
        DataError: as in `evaluate`.

    Example:
        >>> import torch, toroids as td
        >>> a, b, c = (td.models.fully_connected([2, 3, 2], seed=s) for s in range(3))
        >>> data = (torch.randn(8, 2), torch.zeros(8, dtype=torch.long))
        >>> plane = td.section(a, a.state_dict(), b.state_dict(), c.state_dict(), data, (9, 7))
        >>> plane.error.shape
        torch.Size([7, 9])
        >>> bool((plane.x == plane.points[1, 0]).any())  # b lies on a column
        True
    """
    columns, rows = _checked(resolution, margin, tolerance)
    check_batch_norm(batch_norm)
    for what, network in (("a", a), ("b", b), ("c", c)):
        check_params(model, network, f"network {what}")
        check_placed_alike(a, network)
        if toroid is not None:
            toroid.check(network, f"network {what}")
    plane = Plane(a, b, c, dict.fromkeys(owners_of(model).values()))
    x = lines(plane.points[:, 0].tolist(), columns, margin)
    y = lines(plane.points[:, 1].tolist(), rows, margin)
    evaluator = Landscape(model, data, metric=metric, batch_size=batch_size, output_key=output_key)
    examples = evaluator if calibration is None else calibration
    anew = batch_norm == "recalibrate" and batch_norms(model)
    recalibrate = Recalibrator(model, examples, batch_size) if anew else None

    def evaluate(*place: float) -> Evaluation:
        params: Params = plane(*place)
        if plane.network_at(*place) is None:
            params = params if toroid is None else toroid.project(params)
            params = params if recalibrate is None else recalibrate(params)
        return evaluator.measure(params, temperature)

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
