"""How one choice acts on one space; shifts are added by `shifting`.

On every copy, units are permuted, then scaled and flipped, turned in phase, or mixed, then shifted:

    new = M (s * old[p]) + t

with the leg's exponent e: s^e, the sign to the power e, M or (for e = -1) its inverse transpose.
An orthogonal matrix Q acts as D Q D^-1, where D are the gains that stand before the leg, as they
are after scales and signs have moved; so Q commutes with those, and shifts t, which are added as
D t, with all but Q. Shifts are added when all spaces have moved.
"""

import math
from collections import Counter
from collections.abc import Collection, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from toroids.errors import ParamsError
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.matrices import product
from toroids.symmetry.space import Kind, Leg, Norm, Space, WeightNorm
from toroids.symmetry.units import along, permuted, vectors, with_vectors

# Tensors of so many entries are scaled in place where nobody else holds them.
LARGE = 2**22


def _factors(space: Space, choice: SpaceElement, position: int) -> Tensor | None:
    """What a leg is multiplied by, (copies, size); None where nothing scales or flips it."""
    scales = weighted(space, "rescale", position, choice.log_scales)
    flips = weighted(space, "flip", position, None if choice.signs is None else choice.signs < 0)
    factors = None if scales is None else scales.exp()
    if flips is not None:
        signs = 1 - 2 * (flips % 2)
        factors = signs if factors is None else factors * signs
    return factors


def weighted(space: Space, action: Kind, position: int, values: Tensor | None) -> Tensor | None:
    """Sums (generators, copies, size) with a leg's exponents; None where all are zero."""
    exponents = [generator.exponents[position] for generator in space.of(action)]
    if values is None or not any(exponents):
        return None
    terms = [e * value.double() for e, value in zip(exponents, values, strict=True) if e]
    return torch.stack(terms).sum(dim=0)


def _matrix(space: Space, mix: Tensor, position: int) -> Tensor:
    if space.of("mix")[0].exponents[position] > 0:
        return mix
    inverse: Tensor = torch.linalg.inv(mix)
    return inverse.transpose(1, 2)


def move_space(space: Space, choice: SpaceElement, params: MutableMapping[str, Tensor]) -> None:
    """Acts with `choice` on one space, replacing the tensors of its legs in `params`.

    Args:
        space: the space.
        choice: a checked choice of action on it; gradients flow through its scales.
        params: parameters and buffers by name; the mapping changes, no tensor does. Legs whose
            tensors are not in it are left out.
    """
    norms = [norm for norm in space.norms if norm.weight in params]
    followed = [norm for norm in space.weight_norms if {norm.gain, norm.weight} <= params.keys()]
    weights = {norm.weight: params[norm.weight] for norm in followed}
    variances = {norm.variance: params[norm.variance] for norm in norms}
    home = torch.arange(space.size)
    still = bool((choice.permutation.cpu() == home).all())
    names = {leg.tensor for leg in space.legs if leg.tensor in params}
    held = Counter(id(params[name]) for name in names)
    shared = {tensor for tensor, count in held.items() if count > 1}
    done: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}  # of what several names hold
    together = {} if still else _together(space, names)
    own: set[str] = set()  # names of tensors that nobody else holds
    for position, leg in enumerate(space.legs):
        if leg.tensor not in params:
            continue
        tensor = params[leg.tensor]
        legs = together.get(position, ())
        way = (id(tensor), *_way(space, position), *(leg.positions for leg in legs))
        if way in done:
            params[leg.tensor] = done[way][1]
            continue
        moved = params[leg.tensor] = _moved(space, position, choice, tensor, legs)
        if id(tensor) in shared:
            done[way] = tensor, moved  # both are kept, so that no other takes their ids
            shared.add(id(moved))
        elif legs:
            own.add(leg.tensor)
        del tensor, moved  # what is as large as they are is made next
    done.clear()
    if space.of("rotate") and choice.mix is not None:
        _rotate(space, choice.mix, params, own)
    if choice.log_scales is not None:
        for norm in norms:
            _keep_eps(space, choice, norm, variances[norm.variance], params)
        for weight_norm in followed:
            _follow(space, choice, weight_norm, weights[weight_norm.weight], params)


