"""The steps to the canonical form as values: what each looks at, and what it moves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from toroids.canonical.spheres import Spheres
from toroids.symmetry.space import Absorbed, Generator, Kind, Leg, Space, overlap


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
        weights |= {norm.gain for norm in self.space.weight_norms if norm.weight in moved}
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
            weight_norms=tuple(norm for norm in self.space.weight_norms if norm.weight in moved),
        )

    @property
    def moves_across(self) -> bool:
        """Whether it moves its weights along another axis, too, so that no power is the one."""
        return any(self.exponents[n] for leg in self.legs for n in across(self.space, leg))

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


def across(space: Space, leg: Leg) -> list[int]:
    """Numbers of the legs that lie along other axes of a leg's tensor."""
    return [
        number
        for number, other in enumerate(space.legs)
        if other.tensor == leg.tensor and (other.axis, other.span) != (leg.axis, leg.span)
    ]


def meet(
    legs: Iterable[Leg], others: Iterable[Leg], shapes: Mapping[str, Sequence[int]]
) -> bool:  # fmt: skip
    """Whether some leg of one kind holds entries of one of the others."""
    return any(overlap(x, y, shapes) for x in legs for y in others)
