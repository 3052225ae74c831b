"""What an element does, in words: how many units it permutes, flips, turns, in how many spaces."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from toroids.symmetry.element import Element, SpaceElement
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Space

# Of a matrix or an angle, above what comes of float32 and of settling step by step.
SMALL = 1e-3
NOTHING = "nothing"


@dataclass(frozen=True)
class Moved:
    """What an element does to one space.

    Attributes:
        space: its name.
        units: how many it has, all copies together.
        permuted: how many of them lie in another place.
        flipped: how many signs change.
        rotated: whether an orthogonal matrix acts.
        turned: how many phases are not zero.

    See `Comparison` for one in use.
    """

    space: str
    units: int
    permuted: int
    flipped: int
    rotated: bool
    turned: int

    def __str__(self) -> str:
        parts = [f"{self.permuted} of {self.units} units permuted"] * bool(self.permuted)
        parts += [f"{self.flipped} signs flipped"] * bool(self.flipped)
        parts += [f"rotated by a matrix of {self.units} units"] * self.rotated
        parts += [f"{self.turned} pairs turned"] * bool(self.turned)
        return ", ".join(parts) or "left in place"

    @property
    def any(self) -> bool:
        """Whether it does anything."""
        return bool(self.permuted or self.flipped or self.rotated or self.turned)


def moved(group: SymmetryGroup, element: Element) -> tuple[Moved, ...]:
    """Counts what an element moves.

    Args:
        group: of the element.
        element: of permutations, signs, orthogonal matrices and phases.

    Returns:
        One entry for every space.
    """
    return tuple(_moved(space, element.choices[space.name]) for space in group.spaces)


def _moved(space: Space, choice: SpaceElement) -> Moved:
    home = torch.arange(space.size)
    permuted = int((choice.permutation.cpu() != home).sum())
    signs, phases, mix = choice.signs, choice.phases, choice.mix
    flipped = 0 if signs is None else int((signs < 0).sum())
    turned = 0 if phases is None else int((phases.abs() > SMALL).sum())
    rotated = False
    if mix is not None:
        eye = torch.eye(space.size, dtype=mix.dtype, device=mix.device)
        rotated = bool((mix - eye).abs().max() > SMALL)
    if space.matrix is not None:  # permutations and signs are among the matrices
        rotated = rotated or bool(permuted or flipped)
        permuted = flipped = 0
    return Moved(space.name, space.copies * space.size, permuted, flipped, rotated, turned)


def in_words(found: tuple[Moved, ...], rescaled: bool) -> str:
    """Sums up what was done, in one line.

    Args:
        found: by space.
        rescaled: whether scales, shifts or mixes were removed besides.

    Returns:
        What was permuted, flipped, rotated, turned and rescaled.
    """
    return ", ".join([*_parts(found), *(["units rescaled"] * rescaled)]) or NOTHING


def _parts(found: tuple[Moved, ...]) -> Iterator[str]:
    permuted, flipped, turned = (
        sum(getattr(each, kind) for each in found) for kind in ("permuted", "flipped", "turned")
    )
    rotated = sum(each.rotated for each in found)
    units = sum(each.units for each in found if not each.rotated)
    if permuted:
        yield f"{permuted} of {units} units permuted"
    if flipped:
        yield f"{flipped} signs flipped"
    if rotated:
        yield f"{rotated} of {len(found)} spaces rotated"
    if turned:
        yield f"{turned} pairs turned"
