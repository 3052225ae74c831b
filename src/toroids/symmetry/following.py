"""Gains that follow the norms of weights, as the powers in which they do.

A gain follows the norm of a weight of which a space rescales what lies inside the norm. Where all
units scale alike that is a power, as other legs have.
"""

from collections.abc import Mapping, Sequence

import torch

from toroids.symmetry.space import Leg, Space, WeightNorm
from toroids.symmetry.units import along


def following(
    space: Space, exponents: Sequence[float], shapes: Mapping[str, Sequence[int]]
) -> list[tuple[Leg, float]]:
    """Where gains follow weights that are normed, and in which power, if all units scale alike.

    Args:
        space: that rescales the weights.
        exponents: of its legs.
        shapes: of all tensors.

    Returns:
        Legs of gains, and the powers in which they follow.
    """
    found = []
    for norm in space.weight_norms:
        told = {leg for leg, _ in norm.told}
        moved: dict[tuple[int, int, float], list[Leg]] = {}
        for leg, power in zip(space.legs, exponents, strict=True):
            if leg.tensor == norm.weight and power and leg not in told:
                moved.setdefault((leg.axis, leg.span, power), []).append(leg)
        found += [(_gains(norm, legs, shapes), key[2]) for key, legs in moved.items()]
    return found


def _gains(norm: WeightNorm, legs: Sequence[Leg], shapes: Mapping[str, Sequence[int]]) -> Leg:
    """The leg of the gains whose norms hold some entries of legs of the weight."""
    shape, gains = shapes[norm.weight], shapes[norm.gain]
    positions = None
    if all(leg.positions is not None for leg in legs):
        weight = torch.empty(shape, device="meta")
        inside = [along(torch.ones(len(leg.places(shape))), weight, leg, 0.0) for leg in legs]
        kept = [size for axis, size in enumerate(shape) if axis not in norm.axes]
        marked = torch.stack(inside).amax(dim=0).amax(dim=norm.axes).expand(kept)
        positions = tuple(marked.flatten().nonzero().flatten().tolist())
        positions = None if len(positions) == marked.numel() else positions
    return Leg(norm.gain, 0, "write", norm.gain, len(gains), positions)