def _way(space: Space, position: int) -> tuple[Any, ...]:
    """What says how a leg moves, whatever its tensor is called."""
    leg = space.legs[position]
    exponents = tuple(generator.exponents[position] for generator in space.generators)
    return leg.axis, leg.span, leg.positions, leg.offset, exponents


def _together(space: Space, names: Collection[str]) -> dict[int, list[Leg]]:
    """For every leg those along the same axis that are permuted with it, none where they were.

    A tensor of which many legs lie along one axis, as the pairs of entries of every head do, is
    copied once for all of them.

    Returns:
        The legs, by the position of the first of them.
    """
    found: dict[int, list[Leg]] = {}
    first: dict[tuple[str, int], int] = {}
    spans = {leg.tensor for leg in space.legs if leg.span > 1}
    for position, leg in enumerate(space.legs):
        if leg.tensor in names and leg.tensor in spans:
            found[position] = [leg]
        elif leg.tensor in names:
            found.setdefault(first.setdefault((leg.tensor, leg.axis), position), []).append(leg)
    return found


def _moved(
    space: Space, position: int, choice: SpaceElement, tensor: Tensor, together: Sequence[Leg]
) -> Tensor:
    """Permutes, scales, flips, turns in phase and mixes one leg of a space.

    Shifts are left out, and so is an orthogonal matrix, which needs the gains of other legs.

    Args:
        space: the space.
        position: which leg.
        choice: a checked choice of action on it.
        tensor: what the leg indexes.
        together: the legs that are permuted now.

    Returns:
        The moved tensor.
    """
    leg = space.legs[position]
    if together:
        tensor = permuted(tensor, choice.permutation, *together)
    moved = _linear(space, position, choice, tensor, own=bool(together) and not leg.offset)
    if not leg.offset or moved is tensor:
        return moved
    return moved + leg.offset * (_linear(space, position, choice, torch.ones_like(tensor)) - 1)


def _linear(
    space: Space, position: int, choice: SpaceElement, tensor: Tensor, own: bool = False
) -> Tensor:
    """Scales, flips, turns in phase and mixes what a leg holds, in its place if it is `own`."""
    leg = space.legs[position]
    factors = _factors(space, choice, position)
    if factors is not None:
        scales = along(factors.to(tensor.device, tensor.dtype), tensor, leg, 1.0)
        in_place = own and tensor.numel() >= LARGE and not scales.requires_grad
        tensor = tensor.mul_(scales) if in_place else tensor * scales
    if choice.phases is not None:
        tensor = _turned(space, position, choice.phases, tensor)
    if choice.mix is not None and space.of("mix"):
        tensor = _mixed(space, leg, _matrix(space, choice.mix, position), tensor)
    return tensor


def carry_shift(space: Space, position: int, choice: SpaceElement, tensor: Tensor) -> Tensor:
    """Moves what is added to a leg as the leg moves.

    Args:
        space: the space.
        position: which leg.
        choice: a checked choice of action on it.
        tensor: what is added, like the leg's tensor; where the space rotates, without the gains,
            so that scales and signs do not count.

    Returns:
        The same for the network that has moved.
    """
    leg = space.legs[position]
    tensor = permuted(tensor, choice.permutation, leg)
    if not space.of("rotate"):
        return _linear(space, position, choice, tensor)
    if choice.mix is None or not space.of("rotate")[0].exponents[position]:
        return tensor
    return _mixed(space, leg, choice.mix, tensor)


def _mixed(space: Space, leg: Leg, matrix: Tensor, tensor: Tensor, own: bool = False) -> Tensor:
    matrix = matrix.to(tensor.device, tensor.dtype)
    moved = product(matrix, vectors(tensor, leg, space.copies, space.size), own)
    return with_vectors(tensor, leg, moved)


def _turned(space: Space, position: int, phases: Tensor, tensor: Tensor) -> Tensor:
    """Turns the pairs of entries that the units hold on one leg."""
    leg = space.legs[position]
    angles = weighted(space, "phase", position, phases)
    if angles is None:
        return tensor
    pairs = vectors(tensor, leg, space.copies, space.size)
    # entries of a unit: what lies before the leg's axis, its own, what lies behind
    count = len(leg.positions or ()) // (space.copies * space.size)
    before = math.prod(tensor.shape[: leg.axis])
    x, y = pairs.view(*pairs.shape[:2], before, count // 2, 2, -1).unbind(dim=4)
    cos, sin = (f(angles).to(tensor)[..., None, None, None] for f in (torch.cos, torch.sin))
    turned = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=4)
    return with_vectors(tensor, leg, turned.reshape(pairs.shape))


