"""What the canonical form fixes, on which weights, and in which order.

Every continuous generator of a space gets a pivot: the weights whose norm, or mean, it sets. With
E the exponents of a space's generators on its pivots, the columns of the inverse of E are
directions that each move one pivot and leave the others; so they can be fixed one after another.
A pivot comes after everything else that moves its weights: when a layer's rows are normalised, its
columns already carry the scales of the layer before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, TypeVar

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from toroids.canonical.exponents import Matrix, independent, right_inverse
from toroids.canonical.mix import carried_twice
from toroids.canonical.spheres import Spheres, output_sphere
from toroids.canonical.told import Rows, Told
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Absorbed, Generator, Kind, Leg, Space, overlap
from toroids.symmetry.units import entries_per_unit


@dataclass(frozen=True)
class Pivot:
    """One direction of a space's generators and the weights that determine how far it moves.

    Attributes:
        space: the space.
        action: of the generators: "rescale", "flip" or "shift".
        legs: of the weights; all take the power one in this direction.
        exponents: for every leg of the space, the power it takes in this direction.
        absorbed: the biases that take back what readers make of a shift.
    """

    space: Space
    action: Kind
    legs: tuple[Leg, ...]
    exponents: tuple[float, ...]
    absorbed: tuple[Absorbed, ...] = ()

    @property
    def moves(self) -> list[Leg]:
        """Every leg that changes in this direction, and weights that a norm's eps corrects."""
        legs = [x for x, e in zip(self.space.legs, self.exponents, strict=True) if e]
        legs += [Leg(x.bias, 0, "write", x.bias) for x in self.absorbed]
        if self.action != "rescale":
            return legs
        moved = {leg.tensor for leg in legs}
        weights = {norm.weight for norm in self.space.norms if norm.variance in moved}
        own = [x for x in self.space.legs if x.tensor in weights]
        # a scale of a whole layer moves norms whose weights are on no leg of its space
        apart = weights - {leg.tensor for leg in own}
        return [*legs, *own, *(Leg(name, 0, "write", name) for name in sorted(apart))]

    @cached_property
    def acting(self) -> Space:
        """The space with this direction as its only generator, on the legs that it moves."""
        powers = tuple(e for e in self.exponents if e)
        moved = {leg.tensor for leg in self.moves}
        return replace(
            self.space,
            actions=frozenset({self.action}),
            legs=tuple(x for x, e in zip(self.space.legs, self.exponents, strict=True) if e),
            generators=(Generator(self.action, powers, self.absorbed),),
            norms=tuple(norm for norm in self.space.norms if norm.variance in moved),
        )

    @property
    def moves_across(self) -> bool:
        """Whether it moves its weights along another axis, too, so that no power is the one."""
        return any(self.exponents[n] for leg in self.legs for n in _across(self.space, leg))

    @property
    def spheres(self) -> Spheres:
        """The family of spheres that the weights form."""
        return Spheres(self.space.name, self.space.copies * self.space.size, self.legs)


@dataclass(frozen=True)
class Mix:
    """A space on which matrices act."""

    space: Space
    action: ClassVar[Kind] = "mix"

    @property
    def legs(self) -> tuple[Leg, ...]:
        """All legs: the balanced gauge looks at both sides."""
        return self.space.legs

    @property
    def moves(self) -> list[Leg]:
        """All legs."""
        return list(self.space.legs)


@dataclass(frozen=True)
class MixSigns:
    """The signs of the directions of a space on which matrices act.

    Attributes:
        space: the space.
        legs: of the weights that tell them.
    """

    space: Space
    legs: tuple[Leg, ...]

    @property
    def moves(self) -> list[Leg]:
        """All legs of the space."""
        return list(self.space.legs)


@dataclass(frozen=True)
class OutputScale:
    """The scale of a classifier's outputs."""

    spheres: Spheres

    @property
    def legs(self) -> tuple[Leg, ...]:
        """All legs that write the outputs."""
        return self.spheres.legs

    @property
    def moves(self) -> list[Leg]:
        """All legs."""
        return list(self.legs)


Scale = Pivot | Mix | OutputScale
Sign = Pivot | MixSigns
Step = Scale | Sign


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


