"""Streams that rotate: their gains can be moved into the readers, and nobody sees their mean."""

from collections.abc import MutableMapping

import torch
from torch import Tensor

from toroids.canonical.degenerate import listed
from toroids.params import precise
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Leg, Space
from toroids.symmetry.units import vectors, with_vectors


def open_gains(group: SymmetryGroup, params: MutableMapping[str, Tensor]) -> list[str]:
    """Makes gains that are exactly zero one, and what is read behind them zero.

    The network computes the same, and has a place on the slice where all gains are one. Where a
    bias is added behind the gain there is none, and the gain is left as it is.

    Args:
        group: the network's group.
        params: checked parameters; tensors are replaced.

    Returns:
        What was left as it is.
    """
    notes = []
    for space in group.spaces:
        for number, gain in enumerate(space.gains):
            if gain is not None:
                notes += _opened(space, number, space.legs[gain], params)
    return notes


def _opened(space: Space, number: int, gain: Leg, params: MutableMapping[str, Tensor]) -> list[str]:
    held = vectors(params[gain.tensor], gain, space.copies, space.size) + gain.offset
    closed = (held == 0).all(dim=2)[0]
    if not bool(closed.any()):
        return []
    exponents, turned = space.of("rescale")[number].exponents, space.of("rotate")[0].exponents
    powers = [*zip(space.legs, exponents, turned, strict=True)]
    unit = exponents[space.legs.index(gain)]
    for leg, e, turns in powers:
        if e * unit > 0 and turns:
            entries = vectors(params[leg.tensor], leg, space.copies, space.size)[0]
            closed = closed & (entries == 0).all(dim=1)
    left = ((held == 0).all(dim=2)[0] & ~closed).nonzero().flatten().tolist()
    for leg, _, turns in (power for power in powers if power[1]):
        entries = vectors(params[leg.tensor], leg, space.copies, space.size)
        value = 0.0 if turns else 1.0 - leg.offset  # a gain may have several names
        moved = torch.where(closed[None, :, None], value, entries)
        params[leg.tensor] = with_vectors(params[leg.tensor], leg, moved)
    if not left:
        return []
    return [
        f"space `{space.name}`: the gains of units {listed(left)} in `{gain.tensor}` are zero, but "
        "a bias stands behind them; they are left as they are, and the space cannot be rotated"
    ]


def centre_streams(group: SymmetryGroup, params: MutableMapping[str, Tensor]) -> None:
    """Subtracts from what writes a stream its mean over the units, where nobody sees that.

    Args:
        group: the network's group.
        params: checked parameters; tensors are replaced, gradients flow through.
    """
    for space in group.spaces:
        for rotate in space.of("rotate"):
            for leg in writers_of(space) if rotate.hides_mean else ():
                tensor = params[leg.tensor]
                entries = vectors(precise(tensor), leg, space.copies, space.size)
                centred = entries - entries.mean(dim=1, keepdim=True)
                params[leg.tensor] = with_vectors(precise(tensor), leg, centred).to(tensor.dtype)


def writers_of(space: Space) -> list[Leg]:
    """The legs that write a stream before any norm, each tensor under its first name."""
    scales = [g.exponents for g in space.of("rescale")]
    return [
        leg for i, leg in enumerate(space.legs)
        if leg.role == "write" and i not in space.gains and not any(e[i] for e in scales)
    ]  # fmt: skip
