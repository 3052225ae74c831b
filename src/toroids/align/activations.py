"""Alignment by activations: units match that do the same on data.

With x_i and y_j what two units compute on the same inputs, centred and scaled to unit variance, the
table of a block is that of correlations, summed over the values that its readers read; matrices
match the centred values themselves. What a unit computes moves with it, so that every block is
matched once, in any order.

Reference: Li et al., Convergent Learning: Do different neural networks learn the same
representations?, 2015, arXiv 1511.07543.
"""

import torch
from torch import Tensor

from toroids.align.block import Block, Part, Table, blocks, products
from toroids.align.choose import choose
from toroids.align.position import Position
from toroids.align.problem import Found, Problem
from toroids.errors import ToroidsError
from toroids.symmetry.space import Space


def activations(problem: Problem) -> Found:
    """Finds the element under which units compute what is most alike.

    Args:
        problem: the two networks and what their units compute.

    Returns:
        An element of permutations, signs and orthogonal matrices; it can be worse than none.

    Raises:
        ToroidsError: no data.
    """
    if problem.activations is None:
        raise ToroidsError(
            "the method 'activations' compares what units compute; pass the model and data=inputs."
        )
    position = Position(problem.group, problem.start)
    all_blocks = blocks(problem.group)
    for done, block in enumerate(all_blocks):
        if problem.effort.over:
            return Found(position.element, 1, False, "activations")
        problem.effort.tell("activations", done, len(all_blocks))
        for space, step in choose(block, correlations(problem, block)).steps:
            position.move(space, step)
    return Found(position.element, 1, True, "activations")


def correlations(problem: Problem, block: Block) -> dict[str, Table]:
    """The tables of one block: correlations of what its units compute on data."""
    assert problem.activations is not None  # checked by the method
    reference, moved = problem.activations
    found = {}
    for space in block.spaces:
        inner = space is not block.space
        covered = not inner and block.inner and not block.legs[space.name]
        pairs = [] if covered else zip(reference[space.name], moved[space.name], strict=True)
        parts = [_part(space, power, a, b) for (power, a), (_, b) in pairs]
        found[space.name] = products(parts, inner)
    return found


def _part(space: Space, power: tuple[float, ...], a: Tensor, b: Tensor) -> Part:
    scaled = not space.of("mix")
    return power, _standard(a, scaled), _standard(b, scaled)


def _standard(values: Tensor, scaled: bool) -> Tensor:
    """Centred over the observations, and of unit norm or of unit mean square over all units."""
    centred = values - values.mean(dim=2, keepdim=True)
    norms = torch.linalg.vector_norm(centred, dim=2 if scaled else (1, 2), keepdim=True)
    return centred / torch.where(norms > 0, norms, 1.0)
