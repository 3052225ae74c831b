"""Paths that flip binary weights one after another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from toroids.arguments.checked import checked_methods
from toroids.binary.weights import BinaryWeights
from toroids.errors import ToroidsError
from toroids.geometry.paths import Path, check_time
from toroids.params import Params


@checked_methods
class BitPath:
    """Flips the weights in which two networks differ, one after another.

    A shortest path of the hypercube; there are as many as orders. Real parameters and buffers, as
    those of batch norms, move on a path of their own.

    Attributes:
        a: the start.
        b: the end.
        order: positions in the row of all binary weights, in the order of flipping.

    Example:
        >>> import torch, toroids as td
        >>> make = td.models.binary_fully_connected
        >>> cube = td.geometry.Hypercube(td.discover(make([5, 3, 2]), torch.ones(1, 5)))
        >>> networks = [make([5, 3, 2], seed=seed).state_dict() for seed in (0, 1)]
        >>> a, b = (td.canonicalize(cube.group, network) for network in networks)
        >>> path = cube.geodesic(a, b)
        >>> len(path) == round(cube.distance(a, b) * cube.dimension)
        True
    """

    def __init__(
        self,
        a: Params,
        b: Params,
        weights: BinaryWeights,
        order: Tensor | Sequence[int] | None = None,
        generator: torch.Generator | None = None,
        rest: Path | None = None,
    ) -> None:
        """Joins two networks; `Hypercube.geodesic` checks them and fills in the rest.

        Args:
            a: the start, its binary weights -1 and +1.
            b: the end.
            weights: which are binary.
            order: every position in which `a` and `b` differ, once; drawn uniformly when None.
            generator: source of a random order, on the CPU; seeded with 0 when None.
            rest: how everything else moves; it stays as in `a` when None.

        Raises:
            ToroidsError: the order is not one of the positions in which the two differ.
        """
        self.a, self.b, self.weights, self._rest = dict(a), dict(b), weights, rest
        self._start = weights.flat(a)
        apart = (self._start != weights.flat(b)).nonzero().flatten()
        if order is None:
            generator = generator or torch.Generator().manual_seed(0)
            order = apart[torch.randperm(len(apart), generator=generator).to(apart.device)]
        elif not _is_order(torch.as_tensor(order), apart):
            raise ToroidsError(
                f"the order has {len(order)} positions; pass every one of the {len(apart)} in "
                "which the networks differ, once."
            )
        self.order = torch.as_tensor(order, device=apart.device)

    def __len__(self) -> int:
        """Number of flips."""
        return len(self.order)

    def __call__(self, t: float) -> dict[str, Tensor]:
        """Returns the parameters after the first t of the flips, rounded.

        Raises:
            ToroidsError: `t` is outside [0, 1].
        """
        check_time(t)
        row = self._start.clone()
        flipped = self.order[: round(t * len(self.order))]
        row[flipped] = -row[flipped]
        others = self.a if self._rest is None else self._rest(t)
        return {**others, **self.weights.tensors(row, self.a)}


def _is_order(order: Tensor, apart: Tensor) -> bool:
    """Whether whole numbers are the given positions, each of them once."""
    whole = not (order.is_floating_point() or order.is_complex())
    return whole and torch.equal(order.sort().values, apart)
