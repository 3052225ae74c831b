"""The group of a whole network, from that of the network with most of its equal layers left out.

What is found of a block of equal layers is found of every other: a space of the block comes once
for each, and a space that many layers share, as a residual stream, has the legs of each. The blocks
that stayed must say the same: whichever of them is taken for those that are left out, the group of
the whole network is one.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from toroids.discovery.tracing.equal_layers import Repeats, layers_of
from toroids.symmetry.condition import Condition, digest_of
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Absorbed, Generator, Leg, Norm, Space, WeightNorm

Item = TypeVar("Item")


class _Shared(Exception):
    """Something names a block and other layers, so that it cannot be said of another block."""


def unfolded(group: SymmetryGroup, repeats: Repeats) -> SymmetryGroup | None:
    """Finds the group of a network of which equal layers were left out.

    Args:
        group: of the network without them.
        repeats: which are left out.

    Returns:
        The group of the whole network; None where the blocks that stayed do not say the same.
    """
    first, second = repeats.start, repeats.start + repeats.period
    once = replace(repeats, left_out=1)  # what holds of one more block holds of any number
    try:
        one = _Unfolding(once, first, second).spaces(group.spaces)
        other = _Unfolding(once, second, first).spaces(group.spaces)
        same = set(map(_told, one)) == set(map(_told, other))
        return _Unfolding(repeats, first, second).group(group) if same else None
    except _Shared:
        return None


def _told(space: Space) -> Any:
    """What a space is, in whatever order its legs, their entries and its generators are."""
    ordered = bool(space.of("phase"))  # which turns entries two by two
    legs = [_leg_told(leg, space.copies * space.size, ordered) for leg in space.legs]
    generators = [
        (
            replace(g, exponents=(), absorbed=()),
            frozenset((leg, e) for leg, e in zip(legs, g.exponents, strict=True) if e),
            frozenset(
                (_leg_told(x.reader, space.copies * space.size, ordered), x.bias, x.axis, x.factor)
                for x in g.absorbed
            ),
        )
        for g in space.generators
    ]
    rest = (
        space.name,
        space.size,
        space.copies,
        space.within,
        frozenset((*space.norms, *space.weight_norms)),
    )
    return rest, frozenset(legs), frozenset(generators)


def _leg_told(leg: Leg, units: int, ordered: bool) -> Any:
    """What a leg is, whatever the order of the entries in its units."""
    where = leg.positions
    if where is None or ordered:
        return leg
    count = len(where) // units
    return replace(leg, positions=None), frozenset(where[k::count] for k in range(count))


class _Unfolding:
    """Puts a block of layers in the place of each that was left out."""

    def __init__(self, repeats: Repeats, start: int, other: int) -> None:
        """Takes the block that begins at a layer, and one that is equal to it."""
        self.repeats = repeats
        self.block = range(start, start + repeats.period)
        self.other = range(other, other + repeats.period)
        self.copies = range(repeats.left_out + 1)
        self.layer = layers_of(repeats.path)

    def renamed(self, text: str, copy: int) -> str:
        """A text about the short network, as it is about the whole one and a copy of the block."""

        def other(found: re.Match[str]) -> str:
            number = int(found[2])
            if number in self.block:
                number += copy * self.repeats.period
            elif number >= self.block.stop:
                number += self.repeats.missing
            return f"{found[1]}{number}"

        return self.layer.sub(other, text)

    def is_inside(self, *texts: str) -> bool | None:
        """Whether texts name layers of the block only; None if they name others, or none, too."""
        named = [{int(x[2]) in self.block for x in self.layer.finditer(text)} for text in texts]
        inside = set[bool]().union(*(found or {False} for found in named))
        return None if len(inside) > 1 else inside == {True}

    def spread(
        self, items: Sequence[Item], inside: Callable[[Item], bool | None]
    ) -> Iterator[tuple[Item, int]]:
        """Items in their order, those of the block once for every copy of it, with its number."""
        run: list[Item] = []
        for item in items:
            if inside(item):
                run.append(item)
                continue
            yield from ((x, copy) for copy in self.copies for x in run)
            run.clear()
            yield item, 0
        yield from ((x, copy) for copy in self.copies for x in run)

    def parts(
        self, items: Sequence[Item], names: Callable[[Item], Collection[str]]
    ) -> list[tuple[Item, int]]:
        """The same for what belongs to one block or to none."""
        inside = [self.is_inside(*names(item)) for item in items]
        if None in inside:
            raise _Shared
        return [(items[i], c) for i, c in self.spread(range(len(items)), inside.__getitem__)]

    def group(self, group: SymmetryGroup) -> SymmetryGroup:
        """The group of the whole network."""
        program = self.repeats.program
        return SymmetryGroup(
            spaces=self.spaces(group.spaces),
            shapes=program.shapes,
            output=replace(group.output, legs=tuple(self.leg(leg, 0) for leg in group.output.legs)),
            buffers=frozenset(program.shapes) - (program.parameters - program.whole),
            notes=(*dict.fromkeys(self.texts(group.notes)), self.note()),
            tied={name: names[0] for names in program.aliases.values() for name in names[1:]},
            binary=frozenset(self.texts(sorted(group.binary))),
            conditions=self.conditions(group.conditions),
        )

    def note(self) -> str:
        """Says what was left out."""
        repeats = self.repeats
        return (
            f"found with {repeats.kept} of the {repeats.count} layers in `{repeats.path}`; numbers "
            "in these notes are of those, and only with those were other sizes looked at; in a "
            f"trace of the whole network on the example each of the other {repeats.missing} does, "
            "operator by operator, what one of those does"
        )

    def texts(self, texts: Sequence[str]) -> Iterator[str]:
        """Texts that name tensors, once for every copy of the block that they are about."""
        for text, copy in self.parts(texts, lambda text: [text]):
            yield self.renamed(text, copy)

    def conditions(self, conditions: Sequence[Condition]) -> tuple[Condition, ...]:
        """Conditions on the numbers that the whole network holds."""
        values = {s.name: s.value for s in self.repeats.program.sources.values()}
        names = self.texts([condition.buffer for condition in conditions])
        return tuple(Condition(name, digest_of(values[name])) for name in names)

    def spaces(self, spaces: Sequence[Space]) -> tuple[Space, ...]:
        """The spaces of the whole network."""
        found = self.spread(spaces, lambda space: self.is_inside(*_of_space(space)))
        return tuple(self.space(space, copy) for space, copy in found)

    def space(self, space: Space, copy: int) -> Space:
        """A space of the whole network: one of the block's own, or with the legs of every block."""
        places, norms = range(len(space.legs)), space.norms
        if self.is_inside(*_of_space(space)):
            legs, held = [(i, copy) for i in places], [(norm, copy) for norm in norms]
            gains = [(norm, copy) for norm in space.weight_norms]
            generators = [self.of_block(g, copy, legs) for g in space.generators]
        elif self.is_inside(*space.within) is not False:
            raise _Shared
        else:
            legs = self.parts(places, lambda i: [space.legs[i].tensor])
            held = self.parts(norms, _of_norm)
            gains = self.parts(space.weight_norms, lambda norm: [norm.gain, norm.weight])
            local = [self.is_local(_of_generator(space, g)) for g in space.generators]
            generators = [
                self.of_block(space.generators[i], c, legs)
                if local[i]
                else self.of_all(space.generators[i], legs)
                for i, c in self.spread(range(len(local)), local.__getitem__)
            ]
        return replace(
            space,
            name=self.renamed(space.name, copy),
            within=tuple(self.renamed(name, copy) for name in space.within),
            legs=tuple(self.leg(space.legs[i], c) for i, c in legs),
            norms=tuple(self.norm(norm, c) for norm, c in held),
            weight_norms=tuple(self.weight_norm(norm, c) for norm, c in gains),
            generators=tuple(generators),
        )

    def is_local(self, names: Collection[str]) -> bool:
        """Whether a generator acts on the block and not on the other one, as each has its own."""
        layers = {int(x[2]) for name in names for x in self.layer.finditer(name)}
        return not layers.isdisjoint(self.block) and layers.isdisjoint(self.other)

    def of_block(
        self, generator: Generator, copy: int, legs: Sequence[tuple[int, int]]
    ) -> Generator:
        """What acts on the legs of one copy of the block, and perhaps on some of no block."""
        powers = generator.exponents
        copied = {i for i, c in legs if c}
        return replace(
            generator,
            exponents=tuple(powers[i] if c == copy or i not in copied else 0.0 for i, c in legs),
            absorbed=tuple(self.absorbed(x, copy) for x in generator.absorbed),
        )

    def of_all(self, generator: Generator, legs: Sequence[tuple[int, int]]) -> Generator:
        """What acts on the legs of every copy alike."""
        absorbed = self.parts(generator.absorbed, lambda x: [x.reader.tensor, x.bias])
        return replace(
            generator,
            exponents=tuple(generator.exponents[i] for i, _ in legs),
            absorbed=tuple(self.absorbed(x, c) for x, c in absorbed),
        )

    def leg(self, leg: Leg, copy: int) -> Leg:
        """A leg of the whole network."""
        tensor, operator = self.renamed(leg.tensor, copy), self.renamed(leg.operator, copy)
        return replace(leg, tensor=tensor, operator=operator)

    def absorbed(self, absorbed: Absorbed, copy: int) -> Absorbed:
        """A bias of the whole network that takes back a shift."""
        reader = self.leg(absorbed.reader, copy)
        return replace(absorbed, reader=reader, bias=self.renamed(absorbed.bias, copy))

    def norm(self, norm: Norm, copy: int) -> Norm:
        """A batch norm of the whole network."""
        other = partial(self.renamed, copy=copy)
        return replace(
            norm,
            weight=other(norm.weight),
            bias=None if norm.bias is None else other(norm.bias),
            mean=other(norm.mean),
            variance=other(norm.variance),
        )

    def weight_norm(self, norm: WeightNorm, copy: int) -> WeightNorm:
        """A gain of the whole network that follows the norm of a weight."""
        gain, weight = (self.renamed(name, copy) for name in (norm.gain, norm.weight))
        told = tuple((self.leg(x, copy), self.leg(y, copy)) for x, y in norm.told)
        return replace(norm, gain=gain, weight=weight, told=told)


def _of_space(space: Space) -> list[str]:
    """Names of tensors on which a space acts."""
    norms = [name for norm in space.norms for name in _of_norm(norm)]
    return [*(leg.tensor for leg in space.legs), *norms, *space.within]


def _of_norm(norm: Norm) -> list[str]:
    return [name for name in (norm.weight, norm.bias, norm.mean, norm.variance) if name]


def _of_generator(space: Space, generator: Generator) -> list[str]:
    """Names of the tensors that a generator changes."""
    legs = [
        leg.tensor
        for leg, power in zip(space.legs, generator.exponents, strict=True)
        if power
    ]  # fmt: skip
    return [*legs, *(name for x in generator.absorbed for name in (x.reader.tensor, x.bias))]
