"""What is chosen in one step of an alignment, and the products of units that decide it.

With A and B the weights of the two networks' units, one row per unit, a leg contributes the table
M = A B^T: the inner product of every unit that stays with every unit that moves. Tables add up over
the legs that take the same signs. Where phases act, a unit's pairs of entries are complex numbers,
and its table holds the real and the imaginary part of its own product conj(a) b.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from toroids.params import Params, computing
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Leg, Space, overlap
from toroids.symmetry.units import vectors

Pattern: TypeAlias = tuple[float, ...]
# Of one space, by the exponents that signs take: (copies, size, size), or (copies, copies, size,
# size) between every two copies.
Table: TypeAlias = dict[Pattern, Tensor]
# Under what the parts of a complex product are kept.
REAL, IMAGINARY = (0.0,), (1.0,)
# The powers in which the units take signs, and what the two networks' units hold.
Part: TypeAlias = tuple[Pattern, Tensor, Tensor]
Rows: TypeAlias = Callable[[Space, Leg], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Block:
    """A space and those whose copies are its units: a head, and the entries of heads.

    Attributes:
        space: the space.
        inner: the spaces whose copies move with its units.
        legs: by space the legs that count, and the powers in which they take its signs; those of
            `space` without what `inner` covers.
        signs: how many signs of `space` the legs of inner spaces take as well, as where queries
            and values change theirs head by head; the powers in which they do follow their own.
        shapes: of all tensors of the group.
    """

    space: Space
    inner: tuple[Space, ...]
    legs: Mapping[str, Mapping[Leg, Pattern]]
    signs: int
    shapes: Mapping[str, Sequence[int]]

    @property
    def spaces(self) -> tuple[Space, ...]:
        """All of them, the outer one first."""
        return (self.space, *self.inner)

    @cached_property
    def tensors(self) -> tuple[str, ...]:
        """The tensors whose entries count, each once."""
        return tuple(dict.fromkeys(leg.tensor for legs in self.legs.values() for leg in legs))

    @cached_property
    def is_linear(self) -> bool:
        """Whether no weight is moved by two spaces, or along two axes, so that tables tell all."""
        moved = [(name, leg) for name, legs in self.legs.items() for leg in legs]
        pairs = itertools.combinations(moved, 2)
        return not any(
            overlap(x, y, self.shapes)
            for (a, x), (b, y) in pairs
            if a != b or _place(x) != _place(y)
        )


def blocks(group: SymmetryGroup) -> list[Block]:
    """Spaces on which something discrete acts, each with the spaces whose copies are its units."""
    acting = [
        s
        for s in group.spaces
        if "permute" in s.actions or s.of("flip") or s.matrix or s.of("phase")
    ]
    inner = {
        space.name: [other for other in acting if other.within == (space.name,)]
        for space in acting
        if space.copies == 1 and "permute" in space.actions
    }
    carried = {other.name for others in inner.values() for other in others}
    found = []
    for space in (s for s in acting if s.name not in carried):
        within = inner.get(space.name, [])
        counted = {s.name: _counted(group, s) for s in (space, *within)}
        signs = len(space.of("flip")) if _flips_inside(space, counted) else 0
        for other in within if signs else ():
            legs = counted[other.name].items()
            counted[other.name] = {
                x: (*p, *_powers_over(counted[space.name], x, signs)) for x, p in legs
            }
        own = ((_uncovered(space, x, within), power) for x, power in counted[space.name].items())
        counted[space.name] = {leg: power for leg, power in own if leg is not None}
        found.append(Block(space, tuple(within), counted, signs, group.shapes))
    return found


def _flips_inside(space: Space, counted: Mapping[str, Mapping[Leg, Pattern]]) -> bool:
    """Whether signs of an outer space act on the legs of an inner one."""
    if space.matrix is not None:
        return False
    flipped = [x for x, power in counted[space.name].items() if any(power)]
    inner = [x for name, legs in counted.items() if name != space.name for x in legs]
    return any(_is_over(x, y) for x in flipped for y in inner)


def _powers_over(outer: Mapping[Leg, Pattern], leg: Leg, count: int) -> Pattern:
    """The powers in which an inner leg takes the signs of the space whose units hold it."""
    over = (p for x, p in outer.items() if _is_over(x, leg))
    return next(over, (0.0,) * count)


def _counted(group: SymmetryGroup, space: Space) -> dict[Leg, Pattern]:
    flips = () if space.of("phase") else space.of("flip")
    powers = zip(*(generator.exponents for generator in flips), strict=True) if flips else None
    patterns = list(powers) if powers is not None else [()] * len(space.legs)
    counted = set(group.parameters)
    # a space that rotates does so where its gains are one, and these stay
    turning = next(iter((*space.of("rotate"), *space.of("phase"))), None)
    turns = [1.0] * len(space.legs) if turning is None else turning.exponents
    return {
        x: p
        for x, p, turned in zip(space.legs, patterns, turns, strict=True)
        if x.tensor in counted and turned
    }


def _uncovered(space: Space, leg: Leg, inner: Iterable[Space]) -> Leg | None:
    """The part of an outer leg that no inner leg indexes; None where nothing is left."""
    over = [x for s in inner for x in s.legs if (x.tensor, x.axis, x.span) == _place(leg)]
    if not over:
        return leg
    if any(x.positions is None for x in over) or leg.positions is None:
        return None
    taken = {place for x in over for place in x.positions or ()}
    left = tuple(place for place in leg.positions if place not in taken)
    whole = left and len(left) % (space.size * space.copies) == 0
    return replace(leg, positions=left) if whole else None


def _is_over(a: Leg, b: Leg) -> bool:
    """Whether two legs hold some of the same positions of the same axes."""
    return _place(a) == _place(b) and overlap(a, b, {})  # of which nobody needs the shape


def _place(leg: Leg) -> tuple[str, int, int]:
    return leg.tensor, leg.axis, leg.span


def rows_of(reference: Params, moved: Params) -> Rows:
    """Gives the units' weights of the two networks on a leg.

    Args:
        reference: the network that stays.
        moved: the network that moves.

    Returns:
        A function of a space and a leg: (copies, size, entries) of each network; complex, with half
        as many entries, where phases act.
    """

    def rows(space: Space, leg: Leg) -> tuple[Tensor, Tensor]:
        a, b = (
            _rows(space, leg, x.detach().to(computing(x)))
            for x in (reference[leg.tensor], moved[leg.tensor])
        )
        return a, b

    return rows


def _rows(space: Space, leg: Leg, tensor: Tensor) -> Tensor:
    held = vectors(tensor, leg, space.copies, space.size)
    if not space.of("phase"):
        return held
    own = len(leg.positions or ()) // (space.copies * space.size)
    before = math.prod(tensor.shape[: leg.axis])
    return turned_pairs(space, leg, held.view(*held.shape[:2], before, own // 2, 2, -1))


def turned_pairs(space: Space, leg: Leg, pairs: Tensor) -> Tensor:
    """Pairs of entries as complex numbers that a phase multiplies.

    Args:
        space: on which phases act.
        leg: on which the entries lie.
        pairs: (copies, size, ..., 2, ...), with the pairs on the axis before the last.

    Returns:
        (copies, size, entries), conjugate where the leg turns the other way round.
    """
    real, imaginary = pairs.unbind(dim=-2)
    direction = space.of("phase")[0].exponents[space.legs.index(leg)]
    return torch.complex(real, direction * imaginary).flatten(start_dim=2)


def tables(block: Block, rows: Rows) -> dict[str, Table]:
    """The products of units on every space of a block, between all copies of inner ones."""
    found = {}
    for space in block.spaces:
        between = space is not block.space
        parts = ((power, *rows(space, leg)) for leg, power in block.legs[space.name].items())
        found[space.name] = products(parts, between)
    return found


def products(parts: Iterable[Part], between: bool) -> Table:
    """Sums A B^T over parts that take the same signs.

    Args:
        parts: what the two networks' units hold, (copies, size, entries) each.
        between: whether every two copies are compared, or only equal ones.

    Returns:
        The table; empty without parts. Complex parts are only compared unit by unit.
    """
    table: Table = {}
    for pattern, a, b in parts:
        if a.is_complex():
            formula = "cun,dun->cdu" if between else "cun,cun->cu"
            turned = torch.einsum(formula, a.conj(), b)
            for kind, part in ((REAL, turned.real), (IMAGINARY, turned.imag)):
                key, product = (*kind, *pattern), torch.diag_embed(part)
                table[key] = table[key].add_(product) if key in table else product
            continue
        if between:
            flat = a.flatten(end_dim=1) @ b.flatten(end_dim=1).T
            product = flat.view(*a.shape[:2], *b.shape[:2]).transpose(1, 2)
        else:
            product = a @ b.transpose(1, 2)
        table[pattern] = table[pattern].add_(product) if pattern in table else product
    return table


def cosines(parts: Sequence[Part]) -> Table:
    """Cosine similarities of what all parts hold together; zero units are similar to nothing."""
    table = products(parts, between=False)
    squares = [
        sum((torch.linalg.vector_norm(x, dim=2).square() for x in side), torch.zeros(()))
        for side in ([a for _, a, _ in parts], [b for _, _, b in parts])
    ]
    if not table:
        return table
    first = next(iter(table.values()))
    a, b = (torch.where(x > 0, x.sqrt(), 1.0).to(first) for x in squares)
    for product in table.values():  # its own, and in place: tables take most of the memory
        product.div_(a[:, :, None]).div_(b[:, None, :])
    return table
