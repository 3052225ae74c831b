"""Restarts: what is left of a time budget is spent on improving what a method found.

From the best so far a random share of the units of some random spaces is shuffled, descent follows,
and what is better is kept (iterated local search). Its results are never worse than its start.
"""

import math

import torch

from toroids.align.block import Block, blocks
from toroids.align.descent import descend, smallest_gain
from toroids.align.position import Position
from toroids.align.problem import Found, Problem
from toroids.symmetry.action import identity_permutation
from toroids.symmetry.element import SpaceElement

# Shares of the units of a space that are shuffled, drawn at random.
SHARES = (0.1, 0.3, 1.0)


def restarts(problem: Problem, found: Found) -> Found:
    """Improves an answer until the time is up.

    Args:
        problem: the two networks, with a deadline.
        found: the best so far.

    Returns:
        The best answer.
    """
    if not math.isfinite(problem.effort.deadline):
        return found
    movable = [block for block in blocks(problem.group) if "permute" in block.space.actions]
    reference, least = problem.reference, smallest_gain(problem)
    best = problem.position(found.element)
    reached = best.similarity(reference)
    count = 0
    while movable and not problem.effort.over:
        count += 1
        problem.effort.tell(f"restart {count}", 0, 0)
        position = problem.position(best.element)
        _disturb(movable, position, problem.effort.generator)
        descend(problem, position)
        similarity = position.similarity(reference)
        if similarity > reached + least:
            best, reached = position, similarity
            found = Found(best.element, found.sweeps, found.converged, found.method)
    return found


def _disturb(movable: list[Block], position: Position, generator: torch.Generator) -> None:
    """Shuffles units of at least one block."""
    picked = torch.rand(len(movable), generator=generator) < 1 / min(len(movable), 3)
    picked[int(torch.randint(len(movable), (1,), generator=generator))] = True
    share = SHARES[int(torch.randint(len(SHARES), (1,), generator=generator))]
    for block, chosen in zip(movable, picked.tolist(), strict=True):
        if chosen:
            space = block.space
            permutation = identity_permutation(space)
            for copy in permutation:
                some = torch.rand(space.size, generator=generator) < share
                among = some.nonzero()[:, 0]
                copy[among] = among[torch.randperm(len(among), generator=generator)]
            position.move(space, SpaceElement(permutation))
