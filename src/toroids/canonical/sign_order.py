"""Which weights tell the signs of units and of directions that matrices mix, in which order."""

from collections.abc import Sequence
from dataclasses import replace

from toroids.canonical.order import ordered
from toroids.canonical.steps import Mix, MixSigns, Pivot, Sign, meet
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Leg, Space, carried_twice
from toroids.symmetry.units import entries_per_unit


class SignOrder:
    """The steps that fix the signs of one group.

    Attributes:
        group: the group.
        steps: in order; steps that depend on each other in a circle come together.
    """

    def __init__(self, group: SymmetryGroup, flips: Sequence[Pivot], mixes: Sequence[Mix]) -> None:
        """Orders the flips of units and the signs of directions."""
        self.group = group
        self.steps = self._unwound([*flips, *(self._signs(mix.space) for mix in mixes)])

    def _unwound(
        self, steps: list[Sign], told: frozenset[str] = frozenset()
    ) -> list[list[Sign]]:  # fmt: skip
        """Orders steps; in a circle, directions look at weights that no other step moves."""
        circles = ordered(
            steps, self.group.shapes
        )  # once told where to look, a space keeps to that
        for circle in circles:
            for step in circle if len(circle) > 1 else ():
                if isinstance(step, MixSigns) and step.space.name not in told:
                    legs = self._alone(step, steps) or self._alone(step, circle)
                    if legs:
                        other = [replace(x, legs=legs) if x is step else x for x in steps]
                        return self._unwound(other, told | {step.space.name})
        return [
            self._climbing(circle, [x for later in circles[at + 1 :] for x in later])
            for at, circle in enumerate(circles)
        ]

    def _climbing(self, circle: list[Sign], later: Sequence[Sign]) -> list[Sign]:
        """Steps that depend on each other look at all that they move: each raises one sum.

        One that looked at a part could lower what another has raised, for ever.

        Args:
            circle: of steps, or a single one, which stays as it is.
            later: steps that are taken after these.

        Returns:
            The steps, on weights that no later one moves.
        """
        if len(circle) == 1:
            return circle
        twice = {name for step in circle for name in carried_twice(step.space, self.group.shapes)}
        out = twice | self.group.buffers | set(self.group.tied)
        moved = [leg for step in later for leg in step.moves]
        counted = [
            tuple(leg for leg in step.moves if leg.tensor not in out and not self._meet(leg, moved))
            for step in circle
        ]
        # what is left without any looks where it did
        pairs = zip(circle, counted, strict=True)
        return [replace(step, legs=legs) if legs else step for step, legs in pairs]

    def _alone(self, step: MixSigns, others: Sequence[Sign]) -> tuple[Leg, ...]:
        """The legs of a space that only it moves; those that write it, or else the others."""
        moved = [leg for other in others if other is not step for leg in other.moves]
        written = self._signs(step.space).legs
        twice = carried_twice(step.space, self.group.shapes)
        rest = [
            leg
            for leg in step.space.legs
            if leg not in written and (leg.role == "read" or leg.tensor not in twice)
        ]
        for side in (written, rest):
            legs = tuple(leg for leg in side if not self._meet(leg, moved))
            units = step.space.copies * step.space.size
            if any(entries_per_unit(self.group.shapes[x.tensor], x, units) > 1 for x in legs):
                return legs
        return ()

    def _signs(self, space: Space) -> MixSigns:
        """Looks at all weights that write a space, on one axis."""
        twice = carried_twice(space, self.group.shapes)
        powers = zip(space.legs, space.of("mix")[0].exponents, strict=True)
        return MixSigns(space, tuple(x for x, e in powers if e > 0 and x.tensor not in twice))

    def _meet(self, leg: Leg, others: Sequence[Leg]) -> bool:
        return meet([leg], others, self.group.shapes)
