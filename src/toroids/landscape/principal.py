"""The plane of principal axes of many networks, as the checkpoints of one training.

With d_i the difference of network i from the last, which is the origin, and G_ij = <d_i, d_j>, the
two leading eigenvectors of G give the axes

    u_k = sum_i v_ik d_i / sqrt(lambda_k),    k = 1, 2,

orthonormal, and the plane through the last network whose squared distances from all others have the
least sum. Network j stands at (<d_j, u_1>, <d_j, u_2>), and is |d_j - x u_1 - y u_2| away from it.

Reference: H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, Visualizing the Loss Landscape of
Neural Nets, 2018, arXiv 1712.09913, section 7.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from toroids.errors import ToroidsError
from toroids.landscape.plane import FLAT, ROUNDING
from toroids.params import PIECE, Params, computing, precise, rounding_of

_PASS = "pass checkpoints between which a training went in several directions"


class PrincipalPlane:
    """A function of true distances (x, y) that gives parameters; the last network is the origin.

    Attributes:
        points: (n, 2) where the networks stand, or what of them lies in the plane.
        away: (n,) their distances from the plane.
        explained: (2,) shares of the squared distances from the last that lie along the axes.
    """

    def __init__(self, networks: Sequence[Params], names: Iterable[str]) -> None:
        """Finds the axes.

        Args:
            networks: at least three, in order; the last is the origin.
            names: the parameters that count in distances, tied ones once.

        Raises:
            ToroidsError: all networks are the same, or lie on one line.
        """
        self._networks, self._last = networks, dict(networks[-1])
        counted = [name for name in names if self._last[name].is_floating_point()]
        products, sizes = self._products(counted)
        values, vectors = torch.linalg.eigh(products)
        values, vectors = values.flip(0)[:2].clamp(min=0), vectors.flip(1)[:, :2]
        rounding = rounding_of(self._last[name] for name in counted)
        self._check(values.sqrt().tolist(), rounding * math.sqrt(sizes))
        shares = vectors / values.sqrt()
        points = products @ shares
        # signs: the first network lies to the right, what is farthest up or down lies up
        signs = torch.stack([points[0, 0], points[points[:, 1].abs().argmax(), 1]]).sign()
        signs = torch.where(signs == 0, 1.0, signs)
        self._shares, self.points = shares * signs, points * signs
        self.points[-1] = 0.0
        self.explained = values / products.trace()
        self._axes = {
            name: self._along(name)
            for name, tensor in self._last.items()
            if tensor.is_floating_point() and any(n[name] is not tensor for n in networks)
        }
        self.away = self._distances(counted)

    def _steps(self, names: Iterable[str]) -> Iterator[Tensor]:
        """Differences from the last network in float64, (n, entries), piece by piece."""
        for name in names:
            parts = (torch.split(n[name].detach().reshape(-1), PIECE) for n in self._networks)
            for piece in zip(*parts, strict=True):
                rows = torch.stack([precise(part) for part in piece])
                yield rows - rows[-1]

    def _products(self, names: list[str]) -> tuple[Tensor, float]:
        """The products of all differences, and the sum of squares of the last network."""
        count = len(self._networks)
        products = torch.zeros(count, count, dtype=torch.float64)
        for steps in self._steps(names):
            products += (steps @ steps.T).double().cpu()
        sizes = sum(float(precise(self._last[name].detach()).square().sum()) for name in names)
        if not bool(products.isfinite().all()):
            raise ToroidsError(
                "the networks are too far apart for their distances to be numbers; pass networks "
                "of weights that are near 1 in size."
            )
        return products, sizes

    def _check(self, widths: list[float], rounding: float) -> None:
        if widths[0] == 0:
            raise ToroidsError(f"all {len(self._networks)} networks are the same; {_PASS}.")
        if widths[1] <= max(min(rounding, FLAT * widths[0]), math.sqrt(ROUNDING) * widths[0]):
            raise ToroidsError(
                f"the {len(self._networks)} networks lie on one line through the last; {_PASS}, or "
                "take the profile of a Line."
            )

    def _along(self, name: str) -> tuple[Tensor, Tensor]:
        """One tensor of both axes; those that count in no distance move along."""
        last = self._last[name].detach()
        kind = computing(last)
        found = [torch.zeros_like(last, dtype=kind) for _ in range(2)]
        for network, shares in zip(self._networks, self._shares.tolist(), strict=True):
            step = network[name].detach().to(kind) - last.to(kind)
            for axis, share in zip(found, shares, strict=True):
                axis.add_(step, alpha=share)
        return found[0], found[1]

    def _distances(self, names: list[str]) -> Tensor:
        """From the plane; not from squares, which would lose half of the digits of small ones."""
        squares = torch.zeros(len(self._networks), dtype=torch.float64)
        for steps in self._steps(names):
            shares, points = self._shares.to(steps), self.points.to(steps)
            rest = steps - points @ (shares.T @ steps)
            squares += rest.square().sum(dim=1).double().cpu()
        return squares.sqrt()

    def through(self, axis: int) -> list[float]:
        """Positions along an axis through which lines of a grid go: the ends, and the origin."""
        along = self.points[:, axis]
        return [float(along.min()), 0.0, float(along.max())]

    def network_at(self, x: float, y: float) -> int | None:
        """The number of the last network where it lies at a point."""
        return len(self._networks) - 1 if x == 0 and y == 0 else None

    def __call__(self, x: float, y: float) -> dict[str, Tensor]:
        """Returns the parameters at a point."""
        point = dict(self._last)
        if self.network_at(x, y) is None:
            for name, (first, second) in self._axes.items():
                last = point[name]
                mixed = last.detach().to(first.dtype).add(first, alpha=x).add(second, alpha=y)
                point[name] = mixed.to(last.dtype)
        return point