def _rotate(
    space: Space, matrix: Tensor, params: MutableMapping[str, Tensor], own: Collection[str] = ()
) -> None:
    """Acts with D Q D^-1 on every leg that rotates, on tensors that are `own` in their place."""
    if not matrix.requires_grad and _is_identity(matrix[0]):
        return
    for position, leg in enumerate(space.legs):
        if not space.of("rotate")[0].exponents[position] or leg.tensor not in params:
            continue
        gains = gains_before(space, position, params)
        tensor, turn = params[leg.tensor], matrix
        if gains is not None:
            gains = gains.to(turn)
            turn = gains[:, None] * turn
            turn = turn / gains if turn.requires_grad else turn.div_(gains)
        params[leg.tensor] = _mixed(space, leg, turn, tensor, leg.tensor in own)


def _is_identity(matrix: Tensor) -> bool:
    """Whether a matrix is exactly one; without another as large."""
    ones = bool((matrix.diagonal() == 1).all())
    return ones and int(torch.count_nonzero(matrix)) == len(matrix)


def gains_before(space: Space, position: int, params: MutableMapping[str, Tensor]) -> Tensor | None:
    """The product of the gains that stand before a leg of a space that rotates.

    Args:
        space: the space.
        position: which leg.
        params: parameters by name.

    Returns:
        One number per unit, in float64; None where no gain stands there.

    Raises:
        ParamsError: a gain is zero.
    """
    product: Tensor | None = None
    for scale, gain in zip(space.of("rescale"), space.gains, strict=True):
        power = scale.exponents[position]
        if not power or gain is None:
            continue
        leg = space.legs[gain]
        held = vectors(params[leg.tensor], leg, space.copies, space.size)[0, :, 0].double()
        held = held + leg.offset
        if bool((held == 0).any()):
            raise ParamsError(
                f"`{leg.tensor}` holds gains that are exactly zero, so that `{space.name}` cannot "
                "be rotated; pass parameters that td.canonicalize gave, where gains are one."
            )
        factor = held ** round(power / scale.exponents[gain])
        product = factor if product is None else product * factor
    return product


def _follow(
    space: Space,
    choice: SpaceElement,
    norm: WeightNorm,
    before: Tensor,
    params: MutableMapping[str, Tensor],
) -> None:
    """Multiplies the gain of a weight v by |v'| / |v|, but for what its own exponents tell."""
    for leg in space.legs:
        if leg.tensor == norm.weight:
            before = permuted(before, choice.permutation, leg)
    sizes = [
        torch.linalg.vector_norm(x, dim=norm.axes, dtype=torch.float64)
        for x in (params[norm.weight], before)
    ]
    gain = params[norm.gain]
    ratio = sizes[0] / torch.where(sizes[1] > 0, sizes[1], 1.0)
    ratio = ratio.view(gain.shape)
    told = dict(norm.told)
    for position, leg in enumerate(space.legs):
        scales = weighted(space, "rescale", position, choice.log_scales)
        if leg in told and scales is not None:
            ratio = ratio / along(scales.exp().to(gain.device), gain, told[leg], 1.0)
    params[norm.gain] = gain * ratio.to(gain.dtype)


def _keep_eps(
    space: Space,
    choice: SpaceElement,
    norm: Norm,
    before: Tensor,
    params: MutableMapping[str, Tensor],
) -> None:
    """Multiplies a batch norm's weight by sqrt(c^2 v + eps) / (c sqrt(v + eps))."""
    factor = torch.ones_like(before, dtype=torch.float64)
    for position, leg in enumerate(space.legs):
        if leg.tensor == norm.variance:
            before = permuted(before, choice.permutation, leg)
            squares = weighted(space, "rescale", position, choice.log_scales)
            if squares is not None:
                factor = factor * along(squares.exp().to(before.device), before, leg, 1.0)
    old = before.double()
    correction = torch.sqrt((factor * old + norm.eps) / (factor * (old + norm.eps)))
    params[norm.weight] = params[norm.weight] * correction.to(params[norm.weight].dtype)
