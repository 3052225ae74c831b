"""The balanced gauge of matrices, from the singular value decomposition of what they leave.

A network sees the weights A (units x a) that write a space and B (units x b) that read it, on which
a matrix M acts as M A and M^(-T) B, only through A^T B = U S V^T. Of all factors of that product

    A = S^(1/2) U^T,    B = S^(1/2) V^T

have the least norm; they are unique up to signs where the singular values differ. The units are
sorted by singular value. With A^T = Q R and B^T = P T, the decomposition of R T^T, which is as
small as the space, gives U^T Q^T without the product, and M = S^(-1/2) V^T T.

Where there is one side only, beside tensors that carry the space twice, as W in x^T A^T W A y, its
units become orthonormal, A A^T = 1: the rest, a rotation, is for alignment to find. Directions that
A does not have nobody sees, and A A^T becomes the projection on the others.

What a tensor V writes of what it reads, as a linear recurrence, makes up for directions that A^T B
does not have: V A and V^T B move as A and B do, and so on (the balanced realisation of a linear
system: Moore, Principal component analysis in linear systems, 1981). No scale of V counts.
"""

import itertools
from collections.abc import MutableMapping
from dataclasses import replace

import torch
from torch import Tensor

from toroids.params import Params, precise
from toroids.symmetry.space import Generator, Space, carried_twice
from toroids.symmetry.units import vectors, with_vectors


def balance(space: Space, params: MutableMapping[str, Tensor]) -> float:
    """Brings both sides of one space to the balanced gauge, replacing tensors in `params`.

    Directions that the product does not have become zero on both sides. Where a tensor carries
    the space twice it follows. If it also writes what it reads, as a linear recurrence does, the
    rank must be full, with what it makes of the sides: else all is left as it is (`is_left`).

    Args:
        space: one on which matrices act.
        params: checked parameters; the matrices are constants to gradients.

    Returns:
        How far the sides were from balanced: ||A A^T - B B^T|| relative to the larger of
        ||A A^T|| and ||B B^T||, at most.
    """
    found = _moves(space, params)
    if found is None:
        return 0.0
    off, moves = found
    for leg, exponent in zip(space.legs, space.of("mix")[0].exponents, strict=True):
        tensor = params[leg.tensor]
        matrix = moves[0] if exponent > 0 else moves[1]
        held = precise(tensor) + leg.offset
        moved = matrix @ vectors(held, leg, space.copies, space.size)
        params[leg.tensor] = (with_vectors(held, leg, moved) - leg.offset).to(tensor.dtype)
    return off


def is_left(space: Space, params: Params) -> bool:
    """Whether its matrices cannot be told: a tensor carries it twice, and rank is missing."""
    return bool(tensors_twice(space, params)) and _moves(space, params) is None


def is_followed(space: Space, params: Params) -> bool:
    """Whether its matrices are told by what a tensor that carries it twice makes of its sides."""
    a, b = sides(space, params)
    twice = tensors_twice(space, params)
    return bool(twice) and not only_side(space, params) and not _tells(space, a, b)


def only_side(space: Space, params: Params) -> int:
    """The exponent of the only side that its matrices are told by, which becomes orthonormal.

    Returns:
        1 or -1; zero where both sides are balanced.
    """
    twice = tensors_twice(space, params)
    if not twice:
        return 0
    a, b = sides(space, params)
    if a is None or b is None:
        return -1 if a is None else 1
    if _tells(space, a, b):
        return 0
    return next((power for power in (1, -1) if _is_closed(space, twice, power)), 0)


def seen(space: Space, params: Params) -> Space:
    """The space without what its goal does not look at: all but its sides, or its only one."""
    twice, only = tensors_twice(space, params), only_side(space, params)
    kept = [
        (leg, exponent)
        for leg, exponent in zip(space.legs, space.of("mix")[0].exponents, strict=True)
        if leg.tensor not in twice and exponent != -only
    ]
    return replace(
        space,
        actions=frozenset({"mix"}),
        legs=tuple(leg for leg, _ in kept),
        generators=(Generator("mix", tuple(exponent for _, exponent in kept)),),
        norms=(),
        weight_norms=(),
    )


