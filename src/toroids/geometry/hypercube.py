"""The hypercube: where networks with binary weights live.

A network is a corner, {-1, +1}^n, and the distance of two is the fraction of weights in which they
differ,

    d(a, b) = #{i: a_i != b_i} / n = (1 - a b / n) / 2.

Every order of flipping the weights that differ is a shortest path. Any three corners have one
median, the majority of their weights, which lies on shortest paths between every two of them. Real
parameters beside the binary ones, as those of batch norms, live on a toroid; they count in no
distance here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from toroids.arguments.checked import checked_methods
from toroids.arguments.networks import check_several
from toroids.binary.weights import BinaryWeights
from toroids.canonical.form import CanonicalParams
from toroids.errors import ToroidsError
from toroids.geometry.bit_path import BitPath
from toroids.geometry.toroid import Toroid
from toroids.params import Params, check_placed_alike
from toroids.symmetry.group import SymmetryGroup


@checked_methods
class Hypercube:
    """All canonical networks of an architecture with binary weights.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.binary_fully_connected([5, 3, 2])
        >>> cube = td.geometry.Hypercube(td.discover(model, torch.ones(1, 5)))
        >>> a = td.canonicalize(cube.group, model.state_dict())
        >>> cube.dimension, cube.distance(a, cube.flip(a, 1.0, torch.Generator()))
        (21, 1.0)
    """

    def __init__(self, group: SymmetryGroup, bias: bool = True, batch_norm: str = "keep") -> None:
        """Builds the hypercube of `group`.

        Args:
            group: the architecture's symmetry group, with binary parameters.
            bias: as in `canonicalize`, for what is not binary.
            batch_norm: "keep" or "fold", as in `canonicalize`.

        Raises:
            ToroidsError: no parameter of the group is binary.
        """
        self.toroid = Toroid(group, bias, batch_norm)
        self.group = self.toroid.group
        if not group.binary:
            raise ToroidsError(
                "no weights of the group are binary; use td.Toroid, or layers that read only the "
                "signs of their weights, as td.binary.BinaryLinear."
            )
        names = [name for name in self.group.parameters if name in group.binary]
        tied = {name: first for name, first in group.tied.items() if first in names}
        shapes = tuple(group.shapes[name] for name in names)
        self.weights = BinaryWeights(tuple(names), shapes, tied)
        self._has_rest = len(names) + len(tied) < len(group.shapes)

    @property
    def dimension(self) -> int:
        """Number of binary weights."""
        return self.weights.entries

    def check(self, params: Params, what: str = "the parameters") -> None:
        """Raises unless `params` is canonical; it is never made binary silently.

        Args:
            params: parameters and buffers by name.
            what: how the message calls them.

        Raises:
            ParamsError: not of this architecture, not finite, or with weights that are not -1 or
                +1.
        """
        self.group.check(params, what)
        self.weights.check(params, what)
        self.toroid.check(params, what)

    def _check_two(self, a: Params, b: Params) -> None:
        self.check(a, "the first network")
        self.check(b, "the second network")
        check_placed_alike(a, b)

    def distances(self, a: Params, b: Params) -> dict[str, float]:
        """Computes the fraction of weights that differ in every binary tensor.

        Args:
            a: a canonical network.
            b: another one.

        Returns:
            Fractions in [0, 1] by name.

        Raises:
            ParamsError: `a` or `b` is not canonical.
        """
        self._check_two(a, b)
        return {name: (a[name] != b[name]).double().mean().item() for name in self.weights.names}

    def distance(self, a: Params, b: Params) -> float:
        """Computes the fraction of binary weights that differ: the Hamming distance.

        Args:
            a: a canonical network.
            b: another one.

        Returns:
            In [0, 1]; about 1/2 for networks that have nothing to do with each other.

        Raises:
            ParamsError: `a` or `b` is not canonical.

        Example:
            >>> import torch, toroids as td
            >>> model = td.models.binary_fully_connected([5, 3, 2])
            >>> group = td.discover(model, torch.ones(1, 5))
            >>> a = td.canonicalize(group, model.state_dict())
            >>> b = {**a, "output.weight": -a["output.weight"]}
            >>> td.geometry.Hypercube(group).distance(a, b) == 6 / (15 + 6)
            True
        """
        self._check_two(a, b)
        return (self.weights.flat(a) != self.weights.flat(b)).double().mean().item()

    def measures(self, a: Params, b: Params) -> dict[str, float]:
        """Computes how far apart two networks are in every measure there is, by name.

        Args:
            a: a canonical network.
            b: another one.

        Returns:
            "hamming", the fraction of the binary weights that differ.

        Raises:
            ParamsError: `a` or `b` is not canonical.
        """
        return {"hamming": self.distance(a, b)}

    def geodesic(
        self,
        a: Params,
        b: Params,
        generator: torch.Generator | None = None,
        order: Tensor | Sequence[int] | None = None,
    ) -> BitPath:
        """Returns a shortest path from `a` (t = 0) to `b` (t = 1), one of many.

        Args:
            a: a canonical network.
            b: another one.
            generator: source of the order of flips, on the CPU; seeded with 0 when None.
            order: of the flips, in place of a random one; see `BitPath`.

        Returns:
            The path; what is not binary moves on the geodesic of the toroid.

        Raises:
            ParamsError: `a` or `b` is not canonical, or two units of what is not binary are
                antipodal.
            ToroidsError: not an order of the weights that differ.
        """
        self._check_two(a, b)
        rest = self.toroid.geodesic(a, b) if self._has_rest else None
        return BitPath(a, b, self.weights, order, generator, rest)

    def flip(self, params: Params, fraction: float, generator: torch.Generator) -> CanonicalParams:
        """Flips a fraction of the weights, drawn uniformly without replacement.

        Args:
            params: a canonical network.
            fraction: in [0, 1]; the number of flips is rounded.
            generator: source of randomness on the CPU.

        Returns:
            The network at that distance.

        Raises:
            ParamsError: `params` is not canonical.
            ToroidsError: the fraction is out of range.
        """
        self.check(params)
        if not 0 <= fraction <= 1:
            raise ToroidsError(f"the fraction is {fraction}; pass a number in [0, 1].")
        order = torch.randperm(self.weights.entries, generator=generator)
        return CanonicalParams(self.flipped(params, order[: round(fraction * len(order))]), ())

    def flipped(self, params: Params, positions: Tensor) -> dict[str, Tensor]:
        """Flips the weights at positions of the row of all binary weights; nothing is checked."""
        row = self.weights.flat(params)
        positions = positions.to(row.device)
        row[positions] = -row[positions]
        return {**params, **self.weights.tensors(row, params)}

    def median(self, a: Params, b: Params, c: Params) -> CanonicalParams:
        """Computes the corner on shortest paths between every two of three networks.

        Args:
            a: a canonical network.
            b: another one.
            c: a third one.

        Returns:
            The majority of the three; what is not binary is as in `a`.

        Raises:
            ParamsError: a network is not canonical.
        """
        return self.majority([a, b, c])

    def majority(self, networks: Sequence[Params]) -> CanonicalParams:
        """Computes the corner with the least mean distance to several: the majority of weights.

        Args:
            networks: one or more canonical networks.

        Returns:
            The majority, of an even number undecided weights as in the first; what is not binary
            is as in the first network.

        Raises:
            ParamsError: a network is not canonical.
            ToroidsError: no networks.
        """
        check_several(networks, 1)
        for number, network in enumerate(networks):
            self.check(network, f"network {number}")
        row = majority([self.weights.flat(network) for network in networks])
        first = networks[0]
        return CanonicalParams({**first, **self.weights.tensors(row, first)}, ())


def majority(rows: Sequence[Tensor]) -> Tensor:
    """The sign of the sum of rows of -1 and +1; where it is zero, that of the first row."""
    total = torch.stack(list(rows)).sum(dim=0)
    return torch.where(total == 0, rows[0], total.sign())
