"""Error along many shortest paths between two networks with binary weights.

Every order of flipping the weights that differ is a geodesic of the hypercube, so that a profile
between two of its corners is one of many. A mean over random orders tells what lies between the
two; a greedy order, how low one can go without a detour.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.arguments.checked import checked
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import check_params
from toroids.geometry.bit_path import BitPath
from toroids.landscape.greedy_order import Greedy, greedy_order
from toroids.landscape.manifold import cube_of
from toroids.landscape.profile import Profile, profile
from toroids.params import Params
from toroids.progress import Progress
from toroids.result import Result


@dataclass(frozen=True, repr=False)
class FlipProfile(Result):
    """Error and loss along several orders of flips; float64 tensors.

    Attributes:
        t: fraction of the flips that are made, ascending in [0, 1], of shape (points,).
        error: mean error over the orders, of shape (points,).
        error_spread: standard deviation of the error over the orders; NaN for one order.
        error_stderr: standard error of one order's error over the examples, the mean over the
            orders; all orders see the same examples, so that more of them do not lower it.
        loss: mean loss over the orders, of shape (points,).
        curves: error of every order, of shape (orders, points).
        barriers: of every order the largest error minus the larger end, of shape (orders,).
        lowest: the path of the lowest barrier, of several the one of the lowest mean error.
        order: "random" or "greedy".
        notes: what is to be known of a curve, as in `profile`.

    See `flip_profile` for an example.
    """

    t: Tensor
    error: Tensor
    error_spread: Tensor
    error_stderr: Tensor
    loss: Tensor
    curves: Tensor
    barriers: Tensor
    lowest: BitPath
    order: str = "random"
    notes: tuple[str, ...] = ()

    also = ("barrier", "barrier_stderr")

    @property
    def barrier(self) -> float:
        """The mean barrier over the orders, not the barrier of the mean error, which is lower."""
        return float(self.barriers.mean())

    @property
    def barrier_stderr(self) -> float:
        """The standard error of `barrier` over the orders; NaN for one order."""
        count = len(self.barriers)
        return float(self.barriers.std()) / math.sqrt(count) if count > 1 else math.nan


@checked
def flip_profile(
    landscape: Landscape,
    a: Params,
    b: Params,
    orders: int | Greedy = 8,
    points: int = 25,
    *,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> FlipProfile:
    """Measures error and loss along several geodesics of the hypercube between two networks.

    With pi an order of the n weights in which a and b differ, the corner at t has the first
    round(t n) of them flipped; its barrier is

        B(pi) = max_t error(t) - max(error(0), error(1)).

    A random order is uniform. A `Greedy` one grows from both ends towards the middle in `blocks`:
    among the weights with the lowest -2 w_i g_i, g the straight-through gradient of the loss, and
    random blocks of the better quarter of this ranking, it takes the block with the lowest error,
    then loss. Several greedy orders differ by what the generator draws.

    Costs `points` evaluations for every order. A greedy one also costs `blocks` gradients, each as
    dear as about three evaluations, and `blocks` (1 + `candidates`) evaluations, with batch norms
    about twice as many.

    Args:
        landscape: model, data and metric, on the hypercube of the networks. Greedy orders are
            chosen by its training data; those that are chosen on the data make its own barriers
            look low.
        a: a canonical network.
        b: another one, aligned to it.
        orders: how many random orders, at least 1; or `Greedy`, which says how many and how.
        points: equally spaced positions on every path, both ends included. Within a block a greedy
            curve rises and falls again; to see that takes as many points as blocks or more.
        generator: source of orders, on the CPU; seeded with 0 when None.
        progress: called with a text, the number of orders done, and of all orders.

    Returns:
        All curves and barriers, their means, and the best path.

    Raises:
        ToroidsError: a landscape that is not on a hypercube, no order, or fewer than two points.
        ParamsError: a network is not of the model's architecture, not finite or not canonical.
        DataError: as in `evaluate`.

    Example:
        >>> import torch, toroids as td
        >>> make = td.models.binary_fully_connected
        >>> data = (torch.randn(8, 5), torch.zeros(8, dtype=torch.long))
        >>> model = make([5, 3, 2])
        >>> cube = td.geometry.Hypercube(td.discover(model, torch.ones(1, 5)))
        >>> a = td.canonicalize(cube.group, model.state_dict())
        >>> b = td.align(cube.group, make([5, 3, 2], seed=1).state_dict(), to=a).params
        >>> landscape = td.Landscape(model, data, on=cube)
        >>> found = td.flip_profile(landscape, a, b, orders=4, points=5)
        >>> found.curves.shape, bool(found.barriers.min() <= found.barrier)
        (torch.Size([4, 5]), True)
        >>> td.flip_profile(landscape, a, b, td.landscape.Greedy(2, blocks=3), points=5).order
        'greedy'

    Reference:
        Frankle et al., Linear Mode Connectivity and the Lottery Ticket Hypothesis, 2020,
        arXiv 1912.05671, for the barrier.
    """
    cube = cube_of(landscape)
    greedy = orders if isinstance(orders, Greedy) else None
    count = orders if isinstance(orders, int) else orders.count
    if count < 1 or points < 2:
        raise ToroidsError(
            f"there are {count} orders of {points} points; pass at least 1 order and 2 points, "
            "the ends."
        )
    check_params(landscape.model, a, "network a")
    check_params(landscape.model, b, "network b")
    generator = generator or torch.Generator().manual_seed(0)
    paths: list[BitPath] = []
    curves: list[Profile] = []
    order = "random" if greedy is None else "greedy"
    for number in range(count):
        if progress is not None:
            progress(f"{order} orders", number, count)
        path = cube.geodesic(a, b, generator)
        if greedy is not None and len(path):
            path = cube.geodesic(a, b, order=greedy_order(landscape, path, greedy, generator))
        paths.append(path)
        curves.append(profile(landscape, path, points))
    return _joined(paths, curves, order)


def _joined(paths: list[BitPath], curves: list[Profile], order: str) -> FlipProfile:
    errors = torch.stack([curve.error for curve in curves])
    barriers = torch.tensor([curve.barrier for curve in curves], dtype=torch.float64)
    ranks = [
        (math.inf if math.isnan(curve.barrier) else curve.barrier, float(curve.error.nanmean()))
        for curve in curves
    ]
    spread = errors.std(dim=0) if len(curves) > 1 else torch.full_like(errors[0], math.nan)
    return FlipProfile(
        t=curves[0].t,
        error=errors.mean(dim=0),
        error_spread=spread,
        error_stderr=torch.stack([curve.error_stderr for curve in curves]).mean(dim=0),
        loss=torch.stack([curve.loss for curve in curves]).mean(dim=0),
        curves=errors,
        barriers=barriers,
        lowest=paths[min(range(len(paths)), key=ranks.__getitem__)],
        order=order,
        notes=tuple(f"order {n}: {note}" for n, curve in enumerate(curves) for note in curve.notes),
    )
