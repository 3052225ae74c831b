"""What one element chooses on one space: what there is to choose, and how choices compose.

On every copy a permutation, log-scales, signs, shifts, a matrix and phases, as far as the space
has such actions; `action` says how they act.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from toroids.errors import ToroidsError
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.matrices import check_rotation, random_matrix
from toroids.symmetry.space import Space

Draw = Callable[[Space, torch.Generator | None], Tensor | None]


def identity_permutation(space: Space) -> Tensor:
    """The permutation that moves no unit of any copy; shape (copies, size)."""
    return torch.arange(space.size).repeat(space.copies, 1)


def identity_choice(space: Space) -> SpaceElement:
    """The choice that moves nothing."""
    shape = (space.copies, space.size)
    permutation = identity_permutation(space)
    zeros = torch.zeros(shape, dtype=torch.float64)
    scales, flips, shifts, phases = (
        len(space.of(a)) for a in ("rescale", "flip", "shift", "phase")
    )
    eye = None
    if space.matrix is not None:
        eye = torch.eye(space.size, dtype=torch.float64).repeat(space.copies, 1, 1)
    return SpaceElement(
        permutation,
        zeros.repeat(scales, 1, 1) if scales else None,
        1 + zeros.repeat(flips, 1, 1) if flips else None,
        zeros.repeat(shifts, 1, 1) if shifts else None,
        eye,
        zeros.repeat(phases, 1, 1) if phases else None,
    )


def random_choice(
    space: Space, generator: torch.Generator | None, matrices: Draw = random_matrix
) -> SpaceElement:
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
    phases = normal(len(space.of("phase")))
    signs = None if signs is None else torch.where(signs < 0, -1.0, 1.0).double()
    mix = matrices(space, generator)
    return SpaceElement(
        permutation, log_scales, signs, shifts, mix, None if phases is None else math.pi * phases
    )


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
        "phases": len(space.of("phase")),
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
        good = good and space.matrix is not None
        good = good and tuple(choice.mix.shape) == (*shape, space.size)
        good = good and bool(torch.isfinite(choice.mix).all())
    if not good:
        raise ToroidsError(
            f"the element's choice on `{space.name}` is not a permutation of {space.size} units "
            f"with finite log-scales of shape {(counts['log_scales'], *shape)}"
            f" (and so on for its actions {sorted(space.actions)}); pass an element of this group."
        )
    if choice.mix is not None and space.of("rotate"):
        check_rotation(space, choice.mix)
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
        along_copies(choice.phases),
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
    phases = moved(first.phases)
    if phases is not None and second.phases is not None:
        phases = second.phases + phases
    mix = None
    if first.mix is not None and second.mix is not None:
        rows = torch.arange(space.copies)[:, None, None]
        mix = second.mix @ first.mix[rows, p[:, :, None], p[:, None, :]]
    return SpaceElement(permutation, log_scales, signs, None, mix, phases)


def inverse_choice(space: Space, choice: SpaceElement) -> SpaceElement:
    """The choice that undoes `choice` on every copy, shifts left out."""
    choice = _filled(space, choice)
    back = torch.argsort(choice.permutation, dim=1)

    def moved(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.gather(2, back.expand(len(value), *back.shape))

    log_scales, phases = moved(choice.log_scales), moved(choice.phases)
    mix = None
    if choice.mix is not None:
        rows = torch.arange(space.copies)[:, None, None]
        undone = choice.mix.transpose(1, 2) if space.of("rotate") else torch.linalg.inv(choice.mix)
        mix = undone[rows, back[:, :, None], back[:, None, :]]
    return SpaceElement(
        back,
        None if log_scales is None else -log_scales,
        moved(choice.signs),
        None,
        mix,
        None if phases is None else -phases,
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
        rest.phases if choice.phases is None else choice.phases,
    )
