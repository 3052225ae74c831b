"""Which networks reach which others on the toroid without a barrier, and which reaches most.

A space of solutions is star-shaped when some of them, its centre, see all others along geodesics of
low error although those do not see each other. The more typical networks are, the smaller is the
fraction that they reach.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn

from toroids.align.alignment import align
from toroids.arguments.checked import checked
from toroids.arguments.networks import check_several
from toroids.errors import ParamsError, ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import check_params
from toroids.landscape.manifold import toroid_of
from toroids.landscape.profile import profile
from toroids.params import Params, check_placed_alike
from toroids.probe import Probe
from toroids.progress import Progress
from toroids.result import Result

# Of a standard normal number, this many on both sides hold 95 %.
NORMAL_95 = 1.959963984540054


@dataclass(frozen=True, repr=False)
class Star(Result):
    """Barriers between all pairs of n networks, and the network that reaches most others.

    Attributes:
        barriers: barrier of the error on the geodesic of every pair once it is aligned, of shape
            (n, n), symmetric with zero diagonal; NaN where there is none, see `notes`.
        distances: length of these geodesics, of shape (n, n).
        reached: fraction of the others that a network reaches with a barrier of at most
            `tolerance`, of shape (n,).
        intervals: Wilson's 95 % intervals of `reached`, for others drawn independently, of shape
            (n, 2).
        centre: number of the network that reaches most, of several the one with the smallest mean
            barrier.
        tolerance: the largest barrier that counts as none.
        notes: a sentence for every pair without a barrier; it counts as not reached.

    See `star` for an example.
    """

    barriers: Tensor
    distances: Tensor
    reached: Tensor
    intervals: Tensor
    centre: int
    tolerance: float
    notes: tuple[str, ...] = ()


@checked
def star(
    landscape: Landscape,
    networks: Sequence[Params],
    tolerance: float = 0.01,
    points: int = 25,
    *,
    method: str = "descent",
    probe: Probe | None = None,
    progress: Progress | None = None,
) -> Star:
    """Aligns every pair of networks and measures the barrier on the geodesic between them.

    Costs n (n - 1) / 2 alignments and as many profiles.

    Args:
        landscape: model, data and metric, on the toroid to which the networks are brought.
        networks: two or more networks, raw or canonical.
        tolerance: the largest barrier, in units of the error, that counts as none.
        points: positions on every geodesic, both ends included.
        method: of alignment, as in `align`; "loss" looks at the landscape's training data.
        probe: as in `align`, for the methods that need it.
        progress: called with a text, the number of pairs done, and of all pairs.

    Returns:
        Barriers, distances, and how much every network reaches.

    Raises:
        ToroidsError: a landscape that is not on a toroid, fewer than two networks, fewer than two
            points, a negative tolerance, or a method that is unknown or lacks its data.
        ParamsError: a network is not of the model's architecture or not finite.
        DataError: as in `evaluate`.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([4, 8, 3], seed=0).double()
        >>> a = model.state_dict()
        >>> group = td.symmetry.fully_connected_group(a, output="classifier")
        >>> b = group.apply(group.random(torch.Generator().manual_seed(0)), a)  # a in disguise
        >>> data = (torch.randn(8, 4), torch.zeros(8, dtype=torch.long))
        >>> landscape = td.Landscape(model, data, on=td.Toroid(group))
        >>> td.star(landscape, [a, b]).reached.tolist()
        [1.0, 1.0]

    Reference:
        Annesi et al., Star-shaped space of solutions of the spherical negative perceptron, 2023,
        arXiv 2305.10623.
    """
    toroid = toroid_of(landscape)
    _check(landscape.model, networks, tolerance, points)
    count = len(networks)
    barriers = torch.zeros(count, count, dtype=torch.float64)
    distances = torch.zeros(count, count, dtype=torch.float64)
    notes = []
    pairs = list(combinations(range(count), 2))
    for done, (i, j) in enumerate(pairs):
        if progress is not None:
            progress(f"aligning network {j} to network {i}", done, len(pairs))
        alignment = align(
            toroid.given,
            networks[j],
            to=networks[i],
            method=method,
            bias=toroid.bias,
            batch_norm=toroid.batch_norm,
            probe=probe,
            landscape=landscape.calibration,
        )
        a, b = alignment.reference, alignment.params
        distances[i, j] = distances[j, i] = toroid.distance(a, b)
        try:
            path = toroid.geodesic(a, b)
        except ParamsError as error:
            barrier = math.nan
            notes.append(f"networks {i} and {j} have no barrier: {error}")
        else:
            barrier = profile(landscape, path, points).barrier
        barriers[i, j] = barriers[j, i] = barrier
    if progress is not None:
        progress("all pairs measured", len(pairs), len(pairs))
    return _star(barriers, distances, tolerance, tuple(notes))


def _star(barriers: Tensor, distances: Tensor, tolerance: float, notes: tuple[str, ...]) -> Star:
    others = ~torch.eye(len(barriers), dtype=torch.bool)
    trials = len(barriers) - 1
    successes = ((barriers <= tolerance) & others).sum(dim=1)  # NaN is not below anything
    means = [
        row[kept].nanmean().nan_to_num(nan=math.inf).item()
        for row, kept in zip(barriers, others, strict=True)
    ]
    centre = min(range(len(barriers)), key=lambda number: (-int(successes[number]), means[number]))
    return Star(
        barriers=barriers,
        distances=distances,
        reached=successes.double() / trials,
        intervals=wilson(successes, trials),
        centre=centre,
        tolerance=tolerance,
        notes=notes,
    )


def wilson(successes: Tensor, trials: int) -> Tensor:
    """Computes Wilson's 95 % interval of a probability.

    With p the fraction of successes and z the normal quantile, its ends solve
    (q - p)^2 = z^2 q (1 - q) / n in q.

    Args:
        successes: numbers of successes, of shape (k,).
        trials: how many trials, n, at least 1.

    Returns:
        Lower and upper ends, of shape (k, 2) in float64.

    Reference:
        E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    p, share = successes.double() / trials, NORMAL_95**2 / trials
    middle = p + share / 2
    half = (p * (1 - p) * share + share**2 / 4).sqrt()
    return (torch.stack([middle - half, middle + half], dim=1) / (1 + share)).clamp(0, 1)


def _check(model: nn.Module, networks: Sequence[Params], tolerance: float, points: int) -> None:
    check_several(networks, 2)
    if not tolerance >= 0:
        raise ToroidsError(f"the tolerance is {tolerance}; pass a barrier of 0 or more.")
    if points < 2:
        raise ToroidsError(f"points is {points}; a geodesic needs at least 2, its two ends.")
    for number, network in enumerate(networks):
        check_params(model, network, f"network {number}")
        check_placed_alike(networks[0], network)
