"""An upper bound on the similarity that any permutation, sign or orthogonal matrix can reach.

Every tensor is cut along its axes into blocks, so that in each at most one space, or nothing, acts
on an axis. The similarity is the sum over blocks of <A, (X_1 x X_2 x ...) B>, and each is bounded:

- nothing acts: the inner product itself;
- one space acts, on one axis: a table A B^T; the tables of a space add up, and the best choice for
  their sum (assignment, signs, Procrustes) bounds all of them at once;
- more act: of the singular values s of the block, unfolded along any of its axes, von Neumann's
  sum of s_i(A) s_i(B), from Gram matrices, the least over axes. Permutations leave the constant
  vector u = (1, ..., 1) / sqrt(n) as it is, so that along such axes the parts along u and
  orthogonal to it are blocks of their own, of which the former are moved by one space fewer. Where
  units stay in their places, and only change signs, each has a block of its own: of lengths.

All that moves keeps the length of every tensor, so that the sum of the products of lengths is a
bound, too, the only one for large networks: the others take time that grows as the cube of their
width. The bound is attained where the second network is a moved copy of the first.

Reference: Mirsky, A trace inequality of John von Neumann, 1975; for the constant vector, Hadley,
Rendl and Wolkowicz, A new lower bound via projection for the quadratic assignment problem, 1992.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.align.block import Block, Pattern, Table, blocks, products, turned_pairs
from toroids.align.choose import choose
from toroids.align.signs import tries_all_signs
from toroids.params import Params, precise
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.offsets import as_read
from toroids.symmetry.space import Leg, Space

# Networks of more entries are bounded by the lengths of their tensors alone: singular values of one
# of the size of GPT-2 take longer than its alignment.
LARGE = 2**26


@dataclass(frozen=True)
class _Part:
    """Positions of an axis that move together, unit after unit where one space alone moves them.

    Attributes:
        positions: along the axis.
        space: what moves them; None where nothing or several spaces do.
        pattern: the powers in which they take the space's signs.
        leg: of the space, on which they lie.
        acting: whether anything moves them.
    """

    positions: Tensor
    space: Space | None = None
    pattern: Pattern = ()
    leg: Leg | None = None
    acting: bool = False

    @property
    def keeps_mean(self) -> bool:
        """Whether all that acts is permutations."""
        turned = self.space is None or self.space.matrix or self.space.of("phase")
        return not turned and not any(self.pattern)

    @property
    def is_still(self) -> bool:
        """Whether every unit stays in its place, and may change its sign only."""
        return self.space is not None and self.space.is_still


def upper_bound(group: SymmetryGroup, reference: Params, moved: Params) -> float:
    """Bounds the similarity of `reference` with all elements of permutations, signs and matrices.

    Args:
        group: the architecture's symmetry group.
        reference: the canonical network that stays.
        moved: the canonical network that moves; the bound is the same wherever it is moved.

    Returns:
        The smallest of the bounds by lengths, with and without constant vectors apart, in float64.
    """
    a, b = as_read(group, reference), as_read(group, moved)
    simple = sum(_lengths(a[name], b[name]) for name in group.parameters)
    if sum(math.prod(group.shapes[name]) for name in group.parameters) > LARGE:
        return simple
    return min(simple, *(_bound(group, a, b, apart) for apart in (True, False)))


def _lengths(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a.double()) * torch.linalg.vector_norm(b.double()))


def _bound(group: SymmetryGroup, reference: Params, moved: Params, apart: bool) -> float:
    all_blocks = blocks(group)
    parts_of = _Parts(group, all_blocks)
    tables: dict[str, list[tuple[Pattern, Tensor, Tensor]]] = {}
    total = 0.0
    for name in group.parameters:
        a, b = (precise(x[name].detach()) for x in (reference, moved))
        shape, axes = parts_of(name)
        a, b = a.reshape(shape), b.reshape(shape)
        for parts in itertools.product(*axes):
            total += _tensor(_cut(a, parts), _cut(b, parts), parts, apart, tables)
    for block in all_blocks:
        total += choose(block, {s.name: _summed(block, s, tables) for s in block.spaces}).value
    return total


class _Parts:
    """Cuts the axes of tensors into parts that move together."""

    def __init__(self, group: SymmetryGroup, all_blocks: Sequence[Block]) -> None:
        self._group = group
        self._outer = {s.name: b.space.name for b in all_blocks for s in b.inner}
        self._legs: dict[str, list[tuple[Space, Leg, Pattern]]] = {}
        for block, space in {s.name: (b, s) for b in all_blocks for s in b.spaces}.values():
            flips = space.of("flip")
            taken = block.legs[space.name]
            turning = next(iter((*space.of("rotate"), *space.of("phase"))), None)
            for position, leg in enumerate(space.legs):
                if turning is not None and not turning.exponents[position]:
                    continue  # a gain, which stays where it is one
                own = tuple(flip.exponents[position] for flip in flips)
                pattern = taken.get(leg, own)
                if space.is_still and not any(pattern):
                    continue  # nothing moves these units, or changes their signs
                self._legs.setdefault(leg.tensor, []).append((space, leg, pattern))

    def __call__(self, name: str) -> tuple[list[int], list[list[_Part]]]:
        """The shape of a tensor with joint axes flattened, and the parts of every axis."""
        shape, legs = self._group.shapes[name], self._legs.get(name, [])
        spans = {(leg.axis, leg.axis + leg.span) for _, leg, _ in legs}
        sizes, axes, axis = [], [], 0
        while axis < len(shape):
            end = max([stop for start, stop in spans if start <= axis < stop], default=axis + 1)
            here = [item for item in legs if axis <= item[1].axis < end]
            length = math.prod(shape[axis:end])
            joint = all((leg.axis, leg.axis + leg.span) == (axis, end) for _, leg, _ in here)
            whole = [_Part(torch.arange(length), acting=bool(here))]
            axes.append(list(self._cut(length, here)) if joint and here else whole)
            sizes.append(length)
            axis = end
        return sizes, axes

    def _cut(self, length: int, legs: list[tuple[Space, Leg, Pattern]]) -> Iterator[_Part]:
        held = torch.zeros(len(legs), length, dtype=torch.bool)
        for row, (_, leg, _) in zip(held, legs, strict=True):
            row[slice(None) if leg.index is None else leg.index] = True
        kinds: Tensor
        kinds, kind_of = torch.unique(held, dim=1, return_inverse=True)
        for number in range(kinds.shape[1]):
            acting = kinds[:, number].nonzero()[:, 0].tolist()
            yield self._part(kind_of == number, [legs[i] for i in acting])

    def _part(self, mask: Tensor, legs: list[tuple[Space, Leg, Pattern]]) -> _Part:
        positions = mask.nonzero()[:, 0]
        outer = {self._outer.get(space.name) for space, _, _ in legs}
        own = [item for item in legs if item[0].name not in outer]
        if len(own) != 1:
            return _Part(positions, acting=bool(legs))
        space, leg, pattern = own[0]
        order = torch.arange(len(mask)) if leg.index is None else leg.index
        by_unit = mask[order].view(space.copies * space.size, -1).sum(dim=1)
        if bool((by_unit != by_unit[0]).any()):
            return _Part(positions, acting=True)
        return _Part(order[mask[order]], space, pattern, leg, True)


def _cut(tensor: Tensor, parts: Sequence[_Part]) -> Tensor:
    for axis, part in enumerate(parts):
        if len(part.positions) < tensor.shape[axis] or part.space is not None:
            tensor = tensor.index_select(axis, part.positions.to(tensor.device))
    return tensor


def _tensor(
    a: Tensor,
    b: Tensor,
    parts: Sequence[_Part],
    apart: bool,
    tables: dict[str, list[tuple[Pattern, Tensor, Tensor]]],
) -> float:
    """Bounds one block, or adds to the tables what one space alone moves."""
    acting = [axis for axis, part in enumerate(parts) if part.acting]
    if not acting:
        return float((a * b).sum())
    if len(acting) == 1:
        axis = acting[0]
        part = parts[axis]
        u, v = (x.movedim(axis, 0).reshape(x.shape[axis], -1) for x in (a, b))
        if part.space is None:
            return _nuclear(u, v)
        shape = (part.space.copies, part.space.size, -1)
        u, v = u.reshape(shape), v.reshape(shape)
        if part.leg is not None and part.space.of("phase"):
            own = len(part.positions) // (part.space.copies * part.space.size)
            u, v = (
                turned_pairs(part.space, part.leg, x.view(*shape[:2], own // 2, 2, -1))
                for x in (u, v)
            )
        tables.setdefault(part.space.name, []).append((part.pattern, u, v))
        return 0.0
    kept = [axis for axis in acting if parts[axis].keeps_mean] if apart else []
    if not kept:
        axes = acting if a.ndim > 2 else acting[:1]  # a matrix has the same ones along both
        still = [axis for axis in acting if parts[axis].is_still]
        bounds = [_von_neumann(a, b, axis) for axis in axes]
        return min([*bounds, *(_unit_lengths(a, b, axis, parts[axis]) for axis in still)])
    total = 0.0
    for along in itertools.product((True, False), repeat=len(kept)):
        some = list(zip(kept, along, strict=True))
        left = [
            p if (axis, True) not in some else _Part(p.positions) for axis, p in enumerate(parts)
        ]
        x, y = (_split(tensor, parts, some) for tensor in (a, b))
        total += _tensor(x, y, left, False, tables)
    return total


def _split(tensor: Tensor, parts: Sequence[_Part], along: Sequence[tuple[int, bool]]) -> Tensor:
    """The share along the constant vector over the units of an axis, or what is left of it."""
    for axis, constant in along:
        space = parts[axis].space
        assert space is not None  # of an axis that keeps its mean
        units = space.copies * space.size
        shape = (*tensor.shape[:axis], units, -1, *tensor.shape[axis + 1 :])
        by_unit = tensor.reshape(shape)
        mean = by_unit.mean(dim=axis, keepdim=True)
        if constant:
            tensor = (mean * math.sqrt(units)).flatten(axis, axis + 1)
        else:
            tensor = (by_unit - mean).flatten(axis, axis + 1)
    return tensor


def _nuclear(u: Tensor, v: Tensor) -> float:
    """The sum of the singular values of u v', from triangles where these are smaller."""
    if u.shape[0] > u.shape[1]:
        u, v = torch.linalg.qr(u).R, torch.linalg.qr(v).R
    return float(torch.linalg.svdvals(u @ v.T).sum())


def _von_neumann(a: Tensor, b: Tensor, axis: int) -> float:
    values = []
    for tensor in (a, b):
        rows = tensor.movedim(axis, 0).reshape(tensor.shape[axis], -1)
        gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        values.append(torch.linalg.eigvalsh(gram).clamp_min(0).sqrt())
    return float(values[0] @ values[1])


def _unit_lengths(a: Tensor, b: Tensor, axis: int, part: _Part) -> float:
    """The sum of the products of the lengths of units that stay in their places."""
    assert part.space is not None
    units = part.space.copies * part.space.size
    u, v = (x.movedim(axis, 0).reshape(units, -1) for x in (a, b))
    return float((u.norm(dim=1) * v.norm(dim=1)).sum())


def _summed(
    block: Block, space: Space, tables: dict[str, list[tuple[Pattern, Tensor, Tensor]]]
) -> Table:
    table = products(tables.get(space.name, []), between=space is not block.space)
    if tries_all_signs(space) or not table:
        return table
    # more signs than are tried: each pattern takes its own
    none = (0.0,) * len(next(iter(table)))
    return {none: torch.stack([x.abs() if any(p) else x for p, x in table.items()]).sum(dim=0)}
