"""Signs of whole tensors, tried one after the other.

A sign that whole tensors share is worth nothing by itself where matrices act on the same weights:
these have turned to where they go with the wrong one. So each is held while all other spaces are
walked through anew, greedily and then by descent, and kept where that is better; where no change of
one gains, several are changed together.
"""

import itertools
from collections.abc import Iterator

import torch

from toroids.align.descent import descend, is_copy, smallest_gain
from toroids.align.greedy import walked
from toroids.align.position import Position
from toroids.align.problem import Problem
from toroids.symmetry.choice import identity_permutation
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Space


def best_whole_signs(problem: Problem, most: int) -> Position | None:
    """Where the best signs of whole tensors lead.

    Args:
        problem: the two networks.
        most: of the tries.

    Returns:
        The most similar network; None where no whole tensors have signs.
    """
    wholes = [s for s in problem.group.spaces if s.is_single and s.of("flip")]
    if not wholes:
        return None
    signs = torch.ones(sum(len(space.of("flip")) for space in wholes), dtype=torch.float64)
    best = _held(problem, wholes, signs)
    reached, least = best.similarity(problem.reference), smallest_gain(problem)
    changes = _subsets(len(signs))
    for _ in range(most - 1):
        change = next(changes, None)
        if change is None or problem.effort.over or is_copy(problem, best):
            break
        other = signs.clone()
        other[list(change)] *= -1
        tried = _held(problem, wholes, other)
        similarity = tried.similarity(problem.reference)
        if similarity > reached + least:
            best, signs, reached, changes = tried, other, similarity, _subsets(len(signs))
    return best


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    """Which of some signs to change: single ones first."""
    sizes = range(1, count + 1)
    return itertools.chain.from_iterable(itertools.combinations(range(count), n) for n in sizes)


def _held(problem: Problem, wholes: list[Space], signs: torch.Tensor) -> Position:
    """Where all other spaces go when whole tensors have these signs."""
    position = problem.position()
    parts = torch.split(signs, [len(space.of("flip")) for space in wholes])
    for space, part in zip(wholes, parts, strict=True):
        choice = SpaceElement(identity_permutation(space), signs=part.view(-1, 1, 1).clone())
        position.move(space, choice)
    walked(problem, position, {space.name for space in wholes})
    descend(problem, position)
    return position