def volume_slope(space: Space, params: Params) -> Tensor:
    """The slope, along matrices, of the volume in whose terms the only side is orthonormal.

    A matrix M makes A orthonormal where ||M A||^2 - 2 log det M is least.

    Returns:
        Shape (copies, size, size): the projection on what the side reaches, times minus two, or
        two where it reads; zero where there are two sides.
    """
    a, b = sides(space, params)
    only = only_side(space, params)
    side = a if only > 0 else b
    if not only or side is None:
        return torch.zeros(space.copies, space.size, space.size, dtype=torch.float64)
    u, s, _ = torch.linalg.svd(side.detach(), full_matrices=False)
    there = u * _present(s, space.size)[:, None]
    projection: Tensor = there @ u.transpose(1, 2)
    return -2 * only * projection


def _moves(space: Space, params: Params) -> tuple[float, tuple[Tensor, Tensor]] | None:
    """How far the sides are from their goal, and the matrices that take each of them there."""
    a, b = sides(space, params)
    only = only_side(space, params)
    if a is None or b is None or only:
        side = b if only < 0 else a
        if side is None or not only:
            return None
        return _orthonormal(side, only > 0, _is_closed(space, tensors_twice(space, params), only))
    if tensors_twice(space, params) and not _tells(space, a, b):
        a, b = _followed(space, params, a, b)
        if not _tells(space, a, b):
            return None
    r, t = _triangles(a, b)
    grams = r.transpose(1, 2) @ r, t.transpose(1, 2) @ t
    sizes = [torch.linalg.matrix_norm(gram) for gram in grams]
    # one side may be zero, as a constant is that a later bias takes up
    size = torch.maximum(*sizes).clamp_min(torch.finfo(a.dtype).tiny)
    off = float((torch.linalg.matrix_norm(grams[0] - grams[1]) / size).max())
    u, s, vh = torch.linalg.svd(r @ t.transpose(1, 2), full_matrices=False)
    present = _present(s, space.size)
    roots = torch.where(present, s, 1.0).rsqrt() * present
    moves = (
        _padded(roots[:, :, None] * (vh @ t), space.size),
        _padded(roots[:, :, None] * (u.transpose(1, 2) @ r), space.size),
    )
    turns = _nearest(moves[0], s)
    return off, (turns @ moves[0], turns @ moves[1])


def _nearest(move: Tensor, values: Tensor) -> Tensor:
    """Of what singular values leave free, which are signs and turns of equal ones, the least."""
    diagonal = move.diagonal(dim1=1, dim2=2)
    turns = torch.where(diagonal < 0, -1.0, 1.0).to(move).diag_embed()
    gaps = values[:, :-1] - values[:, 1:]
    equal = gaps <= values.new_tensor(torch.finfo(values.dtype).eps).sqrt() * values[:, :1]
    for copy in equal.any(dim=1).nonzero().flatten().tolist():
        ends = (~equal[copy]).nonzero().flatten().tolist()
        for first, last in itertools.pairwise((-1, *ends, values.shape[1] - 1)):
            block = slice(first + 1, last + 1)
            u, _, vh = torch.linalg.svd(move[copy, block, block])
            turns[copy, block, block] = vh.T @ u.T
    return turns


def _tells(space: Space, a: Tensor | None, b: Tensor | None) -> bool:
    """Whether the product of two sides has all directions of a space."""
    if a is None or b is None:
        return False
    r, t = _triangles(a, b)
    values = torch.linalg.svdvals(r @ t.transpose(1, 2))
    return values.shape[1] == space.size and bool(_present(values, space.size).all())


