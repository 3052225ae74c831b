"""How one choice acts on one space, and how choices compose.

On every copy, units are permuted, then scaled and flipped or mixed, then shifted:

    new = M (s * old[p]) + t

with the leg's exponent e: s^e, the sign to the power e, M or (for e = -1) its inverse transpose.
Shifts are added when all spaces have moved.
"""

import math
from collections.abc import MutableMapping

import torch
from torch import Tensor

from toroids.errors import ToroidsError
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Kind, Norm, Space
from toroids.symmetry.units import along, permuted, vectors, with_vectors


def identity_permutation(space: Space) -> Tensor:
    """The permutation that moves no unit of any copy; shape (copies, size)."""
    return torch.arange(space.size).repeat(space.copies, 1)


def identity_choice(space: Space) -> SpaceElement:
    """The choice that moves nothing."""
    shape = (space.copies, space.size)
    permutation = identity_permutation(space)
    zeros = torch.zeros(shape, dtype=torch.float64)
    scales, flips, shifts = (len(space.of(a)) for a in ("rescale", "flip", "shift"))
    eye = torch.eye(space.size, dtype=torch.float64).repeat(space.copies, 1, 1)
    return SpaceElement(
        permutation,
        zeros.repeat(scales, 1, 1) if scales else None,
        1 + zeros.repeat(flips, 1, 1) if flips else None,
        zeros.repeat(shifts, 1, 1) if shifts else None,
        eye if space.of("mix") else None,
    )


def random_choice(space: Space, generator: torch.Generator | None) -> SpaceElement:
    """A random choice; see `SymmetryGroup.random`."""
    shape = (space.copies, space.size)
    permutation = identity_permutation(space)
    if "permute" in space.actions:
        permutation = torch.stack(
            [torch.randperm(space.size, generator=generator) for _ in range(space.copies)]
        )

    def normal(count: int) -> Tensor | None:
        if not count:
            return None
        return torch.randn((count, *shape), dtype=torch.float64, generator=generator)

    log_scales = normal(len(space.of("rescale")))
    signs = normal(len(space.of("flip")))
    shifts = normal(len(space.of("shift")))
    mix = None
    if space.of("mix"):
        square = (space.copies, space.size, space.size)
        left, right = (
            torch.linalg.qr(torch.randn(square, dtype=torch.float64, generator=generator))[0]
            for _ in range(2)
        )
        spread = torch.rand(shape, dtype=torch.float64, generator=generator) - 0.5
        mix = left * torch.exp(math.log(10) * spread)[:, None, :] @ right
    signs = None if signs is None else torch.where(signs < 0, -1.0, 1.0).double()
    return SpaceElement(permutation, log_scales, signs, shifts, mix)


def check_choice(space: Space, choice: SpaceElement) -> None:
    """Raises unless `choice` is one that `space` allows.

    Raises:
        ToroidsError: says what the space expects.
    """
    shape = (space.copies, space.size)
    counts = {
        "log_scales": len(space.of("rescale")),
        "signs": len(space.of("flip")),
        "shifts": len(space.of("shift")),
    }
    good = tuple(choice.permutation.shape) == shape and not choice.permutation.is_floating_point()
    home = torch.arange(space.size, device=choice.permutation.device)
    good = good and bool((choice.permutation.sort(dim=1).values == home).all())
    for name, count in counts.items():
        value = getattr(choice, name)
        if value is not None:
            good = good and tuple(value.shape) == (count, *shape)
            good = good and bool(torch.isfinite(value).all())
    if choice.signs is not None:
        good = good and bool((choice.signs.abs() == 1).all())
    if choice.mix is not None:
        good = good and bool(space.of("mix")) and tuple(choice.mix.shape) == (*shape, space.size)
        good = good and bool(torch.isfinite(choice.mix).all())
    if not good:
        raise ToroidsError(
            f"the element's choice on `{space.name}` is not a permutation of {space.size} units "
            f"with finite log-scales of shape {(counts['log_scales'], *shape)}"
            f" (and so on for its actions {sorted(space.actions)}); pass an element of this group."
        )
    if "permute" not in space.actions and bool((choice.permutation != home).any()):
        raise ToroidsError(
            f"the element permutes `{space.name}`, whose actions are {sorted(space.actions)}; "
            "permute only spaces that allow it."
        )


def of_copies(choice: SpaceElement, copies: Tensor) -> SpaceElement:
    """The same choice with its copies rearranged."""

    def along_copies(value: Tensor | None) -> Tensor | None:
        return None if value is None else value[:, copies]

    return SpaceElement(
        choice.permutation[copies],
        along_copies(choice.log_scales),
        along_copies(choice.signs),
        along_copies(choice.shifts),
        None if choice.mix is None else choice.mix[copies],
    )


