"""Error and loss on the plane through three networks, or along a training, in true distances.

Every value stands where its network is: row i and column j of the grid belong to y[i] and x[j], and
the grid goes through the three networks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.arguments.checked import checked
from toroids.errors import NotFiniteError, ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import owners_of
from toroids.evaluation.summary import Evaluation
from toroids.landscape.grid import Grid
from toroids.landscape.manifold import check_networks, toroid_of
from toroids.landscape.plane import Plane, lines
from toroids.landscape.principal import PrincipalPlane
from toroids.landscape.recalibrate import between
from toroids.params import Params
from toroids.progress import Progress
from toroids.result import Result

AXES = ("networks", "principal")


@dataclass(frozen=True, repr=False)
class Section(Result):
    """Error and loss on a plane through networks; float64 tensors on the CPU.

    Attributes:
        x: positions of the n columns along b - a, in Euclidean distance from a; or along the first
            principal axis, from the last network.
        y: positions of the m rows along the rest of c - a, or the second principal axis.
        error: mean error, of shape (m, n); NaN where outputs are not finite.
        loss: mean loss, of shape (m, n).
        error_stderr: standard error of `error` over the examples, of shape (m, n).
        evaluated: whether a point was evaluated, of shape (m, n); elsewhere the values are
            interpolated, which happens only with a tolerance.
        points: coordinates (x, y) of the k networks, of shape (k, 2): of a, b and c, which are all
            on the grid, or of all networks along principal axes, where the last is on the grid.
        errors: errors of the networks themselves, of shape (k,).
        away: distances of the networks from the plane, of shape (k,); 0 of a, b and c.
        explained: which shares of the squared distances of the networks from the origin lie along
            the two axes, of shape (2,).
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
    away: Tensor
    explained: Tensor
    notes: tuple[str, ...] = ()


@checked
def section(
    landscape: Landscape,
    networks: Sequence[Params],
    resolution: int | tuple[int, int] = 25,
    *,
    axes: str = "networks",
    margin: float = 0.2,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Section:
    """Measures error and loss on the plane through three networks, or along a training.

    With axes="principal" the plane is laid through the checkpoints of one training, in order: it
    goes through the last, which is the origin, along the two principal axes of the differences of
    the others from it. No plane through the last has a smaller sum of squared distances from them.
    What a checkpoint's place in the plane has for an error is on the grid, its own in `errors`;
    `away` says how far it is from there.

    A point of the plane is a combination of the three networks with weights that sum to one;
    floating buffers are combined alike but do not count in distances, integer ones stay those of
    the first. Where one of the three lies, it is evaluated as it is, buffers included.

    Args:
        landscape: model, data and metric. Where it is on a toroid, every point is moved to the
            nearest one of the toroid before it is evaluated, and the networks are canonical;
            distances stay those of the plane. Statistics of batch norms are estimated anew
            everywhere but at the networks, unless it keeps them.
        networks: a, the origin of the plane; b, on its first axis; and c, above the first axis; or
            three or more checkpoints, from the first to the last.
        resolution: columns and rows, at least 2 each, or one number for both. Lines close to a
            network are moved to go through it, and up to one row or column is added per network
            where that would merge two lines.
        axes: "networks" for the plane through three, "principal" for that along many.
        margin: how far the grid goes beyond the networks, relative to their extent.
        tolerance: where given, a grid of every fourth line is evaluated first, and then only
            within cells whose corners differ by more in their errors; what is narrower than such a
            cell can be missed.
        progress: called with a text, the number of points done, and of all points (0: unknown).

    Returns:
        The grid, and where the networks are on it.

    Raises:
        ToroidsError: the networks lie on one line, a resolution, margin or tolerance that makes no
            grid, other axes, or a landscape on a hypercube, which has no planes.
        ParamsError: there are not three networks, or fewer of a training, or one is not of the
            model's architecture, not finite, or not canonical on a toroid.
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
        >>> path = td.geometry.Line(models[0].state_dict(), models[1].state_dict())
        >>> checkpoints = [path(0.0), models[2].state_dict(), path(0.5), path(1.0)]
        >>> along = td.section(landscape, checkpoints, (9, 7), axes="principal")
        >>> along.points.shape, along.away.shape
        (torch.Size([4, 2]), torch.Size([4]))

    Reference:
        H. Li et al., Visualizing the Loss Landscape of Neural Nets, 2018, arXiv 1712.09913, section
        7, for the principal axes.
    """
    columns, rows = _checked(resolution, margin, tolerance)
    toroid = None if landscape.on is None else toroid_of(landscape)
    plane = _plane(landscape, networks, axes)
    x = lines(plane.through(0), columns, margin)
    y = lines(plane.through(1), rows, margin)
    ready = between(landscape)

    def evaluate(*place: float) -> Evaluation:
        params: Params = plane(*place)
        if plane.network_at(*place) is None:
            params = ready(params if toroid is None else toroid.project(params))
        return landscape.measure(params)

    grid = Grid(x, y, evaluate, progress)
    at_columns, at_rows = (
        [int((line == position).nonzero()) for position in plane.through(number)]
        for number, line in enumerate((x, y))
    )
    if tolerance is None:
        grid.fill()
    else:
        grid.refine(tolerance, at_rows, at_columns)
    if isinstance(plane, Plane):
        errors, notes = grid.values["error"][at_rows, at_columns], grid.notes
    else:
        errors, notes = _errors(landscape, networks, grid.notes)
    return Section(
        x=x,
        y=y,
        **grid.values,
        evaluated=grid.evaluated,
        points=plane.points,
        errors=errors,
        away=plane.away,
        explained=plane.explained,
        notes=tuple(notes),
    )


def _plane(landscape: Landscape, networks: Sequence[Params], axes: str) -> Plane | PrincipalPlane:
    """The plane that was asked for, through networks of which every one is checked."""
    if axes not in AXES:
        raise ToroidsError(f"there are no axes {axes!r}; choose from {', '.join(AXES)}.")
    check_networks(landscape, networks, most=3 if axes == "networks" else None)
    names = dict.fromkeys(owners_of(landscape.model).values())
    if axes == "principal":
        return PrincipalPlane(networks, names)
    a, b, c = networks
    return Plane(a, b, c, names)


def _errors(
    landscape: Landscape, networks: Sequence[Params], notes: Sequence[str]
) -> tuple[Tensor, list[str]]:  # fmt: skip
    """The errors of networks that are not on the grid, and notes on those that have none."""
    found, more = [], list(notes)
    for number, network in enumerate(networks):
        try:
            found.append(float(landscape.measure(network).error))
        except NotFiniteError as error:
            found.append(math.nan)
            more.append(f"of network {number} {error}")
    return torch.tensor(found, dtype=torch.float64), more


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
