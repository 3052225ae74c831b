"""Alignment by activations: units match that do the same on data.

With x_i and y_j what two units compute on the same inputs, centred and scaled to unit variance, the
table of a block is that of correlations, summed over the values that its readers read; matrices
match the centred values themselves. What a unit computes moves with it, so that most blocks are
matched once, in any order; where the values of a space are moved by other spaces as well, as those
of token-mixing units by the stream, those are matched first and the network is looked at again.

Reference: Li et al., Convergent Learning: Do different neural networks learn the same
representations?, 2015, arXiv 1511.07543.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from toroids.align.block import Block, Part, Table, blocks, products
from toroids.align.choose import choose
from toroids.align.problem import Found, Problem
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.params import Params
from toroids.probe import Activations, Probe
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Space

Values: TypeAlias = Mapping[str, Sequence[Activations]]


def activations(problem: Problem) -> Found:
    """Finds the element under which units compute what is most alike.

    Args:
        problem: the two networks, with a probe.

    Returns:
        An element of permutations, signs and orthogonal matrices; it can be worse than none.

    Raises:
        ToroidsError: no probe.
    """
    if problem.probe is None:
        raise ToroidsError(
            "the method 'activations' compares what units compute on data; pass "
            "probe=td.probe.Probe(model, group, inputs)."
        )
    position = problem.position()
    stays, moves = (problem.probe(problem.as_stored(x)) for x in (problem.reference, problem.start))
    all_blocks = blocks(problem.group)
    # Blocks whose values nothing else moves come first; they are compared as they are.
    plain = [b for b in all_blocks if any(_own(b, s, stays) for s in b.spaces)]
    later = [block for block in all_blocks if block not in plain]
    for done, block in enumerate([*plain, *later]):
        if problem.effort.over:
            return Found(position.element, 1, False, "activations")
        problem.effort.tell("activations", done, len(all_blocks))
        if block in later:
            moves = problem.probe(problem.as_stored(position.tensors))
        for space, step in choose(block, _tables(block, stays, moves, block in later)).steps:
            position.move(space, step)
    return Found(position.element, 1, True, "activations")


def probe_on(landscape: Landscape, group: SymmetryGroup, params: Params) -> Probe:
    """A probe of the first batch of a landscape, in the precision of some parameters."""
    inputs, _ = next(landscape.ready(params))
    return Probe(landscape.model, group, inputs, output_key=landscape.output_key)


def _own(block: Block, space: Space, values: Values) -> list[int]:
    """Which values of a space no space outside of its block moves."""
    names = {s.name for s in block.spaces}
    if space is block.space:
        names = {space.name}  # what its inner spaces move is matched through their copies
    return [i for i, x in enumerate(values[space.name]) if x.moved_by <= names]


def _tables(block: Block, stays: Values, moves: Values, every: bool) -> dict[str, Table]:
    found = {}
    for space in block.spaces:
        count = range(len(stays[space.name]))
        parts = [
            _part(block, space, stays[space.name][i], moves[space.name][i])
            for i in (count if every else _own(block, space, stays))
        ]
        found[space.name] = products(parts, space is not block.space)
    return found


def _part(block: Block, space: Space, a: Activations, b: Activations) -> Part:
    scaled = space.matrix is None
    shared = (0.0,) * (0 if space is block.space else block.signs)  # nobody has looked at these
    return (*a.signs, *shared), _standard(a.values, scaled), _standard(b.values, scaled)


def _standard(values: Tensor, scaled: bool) -> Tensor:
    """Centred over the observations, and of unit norm: every unit, or all of a copy together."""
    centred = values - values.mean(dim=2, keepdim=True)
    norms = torch.linalg.vector_norm(centred, dim=2 if scaled else (1, 2), keepdim=True)
    # what rounding leaves of a constant says nothing
    sizes = torch.linalg.vector_norm(values, dim=2 if scaled else (1, 2), keepdim=True)
    varies = norms > 16 * torch.finfo(values.dtype).eps * sizes
    return torch.where(varies, centred / torch.where(varies, norms, 1.0), 0.0)
