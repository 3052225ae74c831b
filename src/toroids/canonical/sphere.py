"""The sphere gauge: every hidden unit's incoming vector, bias included, has norm one.

With v_i the weights and bias by which unit i is first written and n_i = ||v_i||, the unit's legs
of exponent e are multiplied by n_i^(-e / e_w), e_w the exponent of the writer: v_i / n_i where it
is written, n_i times as much where it is read. One sweep in topological order suffices: when a
layer's rows are normalised, its columns already carry the scales of the layer before.
"""

import torch

from toroids.canonical.spheres import hidden_spheres
from toroids.params import Params, precise
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Space
from toroids.symmetry.units import along


def sphere_gauge(group: SymmetryGroup, params: Params, bias: bool) -> dict[str, torch.Tensor]:
    """Fixes the scale of every hidden unit by one sweep over the spaces.

    Args:
        group: the architecture's group.
        params: checked parameters; gradients flow through.
        bias: whether the bias is a coordinate of the sphere.

    Returns:
        The parameters in the sphere gauge; units of zero norm, which have no scale to fix, are
        left as they are.
    """
    fixed = dict(params)
    spaces = {space.name: space for space in group.spaces}
    for spheres in hidden_spheres(group, bias):
        norms = spheres.norms(fixed)
        _divide(fixed, spaces[spheres.name], torch.where(norms == 0, 1.0, norms))
    return fixed


def _divide(params: dict[str, torch.Tensor], space: Space, norms: torch.Tensor) -> None:
    exponents = space.generators[0].exponents
    unit = exponents[space.legs.index(space.writer[0])]
    for leg, exponent in zip(space.legs, exponents, strict=True):
        if exponent:
            tensor = params[leg.tensor]
            factors = along(norms.pow(-exponent / unit), tensor, leg.axis)
            params[leg.tensor] = (precise(tensor) * factors).to(tensor.dtype)
