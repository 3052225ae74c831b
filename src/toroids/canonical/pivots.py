"""The choice of pivots, the weights whose norm, sign or mean every direction of a space sets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toroids.canonical.candidates import Candidates
from toroids.canonical.exponents import Matrix, independent, right_inverse
from toroids.canonical.order import ordered
from toroids.canonical.steps import Pivot, meet
from toroids.canonical.told import Rows, Told
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Generator, Kind, Leg, Space


@dataclass(frozen=True)
class Others:
    """What the spaces have chosen that choose before one.

    Attributes:
        rows: what the legs of the group tell.
        told: what their pivots tell.
        earlier: their pivots.
    """

    rows: Rows
    told: Told
    earlier: Sequence[Pivot] = ()

    @property
    def taken(self) -> list[Leg]:
        """The weights of their pivots."""
        return [leg for pivot in self.earlier for leg in pivot.legs]


class Pivots:
    """The pivots of one group.

    Attributes:
        group: the group.
        lacking: spaces of which some scales have no pivot.
        notes: what cannot be fixed, and why.
    """

    def __init__(self, group: SymmetryGroup) -> None:
        """Chooses nothing yet."""
        self.group = group
        self.lacking: list[str] = []
        self.notes: list[str] = []
        self._candidates = Candidates(group)

    def shifts(self) -> list[Pivot]:
        """The pivots of shifts, those whose biases absorb others after these."""
        early: set[str] = set()
        while True:
            notes = list(self.notes)
            chosen = [
                p for s in self.group.spaces for p in self._of(s, "shift", early=s.name in early)
            ]
            found = ordered(chosen, self.group.shapes)
            circles = [[x for x in c if isinstance(x, Pivot)] for c in found]
            names = {pivot.space.name for circle in circles if len(circle) > 1 for pivot in circle}
            if names <= early:
                break
            # what an earlier bias shifts is all later than itself, so that none comes back to it
            early |= names
            self.notes = notes
        if names:
            self.notes.append(
                f"spaces {sorted(names)}: their shifts are not fixed; what one takes from a bias "
                "another gives back"
            )
        return [pivot for circle in circles for pivot in circle]

    def scales(self, bias: bool) -> list[Pivot]:
        """The pivots of scales; rows that other spaces scale, too, where no circle comes of it."""
        notes = list(self.notes)
        while True:
            pivots = self._independent("rescale", bias)
            circles = [circle for circle in ordered(pivots, self.group.shapes) if len(circle) > 1]
            circling = {leg.tensor for circle in circles for step in circle for leg in step.legs}
            if circling <= self._candidates.circling:
                return pivots
            self._candidates.circling |= circling
            self.notes, self.lacking = list(notes), []

    def flips(self) -> list[Pivot]:
        """The pivots of flips."""
        return self._independent("flip")

    def _independent(self, action: Kind, bias: bool = True) -> list[Pivot]:
        """The pivots of all spaces, which are independent, and of which no two share weights."""
        rows, told = Rows(self.group, action), Told(action)
        found: list[Pivot] = []
        for space in self.group.spaces:
            pivots = self._of(space, action, bias, Others(rows, told, tuple(found)))
            pivots = self._apart(pivots, found)
            if action == "rescale" and len(pivots) < len(self._outer(space, action)):
                self.lacking.append(space.name)
            found += pivots
        return found

    def _outer(self, space: Space, action: Kind) -> list[Generator]:
        """The generators of a space that no space within it has as well."""
        return [g for g in space.of(action) if not self._is_inner(space, g)]

    def _of(
        self, space: Space, action: Kind, bias: bool = True, others: Others | None = None,
        early: bool = False,
    ) -> list[Pivot]:  # fmt: skip
        """Chooses the pivots of one space, in topological order of the operators.

        Weights that lie on the spheres of `others` come last. Where `early`, the first bias of
        several shows their shift.

        Returns:
            As many pivots as the generators allow, if enough weights have units of their own.
        """
        generators = self._outer(space, action)
        if not generators:
            return []
        table = np.array([generator.exponents for generator in generators]).T
        chosen: list[tuple[Leg, ...]] = []
        rows: list[Matrix] = []
        taken = others.taken if others else []
        candidates = [
            (table[space.legs.index(legs[0])], self._candidates.shown(space, legs, taken))
            for legs in self._candidates.of(space, action, table, early)
        ]
        for row, shown in sorted(candidates, key=lambda c: meet(c[1], taken, self.group.shapes)):
            alone = independent([*rows, row], modulo_two=action == "flip")
            if alone and (others is None or others.told.add(others.rows.of(shown[0]), space.name)):
                chosen.append(shown if bias else _without_bias(shown, self.group))
                rows.append(row)
        directions = np.empty((0, len(generators)))
        if rows:
            directions = right_inverse(np.array(rows), modulo_two=action == "flip").T
        pivots = []
        for legs, direction in zip(chosen, directions, strict=True):
            exponents = table @ direction
            if action == "flip":
                exponents = exponents % 2
            # what is only rounding would make steps seem to depend on each other in a circle
            powers, shares = (np.round(x, 12).tolist() for x in (exponents, direction))
            absorbed = tuple(
                replace(taken, factor=taken.factor * share)
                for share, generator in zip(shares, generators, strict=True)
                for taken in generator.absorbed
                if share
            )
            pivot = Pivot(space, action, legs, tuple(powers), absorbed)
            if action != "rescale" or not pivot.moves_across:
                pivots.append(pivot)
        missing = len(generators) - len(pivots)
        if missing:
            self.notes.append(
                f"space `{space.name}`: {missing} of {len(generators)} families of {action!r} are "
                f"{_left(action)}; no parameters that only write the space tell them apart"
            )
        return pivots

    def _apart(self, pivots: Sequence[Pivot], earlier: Sequence[Pivot]) -> list[Pivot]:
        """Drops pivots whose weights lie on another space's spheres, as rows and columns do."""
        taken = [leg for pivot in earlier for leg in pivot.legs]
        kept = [p for p in pivots if not meet(p.legs, taken, self.group.shapes)]
        if len(kept) < len(pivots):
            self.notes.append(
                f"space `{pivots[0].space.name}`: {len(pivots) - len(kept)} of {len(pivots)} "
                f"families of {pivots[0].action!r} are {_left(pivots[0].action)}; another space "
                "already sets the same weights"
            )
        return kept

    def _is_inner(self, space: Space, generator: Generator) -> bool:
        """Whether a space within this one already moves each of its units by itself."""
        return any(
            self._powers(space, generator) == self._powers(inner, other)
            for inner in self.group.spaces
            if space.name in inner.within
            for other in inner.of(generator.action)
        )

    def _powers(self, space: Space, generator: Generator) -> dict[tuple[str, int, float], set[int]]:
        """The positions that a generator moves, by tensor, axis and power."""
        found: dict[tuple[str, int, float], set[int]] = {}
        for leg, power in zip(space.legs, generator.exponents, strict=True):
            if power:
                places = leg.places(self.group.shapes[leg.tensor])
                found.setdefault((leg.tensor, leg.axis, power), set()).update(places)
        return found


def _left(action: Kind) -> str:
    """What becomes of generators that have no pivot."""
    if action == "rescale":
        return "set by the least norm of all weights, where there is one"
    return "left as they are"


def _without_bias(legs: tuple[Leg, ...], group: SymmetryGroup) -> tuple[Leg, ...]:
    return tuple(leg for leg in legs if len(group.shapes[leg.tensor]) > 1) or legs[:1]
