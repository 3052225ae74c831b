"""Alignment by coordinate descent: each space in turn takes its best choice, until none gains.

The objective is the inner product of the two networks over all parameters. A step on one space is
exact where every tensor carries the space once; where one carries it twice, as a recurrent layer
does, the step is that of the linearised objective. A step is taken only if the objective rises.
"""

import torch

from toroids.align.block import Block, blocks, rows_of, tables
from toroids.align.choose import choose
from toroids.align.greedy import greedy
from toroids.align.position import Position
from toroids.align.problem import Found, Problem
from toroids.params import inner_product
from toroids.symmetry.action import move_space

SWEEPS = 100
# A smaller gain, relative to the squared norm of the network that stays, is rounding.
ROUNDINGS = 16


def descent(problem: Problem) -> Found:
    """Finds the element that brings a network close to another, space by space.

    Starts at the better of where the network is and what `greedy` reaches, and never ends below.

    Args:
        problem: the two networks.

    Returns:
        An element of permutations, signs and orthogonal matrices.
    """
    position = problem.position()
    before = position.similarity(problem.reference)
    moved = problem.position(greedy(problem).element)
    if moved.similarity(problem.reference) >= before:
        position = moved
    del moved
    sweeps, converged = descend(problem, position)
    return Found(position.element, sweeps, converged, "descent")


def descend(problem: Problem, position: Position) -> tuple[int, bool]:
    """Moves `position` to where no step on one block gains.

    Args:
        problem: the two networks.
        position: where to begin; it is moved.

    Returns:
        The number of sweeps over all blocks, the last one without a gain, and whether it was.
    """
    all_blocks = blocks(problem.group)
    least = smallest_gain(problem)
    # A block is looked at again only if a tensor that it counts has changed since.
    changed = dict.fromkeys(problem.group.parameters, 0)
    seen = [-1] * len(all_blocks)
    clock = 0
    for sweep in range(1, SWEEPS + 1):
        gained = False
        for number, block in enumerate(all_blocks):
            if all(changed[name] <= seen[number] for name in block.tensors):
                continue
            if problem.effort.over:
                return sweep, False
            problem.effort.tell(f"sweep {sweep}", number, len(all_blocks))
            seen[number] = clock
            if _step(problem, block, position, least):
                gained, clock = True, clock + 1
                changed |= dict.fromkeys(block.tensors, clock)
                # one step on tables that tell all cannot be improved on
                seen[number] = clock if block.is_linear else clock - 1
        if not gained:
            return sweep, True
    return SWEEPS, False


def smallest_gain(problem: Problem) -> float:
    """The gain below which a step is rounding."""
    names, reference = problem.group.parameters, problem.reference
    kinds = {reference[name].dtype for name in names if reference[name].is_floating_point()}
    rounding = max((torch.finfo(kind).eps for kind in kinds), default=0.0)
    return ROUNDINGS * rounding * inner_product(reference, reference, names)


def _step(problem: Problem, block: Block, position: Position, least: float) -> bool:
    """Takes the best step on one block if it gains."""
    rows = rows_of(problem.reference, position.tensors)
    choice = choose(block, tables(block, rows))
    gain = choice.value - choice.before
    if not block.is_linear:
        after = dict(position.tensors)
        for space, step in choice.steps:
            move_space(space, step, after)
        gain = inner_product(after, problem.reference, block.tensors)
        gain -= inner_product(position.tensors, problem.reference, block.tensors)
    if gain <= least:
        return False
    for space, step in choice.steps:
        position.move(space, step)
    return True