class Plan:
    """The steps to the sphere gauge of one group, and the spheres that result.

    Attributes:
        shifts: pivots of shifts, whose means become zero.
        scales: steps that fix scales and matrices, in order; steps that depend on each other in a
            circle come together and are repeated.
        signs: steps that fix signs, in order.
        lacking: spaces of which some scales have no pivot.
        notes: what cannot be fixed, and why.
    """

    def __init__(self, group: SymmetryGroup, bias: bool) -> None:
        """Plans for `group`; `bias` says whether biases are coordinates of the spheres."""
        self.group, self.bias = group, bias
        self.notes: list[str] = []
        self.lacking: list[str] = []
        self.shifts = self._shift_pivots()
        rescales = self._scale_pivots(bias)
        flips = self._independent_pivots("flip")
        mixes: list[Mix] = []
        for space in group.spaces:
            if any(len(set(generator.exponents)) > 1 for generator in space.of("mix")):
                mixes.append(Mix(space))
            elif space.of("mix"):
                self.notes.append(
                    f"space `{space.name}`: its matrices are left as they are; no parameters read "
                    "what they act on"
                )
        output = output_sphere(group)
        scales: list[Scale] = [*rescales, *mixes]
        self.scales = ordered([*scales, OutputScale(output)] if output else scales)
        self.signs = self._unwound([*flips, *(self._signs(mix.space) for mix in mixes)])

    def _scale_pivots(self, bias: bool) -> list[Pivot]:
        """The pivots of scales; rows that other spaces scale, too, where no circle comes of it."""
        self._circling: set[str] = set()
        while True:
            pivots = self._independent_pivots("rescale", bias)
            circles = [circle for circle in ordered(pivots) if len(circle) > 1]
            circling = {leg.tensor for circle in circles for step in circle for leg in step.legs}
            if circling <= self._circling:
                return pivots
            self._circling |= circling
            self.notes, self.lacking = [], []

    def _independent_pivots(self, action: Kind, bias: bool = True) -> list[Pivot]:
        """The pivots of all spaces, which are independent, and of which no two share weights."""
        rows, told = Rows(self.group, action), Told(action)
        found: list[Pivot] = []
        for space in self.group.spaces:
            pivots = self._pivots(space, action, bias, Others(rows, told, tuple(found)))
            pivots = self._apart(pivots, found)
            if action == "rescale" and len(pivots) < len(self._outer(space, action)):
                self.lacking.append(space.name)
            found += pivots
        return found

    def _outer(self, space: Space, action: Kind) -> list[Generator]:
        """The generators of a space that no space within it has as well."""
        return [g for g in space.of(action) if not self._is_inner(space, g)]

    def _signs(self, space: Space) -> MixSigns:
        """Looks at all weights that write a space, on one axis."""
        twice = carried_twice(space)
        powers = zip(space.legs, space.of("mix")[0].exponents, strict=True)
        return MixSigns(space, tuple(x for x, e in powers if e > 0 and x.tensor not in twice))

    def _unwound(
        self, steps: list[Sign], told: frozenset[str] = frozenset()
    ) -> list[list[Sign]]:  # fmt: skip
        """Orders steps; in a circle, directions look at weights that no other step moves."""
        circles = ordered(steps)  # once told where to look, a space keeps to that
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
        twice = {name for step in circle for name in carried_twice(step.space)}
        out = twice | self.group.buffers | set(self.group.tied)
        moved = [leg for step in later for leg in step.moves]
        counted = [
            tuple(leg for leg in step.moves if leg.tensor not in out and not _meet([leg], moved))
            for step in circle
        ]
        # what is left without any looks where it did
        pairs = zip(circle, counted, strict=True)
        return [replace(step, legs=legs) if legs else step for step, legs in pairs]

    def _alone(self, step: MixSigns, others: Sequence[Sign]) -> tuple[Leg, ...]:
        """The legs of a space that only it moves; those that write it, or else the others."""
        moved = [leg for other in others if other is not step for leg in other.moves]
        written = self._signs(step.space).legs
        twice = carried_twice(step.space)
        rest = [
            leg
            for leg in step.space.legs
            if leg not in written and (leg.role == "read" or leg.tensor not in twice)
        ]
        for side in (written, rest):
            legs = tuple(leg for leg in side if not _meet([leg], moved))
            units = step.space.copies * step.space.size
            if any(entries_per_unit(self.group.shapes[x.tensor], x, units) > 1 for x in legs):
                return legs
        return ()

    @cached_property
    def spheres(self) -> list[Spheres]:
        """The families of spheres; one with a single coordinate, two points, is none."""
        families = [
            step.spheres for steps in self.scales for step in steps if not isinstance(step, Mix)
        ]
        return [family for family in families if family.coordinates(self.group) > 1]

    def _shift_pivots(self) -> list[Pivot]:
        """The pivots of shifts, those whose biases absorb others after these."""
        early: set[str] = set()
        while True:
            notes = list(self.notes)
            chosen = [
                p
                for s in self.group.spaces
                for p in self._pivots(s, "shift", early=s.name in early)
            ]
            circles = [[x for x in c if isinstance(x, Pivot)] for c in ordered(chosen)]
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

    def _pivots(
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
            (table[space.legs.index(legs[0])], self._shown(space, legs, taken))
            for legs in self._candidates(space, action, table, early)
        ]
        for row, shown in sorted(candidates, key=lambda c: _meet(c[1], taken)):
            alone = independent([*rows, row], modulo_two=action == "flip")
            if alone and (others is None or others.told.add(others.rows.of(shown[0]))):
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
        kept = [p for p in pivots if not _meet(p.legs, taken)]
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

    def _candidates(
        self, space: Space, action: Kind, table: Matrix, early: bool = False
    ) -> list[tuple[Leg, ...]]:
        """Groups legs that one operator writes and that move alike; the best candidates first."""
        group = self.group
        twice = carried_twice(space)
        # of a single unit, who writes and who reads is only a matter of the sign
        whole = action == "rescale" and space.is_single
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
                apart = tensor not in self._circling or self._is_free(tensor, space, action)
                moving = moving or (apart and _moves_apart(space, number, table))
            elif action == "flip" and row.any() and tensor not in twice:
                moving = moving or (leg.role == "read" and self._is_free(tensor, space, action))
            if moving and tensor not in group.buffers and tensor not in group.tied:
                found.setdefault((leg.operator, *row, *scale), []).append(leg)
        order = [tuple(legs) for legs in found.values() if self._shown(space, legs)]
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
            order.sort(key=lambda legs: _meet(legs, self._turned))  # a phase may turn a sign
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

    def _is_moved_across(self, space: Space, leg: Leg) -> bool:
        """Whether more than an order of units acts on a leg's tensor along another axis."""
        across = _across(space, leg)
        moves = any(generator.exponents[n] for generator in space.generators for n in across)
        return bool(across) and (space.matrix is not None or moves)

    def _shown(
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
        return tuple(sorted(single, key=lambda leg: _meet([leg], taken))[:1])  # best one not taken


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
    across = _across(space, leg)
    return bool(across) and not any((own & (powers[n] != 0)).any() for n in across)


def _across(space: Space, leg: Leg) -> list[int]:
    """Numbers of the legs that lie along other axes of a leg's tensor."""
    return [
        number
        for number, other in enumerate(space.legs)
        if other.tensor == leg.tensor and (other.axis, other.span) != (leg.axis, leg.span)
    ]


def _left(action: Kind) -> str:
    """What becomes of generators that have no pivot."""
    if action == "rescale":
        return "set by the least norm of all weights, where there is one"
    return "left as they are"


def _without_bias(legs: tuple[Leg, ...], group: SymmetryGroup) -> tuple[Leg, ...]:
    return tuple(leg for leg in legs if len(group.shapes[leg.tensor]) > 1) or legs[:1]


def _meet(legs: Iterable[Leg], others: Iterable[Leg]) -> bool:
    return any(overlap(x, y) for x in legs for y in others)


S = TypeVar("S", Scale, Sign)


def ordered(steps: Sequence[S]) -> list[list[S]]:
    """Sorts steps so that each comes after all others that move what it looks at."""
    looks: dict[str, list[tuple[int, Leg]]] = {}
    for number, step in enumerate(steps):
        for leg in step.legs:
            looks.setdefault(leg.tensor, []).append((number, leg))
    edges = {
        (mover, looker)
        for mover, step in enumerate(steps)
        for moved in step.moves
        for looker, leg in looks.get(moved.tensor, ())
        if looker != mover and overlap(moved, leg)
    }
    return [[steps[i] for i in circle] for circle in _circles(len(steps), edges)]


def _circles(count: int, edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Strongly connected parts of a graph, sources first, otherwise in order."""
    edges = list(edges)
    heads = ([a for a, _ in edges], [b for _, b in edges])
    graph = coo_matrix((np.ones(len(edges)), heads), shape=(count, count))
    _, part = connected_components(graph, directed=True, connection="strong")
    members: dict[int, list[int]] = {}
    for step in range(count):
        members.setdefault(int(part[step]), []).append(step)
    waits = {p: {int(part[a]) for a, b in edges if part[b] == p} - {p} for p in members}
    order: list[list[int]] = []
    done: set[int] = set()
    while len(order) < len(members):
        ready = next(p for p in members if p not in done and waits[p] <= done)
        done.add(ready)
        order.append(members[ready])
    return order
