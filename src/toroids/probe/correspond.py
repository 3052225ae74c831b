"""Which space of a traced module a space of a given group is, unit by unit.

The given group may have been written by hand: its names, the order of its units and the legs that
it lists may differ from what discovery finds. Spaces are the same where their units hold the same
entries of the same parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from toroids.discovery.axes.constraints import Ids
from toroids.errors import ToroidsError
from toroids.probe.parity import Span
from toroids.symmetry.space import Generator, Leg, Space

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Key: TypeAlias = tuple[str, int, int]  # tensor, axis, span


@dataclass(frozen=True)
class Match:
    """A space of a given group in a traced module.

    Attributes:
        name: of the traced module's space.
        units: for every unit of the given space, copy after copy, the number of the traced one.
        flips: for every flip of the given space, which flips of the traced one make it up.
    """

    name: str
    units: Ids
    flips: tuple[tuple[int, ...], ...]

    def signs(self, traced: Sequence[int]) -> tuple[float, ...]:
        """The powers that a value takes of the given flips, from those of the traced ones."""
        return tuple(
            float(sum(a * b for a, b in zip(made, traced, strict=True)) % 2) for made in self.flips
        )


def correspond(space: Space, traced: Sequence[Space], shapes: Shapes) -> Match | None:
    """Finds a space of a given group among the spaces of a traced module.

    Args:
        space: the given space; its units may be some of those of the traced one.
        traced: the spaces of the module.
        shapes: of its parameters and buffers.

    Returns:
        The match; None where its units lie across those of traced spaces, as rotary pairs do, and
        of slices of tensors that stay in place, or of a whole one, which nothing matches.

    Raises:
        ToroidsError: no space has these units, or none of it takes these signs.
    """
    given = _held(space, shapes)
    for other in traced:
        units = _units(given, _held(other, shapes))
        if units is not None:
            return Match(other.name, units, _flips(space, other, int(units[0]), shapes))
    known = {key for other in traced for key in _held(other, shapes)}
    if given.keys() <= known or space.is_single or space.is_still:
        return None
    legs = ", ".join(f"axis {leg.axis} of `{leg.tensor}`" for leg in space.legs[:3])
    raise ToroidsError(
        f"no units of the traced model lie as those of space `{space.name}` do ({legs}, ...); "
        "pass a group that toroids.discover found on this model, or check the legs of the space."
    )


def _positions(space: Space, leg: Leg, shapes: Shapes) -> Ids:
    """Where the units lie along a leg: (units, entries per unit)."""
    units = space.copies * space.size
    return np.array(leg.places(shapes[leg.tensor])).reshape(units, -1)


def _held(space: Space, shapes: Shapes) -> dict[Key, Ids]:
    """All entries that the units hold, by axis; ascending for every unit."""
    found: dict[Key, list[Ids]] = {}
    for leg in space.legs:
        key = (leg.tensor, leg.axis, leg.span)
        found.setdefault(key, []).append(_positions(space, leg, shapes))
    return {key: np.sort(np.hstack(parts), axis=1) for key, parts in found.items()}


def _units(given: Mapping[Key, Ids], traced: Mapping[Key, Ids]) -> Ids | None:
    """The traced unit that holds what each given unit holds; None where there is none."""
    if not given.keys() <= traced.keys():
        return None
    units: Ids | None = None
    for key, mine in given.items():
        theirs = traced[key]
        first = {int(position): unit for unit, position in enumerate(theirs[:, 0])}
        here = np.array([first.get(int(position), -1) for position in mine[:, 0]])
        if (here < 0).any() or len(np.unique(here)) < len(here):
            return None
        if mine.shape[1] != theirs.shape[1] or not (theirs[here] == mine).all():
            return None
        if units is not None and not (units == here).all():
            return None
        units = here
    return units


def _flips(space: Space, traced: Space, unit: int, shapes: Shapes) -> tuple[tuple[int, ...], ...]:
    if not space.of("flip"):
        return ()
    entries = list(_signs(space, space.of("flip")[0], 0, shapes))
    span = Span()
    for generator in traced.of("flip"):
        signs = _signs(traced, generator, unit, shapes)
        span.add([signs[entry] for entry in entries])
    flips = []
    for number, generator in enumerate(space.of("flip")):
        signs = _signs(space, generator, 0, shapes)
        made = span.combination([signs[entry] for entry in entries])
        if made is None:
            raise ToroidsError(
                f"flip {number} of space `{space.name}` gives signs to legs that the traced model "
                "does not allow to change sign together; check its exponents."
            )
        flips.append(made)
    return tuple(flips)


def _signs(
    space: Space, generator: Generator, unit: int, shapes: Shapes
) -> dict[tuple[Key, int], int]:
    """The sign exponent of every entry that a unit holds."""
    return {
        ((leg.tensor, leg.axis, leg.span), int(position)): int(exponent)
        for leg, exponent in zip(space.legs, generator.exponents, strict=True)
        for position in _positions(space, leg, shapes)[unit]
    }
