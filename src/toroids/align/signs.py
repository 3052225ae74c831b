"""The best signs of units for a table of products.

Generators of flips that share no leg decide by themselves: each family of those that do is tried
on its own. Of large families, as those of the norms of a deep network, the signs are solved for: of
a moved copy all products have the signs that its units took, so that independent ones tell them.
"""

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from toroids.align.block import Pattern, Table
from toroids.canonical.exponents import basis, right_inverse
from toroids.symmetry.space import Generator, Space

# The signs of more generators than this in one family are solved for, not tried.
SIGN_GENERATORS = 6


def tries_all_signs(space: Space) -> bool:
    """Whether every family of generators of flips is small enough to try all of its signs."""
    return all(len(family) <= SIGN_GENERATORS for family in _families(space.of("flip")))


def with_best_signs(space: Space, table: Table) -> Tensor:
    """The largest sum of the products of every pair of units over all signs.

    Of families too large to try, what cannot be exceeded: the sum of what each product may be.

    Args:
        space: with generators of flips, or none.
        table: products, at least one, by their exponents under the generators.

    Returns:
        The sums, in the shape of a product.
    """
    unsigned, families = _split(space, table)
    total = unsigned
    for family, part in families:
        best: Tensor | None = None
        if len(family) > SIGN_GENERATORS:
            best = torch.stack([product.abs() for product in part.values()]).sum(dim=0)
        for choice in _sign_choices(len(family) - 1) if best is None else ():
            even, odd = (_signed(part, choice, power) for power in (0.0, 1.0))
            parts = [x for x in (even, None if odd is None else odd.abs()) if x is not None]
            value = parts[0] + parts[1] if len(parts) > 1 else parts[0]
            best = value if best is None else torch.maximum(value, best)
        assert best is not None  # there is at least one choice
        total = best if total is None else total + best
    assert total is not None  # a table holds at least one product
    return total


def best_signs(space: Space, matched: Table) -> Tensor:
    """The best signs of matched units.

    Args:
        space: with generators of flips.
        matched: products of each unit and its match; shapes (copies, size, 1), of any number.

    Returns:
        1 or -1; shape (generators, copies, size).
    """
    copies = len(next(iter(matched.values())))
    signs = torch.ones(len(space.of("flip")), copies, space.size, dtype=torch.float64)
    for family, part in _split(space, matched)[1]:
        some = _signs if len(family) <= SIGN_GENERATORS else _solved_signs
        signs[family] = some(part, len(family)).to(signs)
    return signs


def with_signs(matched: Table, signs: Tensor) -> Tensor:
    """The sum of the products of matched units under given signs.

    Args:
        matched: products of each unit and its match; shapes (copies, size, 1).
        signs: 1 or -1; shape (generators, copies, size).

    Returns:
        The sums; shape (copies, size).
    """
    signed = [product_of(signs, pattern).to(x) * x[..., 0] for pattern, x in matched.items()]
    return torch.stack(signed).sum(dim=0)


def unlike(space: Space, table: Table, choices: Tensor) -> Tensor:
    """Tells which signs of an outer space differ in more than what signs of its own may undo.

    Args:
        space: an inner one.
        table: its products; the exponents end with those of the outer space's signs.
        choices: signs of that, 1 or -1; shape (choices, signs).

    Returns:
        Numbers from zero, the same for choices under which the same can be reached; (choices,).
    """
    if not table:
        return torch.zeros(len(choices), dtype=torch.long)
    count = choices.shape[1]
    patterns = torch.tensor([*table]).double().view(len(table), -1) % 2
    own, shared = patterns.T[: patterns.shape[1] - count], patterns.T[patterns.shape[1] - count :]
    changed = (choices < 0).double() @ shared % 2
    found: list[Tensor] = []
    for row in own if space.matrix is None and not space.of("phase") else ():
        for other in found:
            row = (row + row[other.argmax()] * other) % 2
        if row.any():
            found.append(row)
            changed = (changed + changed[:, row.argmax(), None] * row) % 2
    _, which = np.unique(changed.numpy(), axis=0, return_inverse=True)
    return torch.from_numpy(which.reshape(-1))


