"""Signs of a block that are solved for together, where its spaces move the same weights.

Where the entries of a tensor take the sign of a row as well as that of a column, signs chosen for
rows alone and for columns alone hold each other where they are. Every product of weights that take
the same signs is an equation modulo two: the signs that it takes multiply to its own. Largest
first, products that contradict none before are made positive; of a moved copy none contradicts.
"""

from collections.abc import Iterator, Sequence

import torch

from toroids.align.block import Block, Pattern
from toroids.params import Params, precise
from toroids.symmetry.choice import identity_permutation
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Leg, Space
from toroids.symmetry.units import along

# Of larger tensors the products are too many.
ENTRIES = 2**16


def joint_signs(
    blocks: Sequence[Block], reference: Params, moved: Params
) -> tuple[tuple[Space, SpaceElement], ...]:
    """Solves for all signs of blocks whose units are in place.

    Args:
        blocks: spaces, each with those whose copies are its units.
        reference: the network that stays.
        moved: the network that moves.

    Returns:
        For every space that flips its signs; none where there are too many products.
    """
    names = list(dict.fromkeys(name for block in blocks for name in block.tensors))
    if any(reference[name].numel() > ENTRIES for name in names):
        return ()
    spaces = [space for block in blocks for space in block.spaces]
    starts, count = {}, 0
    for space in spaces:
        starts[space.name] = count
        count += len(space.of("flip")) * space.copies * space.size
    found = [one for name in names for one in _equations(blocks, name, starts, reference, moved)]
    solved = _solved(sorted(found, key=lambda one: abs(one[1]), reverse=True))
    steps = []
    for space in spaces:
        shape = (len(space.of("flip")), space.copies, space.size)
        if shape[0]:
            first = starts[space.name]
            bits = [solved.get(first + i, 0) for i in range(shape[0] * shape[1] * shape[2])]
            signs = 1 - 2 * torch.tensor(bits, dtype=torch.float64).view(shape)
            steps.append((space, SpaceElement(identity_permutation(space), signs=signs)))
    return tuple(steps)


def _equations(
    blocks: Sequence[Block], name: str, starts: dict[str, int], reference: Params, moved: Params
) -> Iterator[tuple[int, float]]:
    """The products of a tensor's weights, by the signs that they take, as bits of a number."""
    product = (precise(reference[name].detach()) * precise(moved[name].detach())).cpu()
    taking = [
        (block, space, leg, power)
        for block in blocks
        for space in block.spaces
        for leg, power in block.legs[space.name].items()
        if leg.tensor == name and any(power)
    ]
    if not taking:
        return
    places = [_units_on(space, leg, product) for _, space, leg, _ in taking]
    groups, which = torch.unique(torch.stack(places), dim=1, return_inverse=True)
    sums = torch.zeros(groups.shape[1], dtype=product.dtype)
    sums.index_add_(0, which, product.flatten())
    bits = [
        [_bits(block, space, power, starts, unit) for unit in range(-1, space.copies * space.size)]
        for block, space, _, power in taking
    ]
    for units, total in zip(groups.T.tolist(), sums.tolist(), strict=True):
        mask = 0
        for known, unit in zip(bits, units, strict=True):
            mask ^= known[unit]
        if mask:
            yield mask, total


def _units_on(space: Space, leg: Leg, tensor: torch.Tensor) -> torch.Tensor:
    """For every entry its unit, counted from one, copy after copy; 0 where it has none."""
    numbers = torch.arange(1, space.copies * space.size + 1, dtype=tensor.dtype)
    return along(numbers, tensor, leg, 0.0).expand_as(tensor).flatten().long()


def _bits(block: Block, space: Space, power: Pattern, starts: dict[str, int], unit: int) -> int:
    """The signs that a unit's entries take: its own, and those of the unit that holds it."""
    if unit < 0:
        return 0
    own = len(power) - (block.signs if space is not block.space else 0)
    units, outer = space.copies * space.size, block.space
    taken = [starts[space.name] + i * units + unit for i in range(own) if power[i] % 2]
    taken += [
        starts[outer.name] + i * outer.size + unit // space.size
        for i, p in enumerate(power[own:])
        if p % 2
    ]
    return sum(1 << number for number in taken)


def _solved(equations: list[tuple[int, float]]) -> dict[int, int]:
    """Which signs are negative, by equations of which earlier ones count more."""
    rows: dict[int, tuple[int, int]] = {}  # by the highest sign that they take
    for mask, product in equations:
        negative = int(product < 0)
        while mask and mask.bit_length() - 1 in rows:
            other, parity = rows[mask.bit_length() - 1]
            mask, negative = mask ^ other, negative ^ parity
        if mask:
            rows[mask.bit_length() - 1] = mask, negative
    solved = 0
    for number in sorted(rows):
        mask, negative = rows[number]
        if (mask & solved).bit_count() % 2 != negative:
            solved |= 1 << number
    return {number: solved >> number & 1 for number in rows}
