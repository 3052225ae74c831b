"""The best element of a small network, by enumeration.

Blocks that share a tensor depend on each other. All choices are tried on a set of blocks without
which no two of the others share a tensor (a vertex cover); each of the others then has one exact
step. Two hidden layers need the choices of one of them, three those of the middle one.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from toroids.align.block import Block, blocks, rows_of, tables
from toroids.align.choose import choose
from toroids.align.problem import Found, Problem
from toroids.align.signs import tries_all_signs
from toroids.errors import ToroidsError
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Space

# About a minute of choices.
MOST_CHOICES = 50_000
# With more blocks the covers are not tried one by one.
MOST_BLOCKS = 12


def exact(problem: Problem) -> Found:
    """Finds the element of the largest similarity.

    Args:
        problem: two small networks.

    Returns:
        The best of all elements of permutations, signs and orthogonal matrices; the best so far,
        not converged, where the time was up before.

    Raises:
        ToroidsError: too many choices to try them all.
    """
    cover = covering(blocks(problem.group))
    count = math.prod(map(choices_of, cover)) if cover is not None else math.inf
    if cover is None or count > MOST_CHOICES:
        shown = "too many" if cover is None else f"about 10^{math.log10(count):.0f}"
        raise ToroidsError(
            f"the method 'exact' would have to try {shown} choices, expected at most "
            f"{MOST_CHOICES}; use 'best' with a budget, and look at the bound."
        )
    rest = [block for block in blocks(problem.group) if block not in cover]
    best = problem.position()
    reached = best.similarity(problem.reference)
    for tried, steps in enumerate(itertools.product(*map(_choices, cover))):
        if problem.effort.over:
            return Found(best.element, tried, False, "exact")
        problem.effort.tell("exact", tried, int(count))
        position = problem.position()
        for space, step in itertools.chain(*steps):
            position.move(space, step)
        for block in rest:
            choice = choose(block, tables(block, rows_of(problem.reference, position.tensors)))
            for space, step in choice.steps:
                position.move(space, step)
        similarity = position.similarity(problem.reference)
        if similarity > reached:
            best, reached = position, similarity
    return Found(best.element, int(count), True, "exact")


def covering(all_blocks: Sequence[Block]) -> list[Block] | None:
    """The blocks whose choices are tried, of all covers that with the fewest; None without one."""
    if len(all_blocks) > MOST_BLOCKS:
        return None
    covers = itertools.chain.from_iterable(
        itertools.combinations(all_blocks, size) for size in range(len(all_blocks) + 1)
    )
    good = [list(cover) for cover in covers if _covers(cover, all_blocks)]
    counts = {block.space.name: choices_of(block) for block in all_blocks}  # of very many digits
    return min(good, key=lambda c: math.prod(counts[b.space.name] for b in c), default=None)


def _covers(cover: Sequence[Block], all_blocks: Sequence[Block]) -> bool:
    if any(space.matrix or space.of("phase") for block in cover for space in block.spaces):
        return False  # matrices cannot be tried one by one
    rest = [block for block in all_blocks if block not in cover]
    many_signs = not all(tries_all_signs(space) for block in rest for space in block.spaces)
    names = [name for block in rest for name in block.tensors]
    return (
        len(set(names)) == len(names) and all(block.is_linear for block in rest) and not many_signs
    )


def choices_of(block: Block) -> int:
    """The number of choices on a block."""
    count = 1
    for space in block.spaces:
        units = space.copies * space.size
        count *= 2 ** (units * len(space.of("flip")))
        if "permute" in space.actions:
            count *= math.factorial(space.size) ** space.copies
    return count


def _choices(block: Block) -> Iterator[tuple[tuple[Space, SpaceElement], ...]]:
    return itertools.product(*([(s, x) for x in _on(s)] for s in block.spaces))


def _on(space: Space) -> Iterator[SpaceElement]:
    home = tuple(range(space.size))
    some = itertools.permutations(home) if "permute" in space.actions else [home]
    shape = (len(space.of("flip")), space.copies, space.size)
    for permutation in itertools.product(list(some), repeat=space.copies):
        for signs in itertools.product((1.0, -1.0), repeat=math.prod(shape)):
            flips: Tensor = torch.tensor(signs, dtype=torch.float64).view(shape)
            yield SpaceElement(torch.tensor(permutation), signs=flips)
