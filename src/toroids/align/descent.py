"""Alignment by coordinate descent: each space in turn takes its best choice, until none gains.

The objective is the inner product of the two networks over all parameters. A step on one space is
exact where every tensor carries the space once; where one carries it twice, as a recurrent layer
does, the step is that of the linearised objective. A step is taken only if the objective rises.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from toroids.align.block import Block, Part, Rows, blocks, rows_of, tables
from toroids.align.choose import Choice, choose
from toroids.align.greedy import walked
from toroids.align.joint_signs import joint_signs
from toroids.align.position import Position
from toroids.align.problem import Found, Problem
from toroids.align.sketch import is_sketched, sketched
from toroids.params import inner_product, precise, rounding_of
from toroids.symmetry.action import move_space
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Space

Steps: TypeAlias = tuple[tuple[Space, SpaceElement], ...]
SWEEPS = 100
# A smaller gain, relative to the squared norm of the network that stays, is rounding.
ROUNDINGS = 16
# Of turns that gain no more than rounding, those between these are worth a further sweep.
TURN_ROUNDINGS = 1000
LARGE_TURN = 1e-2


def descent(problem: Problem) -> Found:
    """Finds the element that brings a network close to another, space by space.

    Starts at the better of where the network is and what `greedy` reaches, and never ends below.
    Where a stream rotates, one tensor with large entries, as an embedding, can hold all others
    where it wants them: there it also starts where descent ends with tensors weighed alike, and
    keeps what is more similar. On two language models trained apart that took the barrier of the
    loss from 2.1 to 1.7 (benchmarks/language_models.md).

    Args:
        problem: the two networks.

    Returns:
        An element of permutations, signs and orthogonal matrices.
    """
    position, sweeps, converged = _from_greedy(problem)
    # networks that are kept on a disk would need memory for the weighed one
    turning = problem.scratch is None and any(space.of("rotate") for space in problem.group.spaces)
    if turning and not is_copy(problem, position):
        other, more, _ = _from_greedy(replace(problem, reference=weighed(problem)))
        count, settled = descend(problem, other)
        sweeps += more + count
        if other.similarity(problem.reference) > position.similarity(problem.reference):
            position, converged = other, settled
    return Found(position.element, sweeps, converged, "descent")


def weighed(problem: Problem) -> dict[str, Tensor]:
    """The network that stays, where every tensor counts by the root of its norms' product.

    With A and B what the two networks hold under one name, A / sqrt(|A| |B|): between A itself,
    of which large ones decide all, and A / (|A| |B|), of which small ones count as much.

    Args:
        problem: the two networks.

    Returns:
        Its tensors by name; those that move nothing as they are.
    """
    found = dict(problem.reference)
    for name in problem.group.parameters:
        norms = [float(precise(x[name]).norm()) for x in (problem.reference, problem.start)]
        size = math.sqrt(norms[0] * norms[1])
        if size > 0:
            found[name] = problem.reference[name].detach() / size
    return found


def is_copy(problem: Problem, position: Position) -> bool:
    """Whether nothing is left to gain, as the two point the same way up to rounding."""
    names = problem.group.parameters
    squares = [inner_product(x, x, names) for x in (problem.reference, position.tensors)]
    gap = math.prod(squares) ** 0.5 - position.similarity(problem.reference)
    return gap <= smallest_gain(problem)


def _from_greedy(problem: Problem) -> tuple[Position, int, bool]:
    position = problem.position()
    before = position.similarity(problem.reference)
    moved, _ = walked(problem)
    if moved.similarity(problem.reference) >= before:
        position = moved
    del moved
    sweeps, converged = descend(problem, position)
    return position, sweeps, converged


def descend(problem: Problem, position: Position) -> tuple[int, bool]:
    """Moves `position` to where no step on one block gains.

    Matrices and phases turn on for as long as every sweep turns them by less than half of the last:
    blocks that share weights settle each other by a factor per sweep, and the objective, which is
    flat at its maximum, tells only half of the digits.

    Args:
        problem: the two networks.
        position: where to begin; it is moved.

    Returns:
        The number of sweeps over all blocks, the last one without a gain, and whether it was.
    """
    all_blocks = blocks(problem.group)
    least = smallest_gain(problem)
    rounding = rounding_of(problem.reference[name] for name in problem.group.parameters)
    # A block is looked at again only if a tensor that it counts has changed since.
    changed = dict.fromkeys(problem.group.parameters, 0)
    seen = [-1] * len(all_blocks)
    clock, last = 0, math.inf
    for sweep in range(1, SWEEPS + 1):
        gained, turned = False, 0.0
        for number, block in enumerate(all_blocks):
            if all(changed[name] <= seen[number] for name in block.tensors):
                continue
            if problem.effort.over:
                return sweep, False
            problem.effort.tell(f"sweep {sweep}", number, len(all_blocks))
            seen[number] = clock
            steps, gain = best_steps(problem, block, position)
            turn = 0.0 if gain < -least else _turn(steps, rounding)
            if gain <= least and not turn:
                continue
            gained, turned, clock = gained or gain > least, max(turned, turn), clock + 1
            for space, step in steps:
                position.move(space, step)
            changed |= dict.fromkeys(block.tensors, clock)
            # one step on tables that tell all cannot be improved on
            seen[number] = clock if block.is_linear else clock - 1
        if not gained and (not turned or 2 * turned >= last):
            return sweep, True
        last = math.inf if gained else turned
    return SWEEPS, False


def smallest_gain(problem: Problem) -> float:
    """The gain below which a step is rounding."""
    names, reference = problem.group.parameters, problem.reference
    rounding = rounding_of(reference[name] for name in names)
    return ROUNDINGS * rounding * inner_product(reference, reference, names)


def best_steps(problem: Problem, block: Block, position: Position) -> tuple[Steps, float]:
    """The best steps on one block, and what they gain.

    Where spaces move the same weights, as heads of queries and the phases that these share, each is
    also tried alone, for tables take the others to be right, and so are the signs of all together.

    Returns:
        The steps that gain most, and their gain.
    """
    choice = _choice(block, rows_of(problem.reference, position.tensors))
    if block.is_linear:
        return choice.steps, choice.value - choice.before
    before = inner_product(position.tensors, problem.reference, block.tensors)
    outer, *inner = choice.steps
    alone = [(outer, step) for step in inner] if len(inner) > 1 else []
    signed = joint_signs([block], problem.reference, position.tensors) if len(inner) > 1 else ()
    best: tuple[Steps, float] = (choice.steps, -math.inf)
    for steps in (choice.steps, *alone, *((signed,) if signed else ())):
        after = dict(position.tensors)
        for space, step in steps:
            move_space(space, step, after)
        gain = inner_product(after, problem.reference, block.tensors) - before
        if gain > best[1]:
            best = (steps, gain)
    return best


def _choice(block: Block, rows: Rows) -> Choice:
    """The best choice on a block; by sketches where these tell it."""
    legs = block.legs[block.space.name].items()

    def parts() -> Iterator[Part]:
        return ((power, *rows(block.space, leg)) for leg, power in legs)

    choice = sketched(block, parts) if is_sketched(block) else None
    return choose(block, tables(block, rows)) if choice is None else choice


def _turn(steps: Steps, rounding: float) -> float:
    """How far steps turn that gain nothing, as matrices or angles, if that is worth a step.

    Returns:
        The largest entry; 0 where they permute or flip, where it is rounding, and where it is so
        large that it must be among directions in which there are no weights.
    """
    size = 0.0
    for _, step in steps:
        home = torch.arange(step.permutation.shape[1])
        moved = bool((step.permutation.cpu() != home).any())
        if moved or (step.signs is not None and bool((step.signs < 0).any())):
            return 0.0
        if step.mix is not None:
            eye = torch.eye(step.mix.shape[1], dtype=step.mix.dtype)
            size = max(size, float((step.mix - eye).abs().max()))
        if step.phases is not None:
            size = max(size, float(step.phases.abs().max()))
    return size if TURN_ROUNDINGS * rounding < size < LARGE_TURN else 0.0