def compose_choices(space: Space, second: SpaceElement, first: SpaceElement) -> SpaceElement:
    """The choice that acts as `first`, then as `second`, on every copy, shifts left out."""
    p = second.permutation
    first, second = _filled(space, first), _filled(space, second)
    permutation = first.permutation.gather(1, p)

    def moved(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.gather(2, p.expand(len(value), *p.shape))

    log_scales, signs = moved(first.log_scales), moved(first.signs)
    if log_scales is not None and second.log_scales is not None:
        log_scales = second.log_scales + log_scales
    if signs is not None and second.signs is not None:
        signs = second.signs * signs
    mix = None
    if first.mix is not None and second.mix is not None:
        rows = torch.arange(space.copies)[:, None, None]
        mix = second.mix @ first.mix[rows, p[:, :, None], p[:, None, :]]
    return SpaceElement(permutation, log_scales, signs, None, mix)


def inverse_choice(space: Space, choice: SpaceElement) -> SpaceElement:
    """The choice that undoes `choice` on every copy, shifts left out."""
    choice = _filled(space, choice)
    back = torch.argsort(choice.permutation, dim=1)

    def moved(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.gather(2, back.expand(len(value), *back.shape))

    log_scales = moved(choice.log_scales)
    mix = None
    if choice.mix is not None:
        rows = torch.arange(space.copies)[:, None, None]
        mix = torch.linalg.inv(choice.mix)[rows, back[:, :, None], back[:, None, :]]
    return SpaceElement(
        back, None if log_scales is None else -log_scales, moved(choice.signs), None, mix
    )


def _filled(space: Space, choice: SpaceElement) -> SpaceElement:
    """Spells out what does not act."""
    rest = identity_choice(space)
    return SpaceElement(
        choice.permutation,
        rest.log_scales if choice.log_scales is None else choice.log_scales,
        rest.signs if choice.signs is None else choice.signs,
        rest.shifts if choice.shifts is None else choice.shifts,
        rest.mix if choice.mix is None else choice.mix,
    )


def _factors(space: Space, choice: SpaceElement, position: int) -> Tensor | None:
    """What a leg is multiplied by, (copies, size); None where nothing scales or flips it."""
    scales = _weighted(space, "rescale", position, choice.log_scales)
    flips = _weighted(space, "flip", position, None if choice.signs is None else choice.signs < 0)
    factors = None if scales is None else scales.exp()
    if flips is not None:
        signs = 1 - 2 * (flips % 2)
        factors = signs if factors is None else factors * signs
    return factors


def _weighted(space: Space, action: Kind, position: int, values: Tensor | None) -> Tensor | None:
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
        params: parameters and buffers by name; the mapping changes, no tensor does.
    """
    variances = {norm.variance: params[norm.variance] for norm in space.norms}
    home = torch.arange(space.size)
    still = bool((choice.permutation.cpu() == home).all())
    for position, leg in enumerate(space.legs):
        tensor = params[leg.tensor]
        params[leg.tensor] = move_leg(space, position, choice, tensor, still=still)
    if choice.log_scales is not None:
        for norm in space.norms:
            _keep_eps(space, choice, norm, variances[norm.variance], params)


def move_leg(
    space: Space, position: int, choice: SpaceElement, tensor: Tensor, *, still: bool = False
) -> Tensor:
    """Permutes, scales, flips and mixes one leg of a space.

    Args:
        space: the space.
        position: which leg.
        choice: a checked choice of action on it; its shifts are left out.
        tensor: what the leg indexes.
        still: whether the choice permutes nothing.

    Returns:
        The moved tensor.
    """
    leg = space.legs[position]
    if not still:
        tensor = permuted(tensor, leg, choice.permutation)
    factors = _factors(space, choice, position)
    if factors is not None:
        tensor = tensor * along(factors.to(tensor.device, tensor.dtype), tensor, leg, 1.0)
    if choice.mix is not None:
        matrix = _matrix(space, choice.mix, position).to(tensor.device, tensor.dtype)
        moved = matrix @ vectors(tensor, leg, space.copies, space.size)
        tensor = with_vectors(tensor, leg, moved)
    return tensor


def shift_space(space: Space, choice: SpaceElement, params: MutableMapping[str, Tensor]) -> None:
    """Adds the shifts of a choice to the legs that take them, when all spaces have moved.

    Args:
        space: the space.
        choice: a checked choice of action on it.
        params: parameters and buffers by name; the mapping changes, no tensor does.
    """
    for position, leg in enumerate(space.legs):
        shift = _weighted(space, "shift", position, choice.shifts)
        if shift is not None:
            tensor = params[leg.tensor]
            added = along(shift.to(tensor.device, tensor.dtype), tensor, leg, 0.0)
            params[leg.tensor] = tensor + added


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
            before = permuted(before, leg, choice.permutation)
            squares = _weighted(space, "rescale", position, choice.log_scales)
            if squares is not None:
                factor = factor * along(squares.exp().to(before.device), before, leg, 1.0)
    old = before.double()
    correction = torch.sqrt((factor * old + norm.eps) / (factor * (old + norm.eps)))
    params[norm.weight] = params[norm.weight] * correction.to(params[norm.weight].dtype)