def product_of(signs: Tensor, pattern: Pattern) -> Tensor:
    """The product of signs, each to its power; `signs` has these along its first axis."""
    taken = [sign for sign, power in zip(signs, pattern, strict=True) if power % 2]
    return torch.stack(taken).prod(dim=0) if taken else torch.ones_like(signs[0])


def _solved_signs(matched: Table, count: int) -> Tensor:
    """Signs of a large family that make large products positive.

    Largest first, products that are independent tell all; then one by one changes while that gains.

    Returns:
        The signs, (count, copies, size).
    """
    largest = sorted(matched, key=lambda p: float(matched[p].abs().sum()), reverse=True)
    rows = basis(largest, modulo_two=True)
    wanted = torch.stack([(matched[row][..., 0] < 0).double() for row in rows]).cpu()
    inverse = torch.from_numpy(right_inverse(np.array(rows), modulo_two=True))
    signs: Tensor = 1 - 2 * (torch.tensordot(inverse, wanted, dims=1) % 2)
    for _ in range(count):
        before = signs.clone()
        for i, sign in enumerate(signs):
            touched = {pattern: x.cpu() for pattern, x in matched.items() if pattern[i] % 2}
            if touched:
                sign.mul_(torch.where(with_signs(touched, signs) < 0, -1.0, 1.0))
        if bool((signs == before).all()):
            break
    return signs


@cache
def _families(flips: tuple[Generator, ...]) -> list[list[int]]:
    """The numbers of generators of flips, those together that meet on legs."""
    if not flips:
        return []
    table = np.array([g.exponents for g in flips]) % 2
    count, family = connected_components(table @ table.T, directed=False)
    return [np.flatnonzero(family == i).tolist() for i in range(count)]


def _split(space: Space, table: Table) -> tuple[Tensor | None, list[tuple[list[int], Table]]]:
    """The products that no sign changes, added up, and those that every family changes."""
    unsigned: Tensor | None = None
    found: list[tuple[list[int], Table]] = [(family, {}) for family in _families(space.of("flip"))]
    for pattern, product in table.items():
        if not any(pattern):
            unsigned = product if unsigned is None else unsigned + product
        for family, part in found:
            own = tuple(pattern[i] for i in family)
            if any(own):
                part[own] = product
    return unsigned, [(family, part) for family, part in found if part]


def _signed(table: Table, choice: tuple[float, ...], power: float) -> Tensor | None:
    """The sum over patterns of that power in the first generator, with the others' signs."""
    total: Tensor | None = None
    for pattern, product in table.items():
        if pattern[0] != power:
            continue
        negative = sum(e for e, s in zip(pattern[1:], choice, strict=True) if s < 0) % 2
        term = -product if negative else product
        total = term if total is None else total + term
    return total


def _signs(matched: Table, count: int) -> Tensor:
    """The best signs of one family, (count, copies, size)."""
    best: Tensor | None = None
    signs = torch.ones(0)
    for first in (1.0, -1.0):
        for choice in _sign_choices(count - 1):
            even, odd = (_signed(matched, choice, power) for power in (0.0, 1.0))
            value = sum(x for x in (even, None if odd is None else first * odd) if x is not None)
            assert isinstance(value, Tensor)  # a table holds at least one product
            value = value[..., 0]
            full = value.new_tensor((first, *choice)).view(-1, 1, 1).expand(count, *value.shape)
            if best is None:
                best, signs = value, full
            else:
                signs = torch.where(value > best, full, signs)
                best = torch.maximum(value, best)
    return signs


def _sign_choices(count: int) -> Iterator[tuple[float, ...]]:
    """All signs of `count` generators."""
    yield from itertools.product((1.0, -1.0), repeat=count)
