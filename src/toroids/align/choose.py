"""The best choice on one block for given tables of products: the step that every method takes.

For a table M the best permutation is a linear assignment, the best signs those of the matched
entries of M, the best orthogonal matrix U V^T with M = U S V^T (Procrustes), the best phase what
makes a complex product real. Units that hold
the copies of inner spaces, as attention heads, are matched by what the best choices within every
pair of copies reach.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from toroids.align.block import IMAGINARY, REAL, Block, Table
from toroids.align.signs import (
    best_signs,
    product_of,
    tries_all_signs,
    unlike,
    with_best_signs,
    with_signs,
)  # fmt: skip
from toroids.params import precise
from toroids.symmetry.choice import identity_permutation
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.matrices import mean_first
from toroids.symmetry.space import Space


@dataclass(frozen=True)
class Choice:
    """What is best on one block.

    Attributes:
        steps: for every space what acts on it, the outer one first; the choices on the inner ones
            are for their copies in their new places.
        value: the sum of the products that are matched.
        before: the same where nothing moves.
    """

    steps: tuple[tuple[Space, SpaceElement], ...]
    value: float
    before: float


def choose(block: Block, tables: Mapping[str, Table]) -> Choice:
    """Finds the best choice on one block.

    Args:
        block: a space and those whose copies are its units.
        tables: of products, for every space of the block.

    Returns:
        The choice, exact where no tensor meets the block on two axes.
    """
    outer, *inner = block.spaces
    table = tables[outer.name]
    if not inner:
        step, value = _on_copies(outer, table)
        return Choice(((outer, step),), value, _unmoved(outer, table))
    step, value = _on_units(block, tables)
    places = step.permutation[0]
    steps = [(outer, step)]
    before = _unmoved(outer, table)
    rows = torch.arange(outer.size)
    none = torch.ones(block.signs, outer.size)
    signs = none if step.signs is None or not block.signs else step.signs[:, 0]
    for space in inner:
        matched = {key: x[rows, places] for key, x in tables[space.name].items()}
        steps.append((space, _on_copies(space, under(matched, signs))[0]))
        here = {key: x[rows, rows] for key, x in tables[space.name].items()}
        before += _unmoved(space, under(here, none))
    return Choice(tuple(steps), value, before)


def _on_units(block: Block, tables: Mapping[str, Table]) -> tuple[SpaceElement, float]:
    """The best choice on the outer space, by what can be reached within every two of its units.

    Signs that units share with what lies within them are tried together.

    Returns:
        The choice, and the sum of what it reaches.
    """
    outer, *inner = block.spaces
    table = tables[outer.name]
    tried = torch.tensor([*itertools.product((1.0, -1.0), repeat=block.signs)]).double()
    within = [_within(space, tables[space.name], tried) for space in inner]
    own = [precise(x) for x in under(table, tried.T).values()] if block.signs else []
    reached = torch.stack([*within, *(x.to(within[0]) for x in own)]).sum(dim=0)
    best, which = reached.max(dim=0)
    if not block.signs:
        return _on_copies(outer, table, best)
    step, value = _on_copies(outer, {}, best)
    chosen = which.cpu()[torch.arange(outer.size), step.permutation[0]]
    return replace(step, signs=tried[chosen].T[:, None]), value


def _within(space: Space, table: Table, tried: Tensor) -> Tensor:
    """What the best choice on an inner space reaches between every two of its copies.

    Args:
        space: the inner one.
        table: its products.
        tried: signs of the outer space; shape (choices, signs).

    Returns:
        For each of the choices; shape (choices, copies, copies).
    """
    which = unlike(space, table, tried)
    first = [int((which == i).nonzero()[0]) for i in range(int(which.max()) + 1)]
    found = [_between_copies(space, under(table, tried[i][:, None])) for i in first]
    return torch.stack(found)[which]


def under(table: Table, signs: Tensor) -> Table:
    """A table where the last signs that its products take are given.

    Args:
        table: products by the exponents that they take of signs.
        signs: 1 or -1, (signs, copies), of the signs that the exponents end with; (signs, 1) for
            all copies.

    Returns:
        The sums of the products by the exponents that are left.
    """
    if not len(signs):
        return table
    found: Table = {}
    for pattern, product in table.items():
        own = pattern[: -len(signs)]
        factor = product_of(signs, pattern[-len(signs) :]).to(product)
        signed = factor.view(-1, *(1,) * (product.ndim - 1)) * product
        found[own] = found[own] + signed if own in found else signed
    return found


def _unmoved(space: Space, table: Table) -> float:
    """What the products of equal units add up to."""
    counted = [x for key, x in table.items() if key == REAL or not space.of("phase")]
    return sum(float(precise(x.diagonal(dim1=-2, dim2=-1)).sum()) for x in counted)


def _phases(table: Table) -> tuple[Tensor, Tensor]:
    """The best phase of every unit, and what it reaches."""
    real, imaginary = (precise(table[k].diagonal(dim1=-2, dim2=-1)) for k in (REAL, IMAGINARY))
    return -torch.atan2(imaginary, real), torch.hypot(real, imaginary)


def _on_copies(
    space: Space, table: Table, extra: Tensor | None = None
) -> tuple[SpaceElement, float]:
    """The best choice on every copy, and what it reaches; `extra` adds to pairs of units."""
    home = identity_permutation(space)
    if not table and extra is None:
        return SpaceElement(home), 0.0
    if space.matrix is not None and not table:  # what lies inside may move, its units do not
        assert extra is not None  # without both there is nothing to choose
        return SpaceElement(home), float(precise(extra.diagonal(dim1=-2, dim2=-1)).sum())
    if space.matrix is not None:
        matrix, value = _procrustes(space, precise(sum(table.values(), torch.zeros(()))))
        return SpaceElement(home, mix=matrix.double().cpu()), value
    if space.of("phase") and table:
        angles, reached = _phases(table)
        return SpaceElement(home, phases=angles[None].double().cpu()), float(reached.sum())
    if not table and extra is not None:
        table = {(0.0,) * len(space.of("flip")): torch.zeros_like(extra)[None]}
    step, reached = _permuted(space, table, extra)
    return step, float(reached.sum())


def _permuted(
    space: Space, table: Table, extra: Tensor | None = None
) -> tuple[SpaceElement, Tensor]:
    """The best permutation and signs for every table of a stack, and what each reaches."""
    values = with_best_signs(space, table)
    values = values if extra is None else values + extra
    permutation = torch.stack([_matched(space, copy) for copy in values])
    index = permutation.to(values.device)[:, :, None]
    matched = {key: x.gather(2, index) for key, x in table.items()}
    signs = best_signs(space, matched) if space.of("flip") else None
    reached = precise(values.gather(2, index)).sum(dim=(1, 2))
    if signs is not None and not tries_all_signs(space):
        reached = precise(with_signs(matched, signs)).sum(dim=1)
        if extra is not None:
            reached += precise(extra[None].gather(2, index)).sum(dim=(1, 2))
    return SpaceElement(permutation, signs=signs), reached


def _procrustes(space: Space, table: Tensor) -> tuple[Tensor, float]:
    """The orthogonal matrices that are best for a table of products, and what they reach."""
    if space.matrix is None or not space.matrix.fixes_mean:
        u, s, vh = torch.linalg.svd(table)
        return u @ vh, float(s.sum())
    basis = mean_first(space.size).to(table)
    turned = basis.T @ table @ basis
    u, s, vh = torch.linalg.svd(turned[:, 1:, 1:])
    inner = torch.zeros_like(turned)
    inner[:, 0, 0] = 1.0
    inner[:, 1:, 1:] = u @ vh
    return basis @ inner @ basis.T, float(s.sum() + turned[:, 0, 0].sum())


def _between_copies(space: Space, table: Table) -> Tensor:
    """What the best choice on `space` reaches between every two of its copies: (copies, copies)."""
    reached = torch.zeros(space.copies, space.copies, dtype=torch.float64)
    if not table:
        return reached
    if space.matrix is not None:
        values: Tensor = torch.linalg.svdvals(precise(sum(table.values(), torch.zeros(()))))
        return values.sum(dim=2)
    if space.of("phase"):
        return _phases(table)[1].sum(dim=2)
    pairs = {pattern: product.flatten(0, 1) for pattern, product in table.items()}
    return precise(_permuted(space, pairs)[1]).view_as(reached)


def _matched(space: Space, values: Tensor) -> Tensor:
    """For every unit that stays the one that is moved into its place."""
    home = torch.arange(space.size)
    if "permute" not in space.actions:
        return home
    if bool((values.diagonal() >= values.amax(dim=1)).all()):
        return home  # every unit has its best match already
    # What all matches of a unit share decides nothing, but makes the solver up to ten times slower.
    # In place, and as costs, of which the solver makes no copy: tables take most of the memory.
    costs = precise(values)
    costs = costs.neg() if costs is values else costs.neg_()
    costs -= costs.mean(dim=1, keepdim=True)
    costs -= costs.mean(dim=0)
    costs -= costs.amin(dim=1, keepdim=True)
    costs -= costs.amin(dim=0)
    _, columns = linear_sum_assignment(costs.cpu().numpy())
    return torch.from_numpy(columns)
