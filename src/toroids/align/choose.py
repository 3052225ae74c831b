"""The best discrete choice on one space while all others stay: the step that every method takes.

With A and B the weights of the two networks' units, one row per unit, and M = A B^T summed over the
legs, the best permutation is a linear assignment, the best signs those of the matched entries of M,
and the best orthogonal matrix U V^T with M = U S V^T. Units that hold the copies of spaces within
theirs, as attention heads, are matched by what the best choices within every pair of copies reach.
"""

import itertools
from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from toroids.canonical.mix import carried_twice
from toroids.params import Params, computing
from toroids.symmetry.action import identity_permutation, move_space
from toroids.symmetry.element import Element, SpaceElement
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Leg, Space
from toroids.symmetry.units import vectors

# Of more sign generators than this on one space, the others keep their signs.
SIGN_GENERATORS = 6


def blocks(group: SymmetryGroup) -> list[list[Space]]:
    """Spaces on which something discrete acts, each with the spaces whose copies are its units."""
    acting = [s for s in group.spaces if "permute" in s.actions or s.of("flip") or s.of("mix")]
    found = []
    for space in acting:
        inner = [other for other in acting if other.within == (space.name,)]
        found.append([space, *(inner if space.copies == 1 and "permute" in space.actions else [])])
    return found


def choose(
    group: SymmetryGroup,
    block: Sequence[Space],
    reference: Params,
    moved: dict[str, Tensor],
    *,
    known: frozenset[str] | None = None,
) -> Element:
    """Moves `moved` towards `reference` on one block, replacing its tensors.

    Args:
        group: the architecture's symmetry group.
        block: a space and those whose copies are its units.
        reference: the canonical network that stays.
        moved: the canonical network that moves.
        known: the spaces that are aligned already; by cosine similarity of what writes the units,
            or of what meets no space but these. None if all weights count as they are.

    Returns:
        What was applied.
    """
    space, *inner = block
    home = group.identity()
    first = SpaceElement(identity_permutation(space))
    names = {other.name for other in block}
    near = None if known is None else known | names
    legs = _legs(group, space, near)
    if space.of("mix"):
        product = sum(_products(space, legs, reference, moved, cosine=False).values())
        if isinstance(product, Tensor):
            u, _, vh = torch.linalg.svd(product)
            first = SpaceElement(identity_permutation(space), mix=(u @ vh).double().cpu())
    else:
        covered = {(leg.tensor, leg.axis) for other in inner for leg in other.legs}
        own = [leg for leg in legs if (leg.tensor, leg.axis) not in covered]
        table = _products(space, own, reference, moved, cosine=known is not None)
        extra = sum(_between_copies(group, other, reference, moved, near) for other in inner)
        first = _assigned(space, table, extra if isinstance(extra, Tensor) else None)
    move_space(space, first, moved)
    element = Element({**home.choices, space.name: first})
    for other in inner:
        element = group.compose(choose(group, [other], reference, moved, known=near), element)
    return element


def _legs(group: SymmetryGroup, space: Space, known: frozenset[str] | None) -> list[Leg]:
    """The legs that count; of a space that is `known` itself, as its block is."""
    counted = set(group.parameters)
    legs = [leg for leg in space.legs if leg.tensor in counted]
    if known is None:
        return legs
    unknown = {leg.tensor for s in group.spaces if s.name not in known for leg in s.legs}
    unknown |= carried_twice(space)
    settled = [leg for leg in legs if leg.tensor not in unknown]
    writer = [leg for leg in space.writer if leg.tensor in counted]
    # gains of a norm, one number per unit, tell units apart less well than an embedding behind it
    telling = any(len(group.shapes[leg.tensor]) > 1 for leg in writer)
    if telling and not any(leg.tensor in unknown for leg in writer):
        return writer
    return settled or writer or legs


