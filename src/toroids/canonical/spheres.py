"""Which coordinates of a network's parameters form the spheres of the toroid.

A sphere family is a set of spheres of equal dimension, one per unit: the incoming vectors of one
hidden layer, or (a family of one) all coordinates that write a classifier's output.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.errors import ToroidsError
from toroids.params import Params, precise
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Space
from toroids.symmetry.units import along, sum_per_unit


@dataclass(frozen=True)
class Spheres:
    """One family of spheres.

    Attributes:
        name: the space's name, or "output".
        axes: for every tensor that holds coordinates, the axis that counts the spheres; None when
            the whole tensor lies on the family's single sphere.
    """

    name: str
    axes: Mapping[str, int | None]

    def sums(self, tensors: Params) -> Tensor:
        """Sums the entries of every sphere's coordinates; shape (spheres,)."""
        sums = [
            tensors[name].sum().reshape(1) if axis is None else sum_per_unit(tensors[name], axis)
            for name, axis in self.axes.items()
        ]
        return torch.stack(sums).sum(dim=0)

    def norms(self, params: Params) -> Tensor:
        """Euclidean norm of every sphere's coordinates; shape (spheres,), in float64."""
        squares = self.sums({name: precise(params[name]).square() for name in self.axes})
        # sqrt has no derivative at zero: a zero unit must not turn every gradient into NaN.
        return torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)

    def spread(self, values: Tensor, params: Params) -> dict[str, Tensor]:
        """Shapes one value per sphere so that it broadcasts over each tensor's coordinates."""
        return {
            name: values.view((1,) * params[name].ndim)
            if axis is None
            else along(values, params[name], axis)
            for name, axis in self.axes.items()
        }

    def coordinates(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Number of coordinates of each sphere."""
        return sum(
            torch.Size(shapes[name]).numel() // (1 if axis is None else shapes[name][axis])
            for name, axis in self.axes.items()
        )


def hidden_spheres(group: SymmetryGroup, bias: bool) -> list[Spheres]:
    """Lists the spheres of hidden units: one family per space that can be rescaled.

    A unit's sphere is made of the weights by which its first writer writes it, and of its bias.
    Writers that also read the space, as a recurrent layer does, cannot set the scale.

    Args:
        group: the architecture's group.
        bias: whether the bias is a coordinate of the sphere.

    Returns:
        The families in the order of the group's spaces.

    Raises:
        ToroidsError: a space with several generators, or with no writer that can set the scale.
    """
    families = []
    for space in group.spaces:
        if not space.generators:
            continue
        _check_plain(space)
        if not space.writer:
            raise ToroidsError(
                f"every writer of space `{space.name}` also reads it, so that none can set its "
                "scale; leave 'rescale' out of the space's actions."
            )
        legs = [leg for leg in space.writer if bias or len(group.shapes[leg.tensor]) > 1]
        families.append(Spheres(space.name, {leg.tensor: leg.axis for leg in legs}))
    return families


def _check_plain(space: Space) -> None:
    """Raises unless a space is one that the sphere gauge handles."""
    special = sorted(space.actions - {"permute", "rescale"})
    if special or len(space.generators) > 1:
        what = f"actions {special}" if special else f"{len(space.generators)} generators"
        raise ToroidsError(
            f"space `{space.name}` has {what}; the sphere gauge handles one generator of 'rescale' "
            "per space."
        )
    if space.copies > 1 or space.norms or any(leg.positions or leg.span > 1 for leg in space.legs):
        raise ToroidsError(
            f"space `{space.name}` indexes parts of axes, copies or a batch norm; the sphere gauge "
            "handles spaces that index whole axes of linear layers."
        )
    exponents = dict(zip(space.legs, space.generators[0].exponents, strict=True))
    of_writer = {exponents[leg] for leg in space.writer}
    if of_writer == {0.0} or len(of_writer) > 1:
        raise ToroidsError(
            f"space `{space.name}` has the exponents {list(exponents.values())}; the sphere gauge "
            "needs one that is not zero on all legs of the first writer."
        )


def output_sphere(group: SymmetryGroup) -> Spheres | None:
    """Gives the one sphere that holds all coordinates of a classifier's output, if there is one."""
    if group.output.mode != "classifier":
        return None
    return Spheres("output", {leg.tensor: None for leg in group.output.legs})