def _triangles(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The triangular factors R and T of two sides."""
    r, t = (torch.linalg.qr(x.detach().transpose(1, 2), mode="r")[1] for x in (a, b))
    return r, t


def _followed(
    space: Space, params: Params, a: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Both sides with what tensors that write the space, and read it, make of them."""
    maps = [
        x
        for name in tensors_twice(space, params)
        for x in _maps(space, name, precise(params[name]))
    ]
    sides_now, last = [a, b], [a, b]
    for _ in range(space.size - 1 if maps else 0):
        if _tells(space, *sides_now):
            break
        last = [
            torch.cat([v @ last[0] for v in maps], dim=2),
            torch.cat([v.transpose(1, 2) @ last[1] for v in maps], dim=2),
        ]
        # as many directions as there are units say all
        last = [_compressed(x) for x in last]
        sides_now = [torch.cat(pair, dim=2) for pair in zip(sides_now, last, strict=True)]
    return sides_now[0], sides_now[1]


def _compressed(x: Tensor) -> Tensor:
    """Fewer columns of the same products x x^T."""
    if x.shape[2] <= x.shape[1]:
        return x
    factor: Tensor = torch.linalg.qr(x.transpose(1, 2), mode="r")[1]
    return factor.transpose(1, 2)


def _maps(space: Space, name: str, tensor: Tensor) -> list[Tensor]:
    """A tensor that writes a space, and reads it, as matrices of spectral radius one at most."""
    powers = zip(space.legs, space.of("mix")[0].exponents, strict=True)
    legs = {e: leg for leg, e in powers if leg.tensor == name}
    count = sum(leg.tensor == name for leg in space.legs)
    if space.copies > 1 or count != 2 or len(legs) != 2 or any(x.span != 1 for x in legs.values()):
        return []
    for leg in legs.values():
        if leg.positions is not None:
            tensor = tensor.index_select(leg.axis, leg.index_on(tensor.device))
    matrices = tensor.detach().movedim((legs[1.0].axis, legs[-1.0].axis), (-2, -1))
    matrices = matrices.reshape(-1, 1, space.size, space.size)
    radius = float(torch.linalg.eigvals(matrices).abs().max())
    return list((matrices / radius).unbind()) if radius > 0 else []


def _orthonormal(
    side: Tensor, writes: bool, closed: bool
) -> tuple[float, tuple[Tensor, Tensor]] | None:  # fmt: skip
    """Makes the units of the only side orthonormal, turning them as little as can be."""
    u, s, _ = torch.linalg.svd(side.detach(), full_matrices=False)
    present = _present(s, u.shape[1])
    if not closed and (s.shape[1] < u.shape[1] or not bool(present.all())):
        return None
    sizes = torch.where(present, s, 1.0)
    root, inverse = (
        (u * (present * sizes**power)[:, None]) @ u.transpose(1, 2) for power in (1, -1)
    )
    return float((sizes - 1).abs().max()), (inverse, root) if writes else (root, inverse)


def _is_closed(space: Space, twice: set[str], power: int) -> bool:
    """Whether what carries a space twice is only met by one side, the one of that exponent."""
    powers = zip(space.legs, space.of("mix")[0].exponents, strict=True)
    return all(e == -power for leg, e in powers if leg.tensor in twice)


def _present(values: Tensor, size: int) -> Tensor:
    """Which singular values are more than what rounding leaves of a missing direction."""
    # a square root would blow that up
    return values > size * 8 * torch.finfo(values.dtype).eps * values[:, :1]


def sides(space: Space, params: Params) -> tuple[Tensor | None, Tensor | None]:
    """Stacks what a space's units take of exponents 1 and -1: (copies, size, entries) each."""
    twice = tensors_twice(space, params)
    found: list[list[Tensor]] = [[], []]
    for leg, exponent in zip(space.legs, space.of("mix")[0].exponents, strict=True):
        if leg.tensor not in twice:
            held = precise(params[leg.tensor]) + leg.offset
            entries = vectors(held, leg, space.copies, space.size)
            found[exponent < 0].append(entries)
    a, b = (torch.cat(side, dim=2) if side else None for side in found)
    return a, b


def tensors_twice(space: Space, params: Params) -> set[str]:
    """Tensors that carry the space twice."""
    return carried_twice(space, {leg.tensor: params[leg.tensor].shape for leg in space.legs})


def _padded(matrix: Tensor, size: int) -> Tensor:
    return torch.nn.functional.pad(matrix, (0, 0, 0, size - matrix.shape[1]))