def _products(
    space: Space, legs: Sequence[Leg], reference: Params, moved: Params, cosine: bool
) -> dict[tuple[float, ...], Tensor]:
    """Sums A B^T, (copies, size, size), by the exponents that signs take on the legs."""
    flips = space.of("flip")
    found: dict[tuple[float, ...], Tensor] = {}
    squares = torch.zeros(2, space.copies, space.size)
    for leg in legs:
        pattern = tuple(g.exponents[space.legs.index(leg)] for g in flips)
        a, b = (_rows(space, leg, network) for network in (reference, moved))
        product = a @ b.transpose(1, 2)
        found[pattern] = found[pattern] + product if pattern in found else product
        squares = squares.to(product) + torch.stack([x.square().sum(dim=2) for x in (a, b)])
    if cosine:
        size = (squares[0, :, :, None] * squares[1, :, None, :]).sqrt()
        # a zero unit is similar to nothing
        found = {key: x / torch.where(size > 0, size, 1.0) for key, x in found.items()}
    return found


def _rows(space: Space, leg: Leg, network: Params) -> Tensor:
    tensor = network[leg.tensor].detach()
    return vectors(tensor.to(computing(tensor)), leg, space.copies, space.size)


def _between_copies(
    group: SymmetryGroup,
    space: Space,
    reference: Params,
    moved: Params,
    known: frozenset[str] | None,
) -> Tensor:
    """What the best choice on `space` reaches between every two of its copies: (copies, copies)."""
    table: dict[tuple[float, ...], Tensor] = {}
    for leg in _legs(group, space, known):
        pattern = tuple(g.exponents[space.legs.index(leg)] for g in space.of("flip"))
        a, b = (_rows(space, leg, network) for network in (reference, moved))
        product = torch.einsum("cie,dje->cdij", a, b)
        table[pattern] = table[pattern] + product if pattern in table else product
    if not table:
        return torch.zeros(space.copies, space.copies, dtype=torch.float64)
    if space.of("mix"):
        values: Tensor = torch.linalg.svdvals(sum(table.values())).sum(dim=2)
        return values
    count = space.copies
    reached = torch.zeros(count, count, dtype=torch.float64)
    for c, d in itertools.product(range(count), range(count)):
        one = {pattern: product[c, d][None] for pattern, product in table.items()}
        values, _ = _with_best_signs(len(space.of("flip")), one)
        columns = _matched(space, values[0])
        reached[c, d] = values[0].cpu().gather(1, columns[:, None]).sum()
    return reached


def _assigned(
    space: Space, table: dict[tuple[float, ...], Tensor], extra: Tensor | None
) -> SpaceElement:
    """The best permutation and signs for summed products of units."""
    if not table and extra is None:
        return SpaceElement(identity_permutation(space))
    count = len(space.of("flip"))
    if not table and extra is not None:
        table = {(0.0,) * count: torch.zeros_like(extra)[None]}
    values, signs = _with_best_signs(count, table)
    if extra is not None:
        values = values + extra.to(values)
    permutation = identity_permutation(space)
    for copy in range(space.copies):
        permutation[copy] = _matched(space, values[copy])
    chosen = None
    if count:
        index = permutation.to(signs.device)[None, :, :, None].expand(count, -1, -1, 1)
        chosen = signs.gather(3, index)[..., 0].double().cpu()
    return SpaceElement(permutation, signs=chosen)


def _matched(space: Space, values: Tensor) -> Tensor:
    """For every unit that stays the one that is moved into its place."""
    if "permute" not in space.actions:
        return torch.arange(space.size)
    _, columns = linear_sum_assignment(values.double().cpu().numpy(), maximize=True)
    return torch.from_numpy(columns)


def _with_best_signs(count: int, table: dict[tuple[float, ...], Tensor]) -> tuple[Tensor, Tensor]:
    """The largest sum over all signs of `count` generators, and those signs."""
    best: Tensor | None = None
    signs = torch.ones(0)
    free = min(count, SIGN_GENERATORS)
    for choice in itertools.product((1.0, -1.0), repeat=free):
        full = (*choice, *((1.0,) * (count - free)))
        value: Tensor | None = None
        for pattern, product in table.items():
            negative = sum(e for e, s in zip(pattern, full, strict=True) if s < 0) % 2
            term = -product if negative else product
            value = term if value is None else value + term
        assert value is not None  # a table holds at least one product
        vector = value.new_tensor(full).view(-1, 1, 1, 1).expand(count, *value.shape)
        if best is None:
            best, signs = value, vector
        else:
            signs = torch.where(value > best, vector, signs)
            best = torch.maximum(value, best)
    assert best is not None  # there is at least one choice
    return best, signs
