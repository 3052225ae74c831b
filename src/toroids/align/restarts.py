"""Restarts: what is left of a time budget is spent on improving what a method found.

First come, of what may be a moved copy, units in the order of their invariants (`invariants`), and
the signs of whole tensors (`whole_signs`). Then, from the best so far, a random
share of the units of some random spaces is shuffled and flipped, or turned at random, descent
follows, and what is better is kept (iterated local search). Its results are never worse than its
start.

Without a budget there are none, but where no invariant tells the two networks apart: so it is with
a moved copy, and with hardly anything else, so that some are worth their time.
"""

import math

import torch

from toroids.align.block import Block, blocks
from toroids.align.descent import descend, is_copy, smallest_gain
from toroids.align.invariants import by_invariants, may_be_copy
from toroids.align.position import Position
from toroids.align.problem import Found, Problem
from toroids.align.whole_signs import best_whole_signs
from toroids.symmetry.choice import identity_permutation, random_choice
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Space

# Shares of the units of a space that are shuffled, drawn at random.
SHARES = (0.1, 0.3, 1.0)
# Without a budget, for what must be a moved copy; fewer, but two, where all of them would walk
# through more numbers.
RESTARTS, NUMBERS = 50, 3e8


def restarts(problem: Problem, found: Found) -> Found:
    """Improves an answer until the time is up, or until the networks are equal.

    Args:
        problem: the two networks.
        found: the best so far.

    Returns:
        The best answer.
    """
    limited, copy = math.isfinite(problem.effort.deadline), may_be_copy(problem)
    if not limited and not copy:
        return found
    # of networks trained apart a stream that is turned at random does not come back to any good
    movable = [x for x in blocks(problem.group) if copy or not x.space.of("rotate")]
    reference, least = problem.reference, smallest_gain(problem)
    best = problem.position(found.element)
    reached = best.similarity(reference)
    count, most = 0, _most(problem)
    while movable and not problem.effort.over:
        if not limited and (count == most or is_copy(problem, best)):
            break
        count += 1
        problem.effort.tell(f"restart {count}", 0, 0)
        position = by_invariants(problem) if copy and count == 1 else None
        if count == 1 + copy:
            position = best_whole_signs(problem, most)
        if position is None:
            position = problem.position(best.element)
            _disturb(movable, position, problem.effort.generator)
            descend(problem, position)
        similarity = position.similarity(reference)
        if similarity > reached + least:
            best, reached = position, similarity
            found = Found(best.element, found.sweeps, found.converged, found.method)
    return found


def as_copy(problem: Problem, found: Found) -> Found:
    """Goes on where a moved copy has not come back.

    Args:
        problem: the two networks.
        found: an answer.

    Returns:
        An answer at which the networks are equal, or the one given: what else restarts reach
        depends on where the networks lie.
    """
    again = restarts(problem, found)
    return again if is_copy(problem, problem.position(again.element)) else found


def _most(problem: Problem) -> int:
    """How many restarts without a budget."""
    numbers = sum(problem.reference[name].numel() for name in problem.group.parameters)
    return max(2, min(RESTARTS, int(NUMBERS / max(numbers, 1))))


def _disturb(movable: list[Block], position: Position, generator: torch.Generator) -> None:
    """Shuffles, flips and turns units of at least one block."""
    picked = torch.rand(len(movable), generator=generator) < 1 / min(len(movable), 3)
    picked[int(torch.randint(len(movable), (1,), generator=generator))] = True
    share = SHARES[int(torch.randint(len(SHARES), (1,), generator=generator))]
    for block, chosen in zip(movable, picked.tolist(), strict=True):
        for space in block.spaces if chosen else ():
            position.move(space, _random_choice(space, share, generator))


def _random_choice(space: Space, share: float, generator: torch.Generator) -> SpaceElement:
    """What keeps the canonical form, at random, on about a share of the units of a space."""
    drawn = random_choice(space, generator)
    some = torch.rand(drawn.permutation.shape, generator=generator) < share
    permutation = identity_permutation(space)
    if "permute" in space.actions and space.matrix is None:
        for copy, chosen in zip(permutation, some, strict=True):
            among = chosen.nonzero()[:, 0]
            copy[among] = among[torch.randperm(len(among), generator=generator)]
    signs = None if space.of("rotate") else drawn.signs  # of gains, which are one
    return SpaceElement(
        permutation,
        signs=None if signs is None else torch.where(some, signs, 1.0),
        mix=torch.linalg.qr(drawn.mix)[0]
        if drawn.mix is not None and space.of("mix")
        else drawn.mix,
        phases=None if drawn.phases is None else torch.where(some, drawn.phases, 0.0),
    )
