"""Greedy alignment, the published method: layer by layer from the input, one pass.

For every space in topological order, with u_i and v_j the incoming vectors of the two networks'
units (the inputs of v already permuted by the spaces before), the permutation maximises the
summed cosine similarities

    sum_i <u_i, v_p(i)> / (||u_i|| ||v_p(i)||)

by a linear assignment. What reads a unit is not looked at: that is why one pass is fast and weak.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from toroids.canonical.form import CanonicalParams
from toroids.errors import ToroidsError
from toroids.params import Params, precise
from toroids.symmetry.action import move_space
from toroids.symmetry.element import Element, SpaceElement
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Space


def greedy(group: SymmetryGroup, params: CanonicalParams, reference: CanonicalParams) -> Element:
    """Finds the permutation that brings `params` close to `reference` in one pass.

    Args:
        group: the architecture's symmetry group.
        params: the canonical network to move.
        reference: the canonical network that stays.

    Returns:
        An element of permutations.

    Raises:
        ToroidsError: a space that indexes parts of axes.
    """
    choices = dict(group.identity().choices)
    moved = dict(params)
    for space in group.spaces:
        if "permute" not in space.actions:
            continue
        if space.copies > 1 or any(leg.positions or leg.span > 1 for leg in space.legs):
            raise ToroidsError(
                f"space `{space.name}` indexes parts of axes or has copies; greedy alignment "
                "handles spaces that index whole axes."
            )
        similarities = _incoming(space, reference) @ _incoming(space, moved).T
        _, columns = linear_sum_assignment(similarities.cpu().numpy(), maximize=True)
        choices[space.name] = SpaceElement(torch.from_numpy(columns))
        move_space(space, choices[space.name], moved)
    return Element(choices)


def _incoming(space: Space, params: Params) -> Tensor:
    vectors = torch.cat(
        [
            precise(params[leg.tensor].detach()).movedim(leg.axis, 0).reshape(space.size, -1)
            for leg in space.writer or space.legs
        ],
        dim=1,
    )
    return torch.nn.functional.normalize(vectors, dim=1)  # a zero unit is similar to nothing
