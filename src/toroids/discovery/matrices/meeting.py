"""Where two sparse linear maps meet in a product over an axis, as queries and keys do."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toroids.discovery.matrices.linear_values import Unknown, Walk
from toroids.discovery.matrices.maps import TOKENS, Map, unique
from toroids.discovery.matrices.pairs import Product, verdict

# Rows and columns of a product that are looked at, in every one of several draws: two positions
# leave one distance, three leave three.
PLACES = 3


def meet(walk: Walk, a: Map | None, b: Map | None, equation: tuple[str, str, str]) -> Any:
    """Notes which features a product of two values multiplies, and by what.

    Args:
        walk: takes the notes.
        a: the first value.
        b: the second one.
        equation: letters of the axes of both, and of the result.

    Returns:
        A value that is linear in neither; None where nothing is summed over, or one is no map.
    """
    if a is None or b is None:
        return None
    first, second, out = equation
    shared = [x for x in first if x in second]
    batch, over = [x for x in shared if x in out], [x for x in shared if x not in out]
    rows, columns = ([x for x in own if x not in shared] for own in (first, second))
    if not over or not set(rows + columns) <= set(out):
        return None
    if any(numbers.is_complex() for _, numbers in (*a.terms, *b.terms)):
        return None
    sizes: dict[str, int] = {}
    for letters, value in ((first, a), (second, b)):
        for letter, size in zip(letters, value.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    left = _arranged(walk, a, first, (batch, rows, over), sizes)
    right = _arranged(walk, b, second, (batch, columns, over), sizes)
    features = walk.meetings.features
    for value, kept in ((a, left), (b, right)):
        held = set(value.features.tolist())
        walk.met.update(held)
        _lose(walk, held, kept)
        for holder in {features.holder(f) for f in held}:
            walk.meetings.fed.setdefault(holder, set()).update(a.buffers | b.buffers)
    _note(walk, left, right)
    return Unknown()


def meet_itself(walk: Walk, value: Map, axis: int) -> Any:
    """Notes which features the length of a value along an axis multiplies with each other.

    Args:
        walk: takes the notes.
        value: the value.
        axis: along which the length is taken.

    Returns:
        A value that is not linear; None where the value is complex.
    """
    if any(numbers.is_complex() for _, numbers in value.terms):
        return None
    size = value.shape[axis]
    rows = value.each(lambda x: x.movedim(axis, -1).reshape(-1, 1, size))
    held = set(value.features.tolist())
    kept = torch.randperm(rows.shape[0], generator=walk.generator)[: PLACES * len(held)]
    some = rows.each(lambda x: x[kept])
    walk.meetings.measured.update(held)
    _lose(walk, held, some)
    _note(walk, some, some, length=True)
    return Unknown()


def _lose(walk: Walk, held: set[int], kept: Map) -> None:
    """Leaves features in place that some rows of a value do not show, or use otherwise."""
    if not _is_plain(walk, kept) or not held <= set(kept.features.tolist()):
        walk.meetings.lost.update(held)


def _arranged(
    walk: Walk, value: Map, letters: str, groups: tuple[list[str], ...], sizes: dict[str, int]
) -> Map:
    """A value as (batch, rows, summed), with a few rows of it."""
    order = [letters.index(x) for group in groups for x in group]
    counts = [int(np.prod([sizes[x] for x in group], dtype=np.int64)) for group in groups]
    kept = torch.randperm(counts[1], generator=walk.generator)[:PLACES]

    def arrange(x: Tensor) -> Tensor:
        whole = x.permute(order).expand([sizes[y] for group in groups for y in group])
        return whole.reshape(counts).index_select(1, kept)

    return value.each(arrange)


def _is_plain(walk: Walk, value: Map) -> bool:
    """Whether every row holds rows of a weight times one and the same vector."""
    found = []
    for ids, numbers in value.terms:
        part, row, _ = np.nonzero(numbers.numpy())
        held = ids.numpy()[numbers.numpy() != 0]
        found.append(np.stack([part * value.shape[1] + row, held >> TOKENS, held % (1 << TOKENS)]))
    place, feature, use = np.concatenate(found, axis=1)
    features = walk.meetings.features
    holder = features.holder_numbers(feature)
    turning = np.array([x.turns for x in features.holders], bool)[holder]
    uses, _ = unique(np.stack([place, holder, use])[:, turning])
    return len(uses[0]) == len(unique(uses[:2])[0][0])


def _note(walk: Walk, left: Map, right: Map, length: bool = False) -> None:
    """Notes what a product says of pairs of features, by what it multiplies every two of them."""
    found = []
    for ids, numbers in left.terms:
        for others, factors in right.terms:
            weight = numbers[:, :, None] * factors[:, None]
            part, row, column, _ = np.nonzero(weight.numpy())
            kept = weight.numpy() != 0
            first = ((ids[:, :, None] >> TOKENS).expand(weight.shape)).numpy()[kept]
            second = ((others[:, None] >> TOKENS).expand(weight.shape)).numpy()[kept]
            place = row * weight.shape[2] + column
            found.append((np.stack([part, place, first, second]), weight.numpy()[kept]))
    keys, weights = (np.concatenate(x, axis=-1) for x in zip(*found, strict=True))
    if weights.size:
        keys, at = unique(keys)
        total = np.bincount(at, weights, keys.shape[1])
        product = Product(keys[0], keys[1], keys[2], keys[3], total)
        found_of = replace(verdict(product, walk.meetings.features), length=length)
        walk.meetings.verdicts.setdefault(found_of.digest, found_of)
