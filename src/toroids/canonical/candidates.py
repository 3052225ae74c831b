"""Weights that may tell how far one direction of a space moves, the best ones first."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from toroids.canonical.exponents import Matrix
from toroids.canonical.steps import across, meet
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Kind, Leg, Space, carried_twice
from toroids.symmetry.units import entries_per_unit


class Candidates:
    """What may be pivots of the spaces of one group.

    Attributes:
        group: the group.
        circling: tensors that no scale may look at which another space scales, too.
    """

    def __init__(self, group: SymmetryGroup) -> None:
        """Looks at nothing yet."""
        self.group = group
        self.circling: set[str] = set()

    def of(
        self, space: Space, action: Kind, table: Matrix, early: bool = False
    ) -> list[tuple[Leg, ...]]:
        """Groups legs that one operator writes and that move alike; the best candidates first."""
        group = self.group
        twice = carried_twice(space, group.shapes)
        # of units that stay, who writes and who reads is only a matter of the sign
        whole = action == "rescale" and space.is_still
        read = twice | {leg.tensor for leg in space.legs if leg.role == "read" and not whole}
        scales = np.array([g.exponents for g in space.of("rescale")]).T.reshape(len(space.legs), -1)
        found: dict[tuple[object, ...], list[Leg]] = {}
        for number, (leg, row, scale) in enumerate(zip(space.legs, table, scales, strict=True)):
            tensor = leg.tensor
            if space.of("rotate") and action != "shift" and number not in space.gains:
                continue  # a space that rotates does so where its gains are one
            moving = (whole or leg.role == "write") and bool(row.any()) and tensor not in read
            # an embedding tied to the output layer counts as one that reads
            if action == "shift":  # whoever carries a shift shows how large it is
                moving = bool(row.any()) and not self._is_moved_across(space, leg)
            elif action == "rescale" and leg.role == "write" and row.any():
                apart = tensor not in self.circling or self._is_free(tensor, space, action)
                moving = moving or (apart and _moves_apart(space, number, table))
            elif action == "flip" and row.any() and tensor not in twice:
                moving = moving or (leg.role == "read" and self._is_free(tensor, space, action))
            if moving and tensor not in group.buffers and tensor not in group.tied:
                found.setdefault((leg.operator, *row, *scale), []).append(leg)
        order = [tuple(legs) for legs in found.values() if self.shown(space, legs)]
        if action == "shift":
            if early:
                return [(leg,) for legs in order for leg in legs]
            # of two biases that add up, the later one becomes zero, and the earlier one the sum
            pivots = [(leg,) for legs in reversed(order) for leg in reversed(legs)]
            # a bias that absorbs another shift would not stay zero
            return sorted(pivots, key=lambda legs: legs[0].tensor in self._absorbing)
        gains = {norm.weight for norm in space.norms}
        if action == "flip":  # a trained norm's gain is far from zero, where its sign would tie
            order.sort(key=lambda legs: not legs[0].offset and legs[0].tensor not in gains)
            order.sort(
                key=lambda legs: meet(legs, self._turned, group.shapes)
            )  # a phase may turn a sign
        # the layers that also read the space lend only their biases, which may well be zero
        reading = {leg.operator for leg in space.legs if leg.role == "read"}
        order.sort(
            key=lambda legs: (
                legs[0].role == "write" and legs[0].operator in reading and len(legs) == 1
            )
        )
        order.sort(key=lambda legs: whole and legs[0].role == "read")
        # rows of a layer whose columns are other units of the same space
        order.sort(key=lambda legs: action == "rescale" and legs[0].tensor in read)
        return order

    def shown(
        self, space: Space, legs: Sequence[Leg], taken: Sequence[Leg] = ()
    ) -> tuple[Leg, ...]:
        """All legs; of those to which the network adds a number one coordinate of every unit."""
        # such a gain becomes one, or minus one, on no sphere: geometry knows no offsets
        gains = [leg for leg in legs if leg.offset]
        if not gains:
            return tuple(legs)
        units = space.copies * space.size
        single: list[Leg] = []
        for leg in gains:
            entries = entries_per_unit(self.group.shapes[leg.tensor], leg, units)
            if entries == 1:
                single.append(leg)
            elif leg.positions is not None and len(leg.positions) == units * entries:
                places = [leg.positions[first::entries] for first in range(entries)]
                single += [replace(leg, positions=some) for some in places]
        # the best one that is not taken
        return tuple(sorted(single, key=lambda leg: meet([leg], taken, self.group.shapes))[:1])

    def _is_free(self, tensor: str, space: Space, action: Kind) -> bool:
        """Whether no other space flips, or rescales, a tensor's entries."""
        return not any(
            leg.tensor == tensor and other.name != space.name and (other.of(action) or other.matrix)
            for other in self.group.spaces
            for leg in other.legs
        )

    @cached_property
    def _absorbing(self) -> set[str]:
        """The biases that take back shifts."""
        shifts = (shift for space in self.group.spaces for shift in space.of("shift"))
        return {taken.bias for shift in shifts for taken in shift.absorbed}

    @cached_property
    def _turned(self) -> list[Leg]:
        """What phases act on."""
        return [leg for space in self.group.spaces if space.of("phase") for leg in space.legs]

    def _is_moved_across(self, space: Space, leg: Leg) -> bool:
        """Whether more than an order of units acts on a leg's tensor along another axis."""
        others = across(space, leg)
        moves = any(generator.exponents[n] for generator in space.generators for n in others)
        return bool(others) and (space.matrix is not None or moves)


def _moves_apart(space: Space, number: int, powers: Matrix) -> bool:
    """Whether what scales a leg scales its tensor along no other axis.

    Args:
        space: the space.
        number: which of its legs.
        powers: of every leg in every direction, (legs, directions).

    Returns:
        False, too, where the tensor lies along no other axis.
    """
    leg, own = space.legs[number], powers[number] != 0
    others = across(space, leg)
    return bool(others) and not any((own & (powers[n] != 0)).any() for n in others)
