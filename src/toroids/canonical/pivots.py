"""The choice of pivots, the weights whose norm, sign or mean every direction of a space sets."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

import numpy as np

from toroids.canonical.candidates import Candidates
from toroids.canonical.exponents import Matrix, independent, right_inverse
from toroids.canonical.order import ordered
from toroids.canonical.steps import Pivot, meet
from toroids.canonical.told import Known, follows
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Generator, Kind, Leg, Space, overlap

# Of what is left to do, in a circle of steps, a round must leave less.
SLOWEST = 0.9
# Choices of which weights are the large ones, in one circle.
MOST = 256


@dataclass(frozen=True)
class Others:
    """What the spaces have chosen that choose before one.

    Attributes:
        known: what their pivots tell.
        earlier: their pivots.
    """

    known: Known
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
        unsigned: spaces of which some flips have none.
        notes: what cannot be fixed, and why.
    """

    def __init__(self, group: SymmetryGroup) -> None:
        """Chooses nothing yet."""
        self.group = group
        self.lacking: list[str] = []
        self.unsigned: list[str] = []
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
            circles = self._ordered(chosen)
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
        """The pivots of scales; rows that other spaces scale, too, where no circle comes of it.

        Spaces that find all their weights told by others choose before those, if that helps.

        Args:
            bias: whether biases are coordinates of the spheres.

        Returns:
            As many as were found; `lacking` names spaces that want more.
        """
        notes = list(self.notes)
        first: set[str] = set()
        best: tuple[list[Pivot], list[str], list[str]] | None = None
        while best is None or not set(self.lacking) <= first:
            first |= set(self.lacking)
            self.notes, self.lacking = list(notes), []
            pivots = self._uncircled(bias, first)
            if best is None or (len(self.lacking) < len(best[1]) and not self._circling(pivots)):
                best = pivots, self.lacking, self.notes
        pivots, self.lacking, self.notes = best
        return pivots

    def _uncircled(self, bias: bool, first: set[str]) -> list[Pivot]:
        """The pivots of scales, none of which depend on each other in a circle if need be."""
        notes = list(self.notes)
        self._candidates.circling = set()
        while True:
            pivots = self._independent("rescale", bias, first)
            circling = self._circling(pivots)
            if circling <= self._candidates.circling:
                return self._resting(pivots)
            self._candidates.circling |= circling
            self.notes, self.lacking = list(notes), []

    def _resting(self, pivots: list[Pivot]) -> list[Pivot]:
        """The pivots without those that never come to rest beside others in a circle."""
        for circle in self._ordered(pivots):
            if len(circle) > 1 and self._contraction(circle) > SLOWEST:
                lost = next((step for step in circle if step.space.is_single), circle[-1])
                self.lacking.append(lost.space.name)
                self.notes.append(
                    f"space `{lost.space.name}`: a family of 'rescale' is {_left('rescale')}; what "
                    "tells it apart would never come to rest beside others"
                )
                return self._resting([step for step in pivots if step is not lost])
        return pivots

    def _contraction(self, circle: Sequence[Pivot]) -> float:
        """By how much a round of steps, one after another, shrinks what is left to do."""
        # weights of one pivot may be moved unlike each other, as a gain and what it normalises, and
        # any of them may be the large ones: the slowest counts
        rows = [
            {tuple(self._power(step, leg) for step in circle) for leg in other.legs}
            for other in circle
        ]
        some = islice(product(*rows), MOST)
        return max(_shrinking(np.array(moved)) for moved in some)

    def _power(self, step: Pivot, leg: Leg) -> float:
        """The power of a step in which it moves a leg; one unit stands for all."""
        powers = {
            (own.axis, own.span): power
            for own, power in zip(step.space.legs, step.exponents, strict=True)
            if power and overlap(own, leg, self.group.shapes)
        }
        shapes = self.group.shapes
        return sum(powers.values()) + follows(step.space, leg, step.exponents, shapes)

    def _circling(self, pivots: Sequence[Pivot]) -> set[str]:
        """Tensors of pivots that depend on each other."""
        circles = [circle for circle in self._ordered(pivots) if len(circle) > 1]
        return {leg.tensor for circle in circles for step in circle for leg in step.legs}

    def _ordered(self, pivots: Sequence[Pivot]) -> list[list[Pivot]]:
        circles = ordered(pivots, self.group.shapes)
        return [[step for step in circle if isinstance(step, Pivot)] for circle in circles]

    def flips(self) -> list[Pivot]:
        """The pivots of flips."""
        return self._independent("flip")

    def _independent(
        self, action: Kind, bias: bool = True, first: Collection[str] = ()
    ) -> list[Pivot]:  # fmt: skip
        """The pivots of all spaces, which are independent, and of which no two share weights."""
        known = Known(self.group, action)
        found: list[Pivot] = []
        for space in sorted(self.group.spaces, key=lambda space: space.name not in first):
            pivots = self._of(space, action, bias, Others(known, tuple(found)))
            pivots = self._apart(pivots, found)
            if len(pivots) < len(self._outer(space, action)):
                (self.lacking if action == "rescale" else self.unsigned).append(space.name)
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
            if alone and (others is None or others.known.add(shown[0], space.name)):
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


def _shrinking(moved: Matrix) -> float:
    """By how much a round shrinks what is left, of steps in which each moves what others look at.

    Args:
        moved: the power in which a step, a column, moves what another one looks at, a row.

    Returns:
        Without end where a step leaves its own as it is, as a gain follows what its space scales.
    """
    if not np.diag(moved).all():
        return math.inf
    before = np.linalg.solve(np.tril(moved), np.triu(moved, 1))
    return float(np.abs(np.linalg.eigvals(before)).max())


def _left(action: Kind) -> str:
    """What becomes of generators that have no pivot."""
    if action == "rescale":
        return "set by the least norm of all weights, where there is one"
    return "left as they are"


def _without_bias(legs: tuple[Leg, ...], group: SymmetryGroup) -> tuple[Leg, ...]:
    return tuple(leg for leg in legs if len(group.shapes[leg.tensor]) > 1) or legs[:1]
