"""The best choice on a space of many units at less than the price of all products of its units.

Sketches propose: every unit's weights are added up, with random signs, into a few numbers, whose
inner products are those of the weights up to noise (Charikar, Chen and Farach-Colton, Finding
frequent items in data streams, 2002). Exact products decide: where every unit's best match is far
better than the noise, and no two units share it, the matches are the best permutation, and only
their products are computed. Units of networks that were trained apart are not that alike; there
the table of all products is needed.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from toroids.align.block import Block, Part, Table
from toroids.align.choose import Choice
from toroids.align.signs import best_signs, with_best_signs
from toroids.params import precise
from toroids.symmetry.element import SpaceElement

# Units from which on sketches pay, numbers in a sketch, and how many standard deviations of the
# noise a match must be better by.
MANY, NUMBERS, SURE = 1024, 256, 6.0

Parts = Callable[[], Iterator[Part]]


def is_sketched(block: Block) -> bool:
    """Whether a block is one space of many units that are permuted and hold nothing inside."""
    space = block.space
    one = not block.inner and space.copies == 1 and "permute" in space.actions
    return one and space.size >= MANY and not space.matrix and not space.of("phase")


def sketched(block: Block, parts: Parts, cosine: bool = False) -> Choice | None:
    """The best choice on a space, if sketches tell it.

    Args:
        block: of one space, as `is_sketched` says.
        parts: gives what the units of both networks hold, leg by leg, (1, size, entries) each;
            called twice.
        cosine: whether to compare units by cosine similarity, as `cosines` does.

    Returns:
        The choice; None where some unit's best match is not clear.
    """
    space = block.space
    sketches: dict[tuple[float, ...], list[Tensor]] = {}
    squares = [torch.zeros(space.size, dtype=torch.float64) for _ in range(2)]
    entries = 0
    for number, (pattern, *pair) in enumerate(parts()):
        entries += pair[0].shape[2]
        for side, held in enumerate(pair):
            squares[side] += torch.linalg.vector_norm(held[0], dim=1).double().cpu().square()
        added = [_sketch(held[0], number) for held in pair]
        known = sketches.setdefault(pattern, [torch.zeros_like(x) for x in added])
        sketches[pattern] = [x + y for x, y in zip(known, added, strict=True)]
    if entries < 4 * NUMBERS:
        return None
    lengths = [torch.where(x > 0, x, 1.0).sqrt() for x in squares]
    table = {key: (a @ b.T)[None] for key, (a, b) in sketches.items()}
    values = with_best_signs(space, table)[0]
    scale = [x.to(values) for x in lengths]
    if cosine:
        values = values / scale[0][:, None] / scale[1]
        scale = [torch.ones_like(x) for x in scale]
    places = values.argmax(dim=1)
    if len(torch.unique(places)) < space.size:
        return None
    matched, here = _exact(parts, places)
    if cosine:
        each = (lengths[0] * lengths[1][places.cpu()])[:, None]
        matched = {key: x / each.to(x) for key, x in matched.items()}
    reached = with_best_signs(space, matched)[0, :, 0]
    # the most that any other match of a unit may reach
    others = values + SURE * NUMBERS**-0.5 * scale[0][:, None] * scale[1]
    others.scatter_(1, places[:, None], -torch.inf)
    if bool((others.amax(dim=1) > reached).any()):
        return None
    signs = best_signs(space, matched) if space.of("flip") else None
    step = SpaceElement(places.cpu()[None], signs=signs)
    return Choice(((space, step),), float(precise(reached).sum()), here)


def _sketch(rows: Tensor, seed: int) -> Tensor:
    """Adds up the entries of every row in `NUMBERS` sums, each with a random sign."""
    count = rows.shape[1]
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (count,), generator=generator).mul_(2).sub_(1).to(rows)
    signed = torch.nn.functional.pad(rows * signs, (0, -count % NUMBERS))
    return signed.view(len(rows), -1, NUMBERS).sum(dim=1)


def _exact(parts: Parts, places: Tensor) -> tuple[Table, float]:
    """The products of matched units, (1, size, 1), and the sum of those where nothing moves."""
    matched: Table = {}
    here = 0.0
    for pattern, a, b in parts():
        found = (a * b[:, places]).sum(dim=2, keepdim=True)
        matched[pattern] = matched[pattern] + found if pattern in matched else found
        here += float(precise(torch.linalg.vecdot(a, b)).sum())
    return matched, here
