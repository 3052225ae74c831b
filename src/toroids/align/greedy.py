"""Greedy alignment, the published method: layer by layer from the input, one pass.

For every space in topological order, with u_i and v_j the incoming vectors of the two networks'
units (the inputs of v already permuted by the spaces before), the permutation maximises the
summed cosine similarities

    sum_i <u_i, v_p(i)> / (||u_i|| ||v_p(i)||)

by a linear assignment. What reads a unit is not looked at: that is why one pass is fast and weak.
Where what writes a space depends on spaces that come later, as in recurrent layers and residual
streams with tied embeddings, the weights that meet no such space count instead.
"""

from toroids.align.choose import blocks, choose
from toroids.canonical.form import CanonicalParams
from toroids.params import Params
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup


def greedy(group: SymmetryGroup, params: CanonicalParams, reference: Params) -> Element:
    """Finds the element that brings `params` close to `reference` in one pass.

    Args:
        group: the architecture's symmetry group.
        params: the canonical network to move.
        reference: the canonical network that stays.

    Returns:
        An element of permutations, signs and orthogonal matrices.
    """
    element, moved = group.identity(), dict(params)
    all_blocks = blocks(group)
    known = {space.name for space in group.spaces} - {s.name for block in all_blocks for s in block}
    for block in all_blocks:
        step = choose(group, block, reference, moved, known=frozenset(known))
        element = group.compose(step, element)
        known |= {space.name for space in block}
    return element
