"""Which coordinates of a network's parameters form the spheres of the toroid.

A family is a set of spheres of equal dimension, one per unit of a space: the incoming vectors of
one hidden layer, the gains and biases of a norm, or (a family of one) all coordinates that write a
classifier's output.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.params import Params, computing, precise, squares
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Leg
from toroids.symmetry.units import along, entries_per_unit, per_unit


@dataclass(frozen=True)
class Spheres:
    """One family of spheres.

    Attributes:
        space: the name of the space whose units they are, or "output".
        count: number of spheres.
        legs: where the coordinates lie; one sphere per unit, copy after copy.
        whole: whether the legs' whole tensors lie on a single sphere.
    """

    space: str
    count: int
    legs: tuple[Leg, ...]
    whole: bool = False

    @property
    def name(self) -> str:
        """The space and what writes it, as `layer1` or `layer1 (in norm1)`."""
        writer = self.legs[0].operator
        return self.space if self.whole or writer == self.space else f"{self.space} (in {writer})"

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors that hold coordinates, each once."""
        return tuple(dict.fromkeys(leg.tensor for leg in self.legs))

    def as_read(self, params: Params) -> dict[str, Tensor]:
        """The tensors that hold coordinates, with what the network adds to them."""
        return {leg.tensor: params[leg.tensor] + leg.offset if leg.offset else params[leg.tensor]
                for leg in self.legs}  # fmt: skip

    def norms(self, params: Params) -> Tensor:
        """Euclidean norms of the spheres' coordinates; shape (count,), in float64."""
        sums = self._sums(params, squares)
        # sqrt has no derivative at zero: a zero unit must not turn every gradient into NaN.
        return torch.where(sums > 0, sums, 1.0).sqrt() * (sums > 0)

    def dot(self, a: Params, b: Params) -> Tensor:
        """Inner products of corresponding spheres' coordinates; shape (count,), in float64."""
        products = {name: precise(a[name]) * precise(b[name]) for name in self.tensors}
        return self._sums(products, _sum_of_rest)

    def spread(self, values: Tensor, params: Params) -> dict[str, Tensor]:
        """Shapes one value per sphere to broadcast over each tensor; zero at other coordinates."""
        shaped: dict[str, Tensor] = {}
        for leg in self.legs:
            tensor = params[leg.tensor]
            one = values.to(computing(tensor))
            part = one.view((1,) * tensor.ndim) if self.whole else along(one, tensor, leg, 0.0)
            shaped[leg.tensor] = shaped[leg.tensor] + part if leg.tensor in shaped else part
        return shaped

    def coordinates(self, group: SymmetryGroup) -> int:
        """Number of coordinates of each sphere."""
        if self.whole:
            return sum(torch.Size(group.shapes[leg.tensor]).numel() for leg in self.legs)
        return sum(entries_per_unit(group.shapes[x.tensor], x, self.count) for x in self.legs)

    def _sums(self, tensors: Params, reduce: Callable[[Tensor, list[int]], Tensor]) -> Tensor:
        """Adds up, over the legs, what `reduce` makes of every sphere's coordinates."""
        sums = []
        for leg in self.legs:
            tensor = tensors[leg.tensor]
            axes = range(leg.axis, leg.axis + leg.span)
            rest = [axis for axis in range(tensor.ndim) if self.whole or axis not in axes]
            values = reduce(tensor, rest)
            sums.append(values.view(1) if self.whole else per_unit(values, leg, self.count))
        return torch.stack(sums).sum(dim=0)


def _sum_of_rest(tensor: Tensor, rest: list[int]) -> Tensor:
    return tensor.sum(dim=rest) if rest else tensor


def output_sphere(group: SymmetryGroup) -> Spheres | None:
    """Gives the one sphere that holds all coordinates of a classifier's output, if there is one."""
    if group.output.mode != "classifier":
        return None
    return Spheres("output", 1, group.output.legs, whole=True)
