"""The best signs of units for a table of products.

Generators of flips that share no leg decide by themselves: each family of those that do is tried
on its own.
"""

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from toroids.align.block import Table
from toroids.symmetry.space import Generator, Space

# Of more sign generators than this in one family, the others keep their signs.
SIGN_GENERATORS = 6


def tries_all_signs(space: Space) -> bool:
    """Whether every family of generators of flips is small enough to try all of its signs."""
    return all(len(family) <= SIGN_GENERATORS for family in _families(space.of("flip")))


def with_best_signs(space: Space, table: Table) -> Tensor:
    """The largest sum of the products of every pair of units over all signs.

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
        for choice in _sign_choices(len(family) - 1):
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
        matched: products of each unit and its match; shapes (copies, size, 1).

    Returns:
        1 or -1; shape (generators, copies, size).
    """
    signs = torch.ones(len(space.of("flip")), space.copies, space.size, dtype=torch.float64)
    for family, part in _split(space, matched)[1]:
        signs[family] = _signs(part, len(family)).to(signs)
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
    """All signs of `count` generators; those beyond the limit stay."""
    free = min(count, SIGN_GENERATORS - 1)
    for some in itertools.product((1.0, -1.0), repeat=free):
        yield (*some, *(1.0,) * (count - free))
