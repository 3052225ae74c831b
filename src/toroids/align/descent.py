"""Alignment by coordinate descent: each space in turn takes its best choice, until none gains.

The objective is the inner product of the two networks over all parameters. A step on one space is
exact where every tensor carries the space once; where one carries it twice, as a recurrent layer
does, the step is that of the linearised objective. A step is taken only if the objective rises.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from toroids.align.choose import blocks, choose
from toroids.align.greedy import greedy
from toroids.canonical.form import CanonicalParams
from toroids.params import Params, inner_product
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Space

SWEEPS = 100
# A smaller gain, relative to the product of the norms, is rounding.
ROUNDINGS = 16


def descent(group: SymmetryGroup, params: CanonicalParams, reference: Params) -> Element:
    """Finds the element that brings `params` close to `reference`.

    Starts at the better of where the network is and what `greedy` reaches, and never ends below.

    Args:
        group: the architecture's symmetry group.
        params: the canonical network to move.
        reference: the canonical network that stays.

    Returns:
        An element of permutations, signs and orthogonal matrices.
    """
    names = group.parameters
    element = greedy(group, params, reference)
    moved = group.apply(element, params)
    if inner_product(moved, reference, names) < inner_product(params, reference, names):
        element, moved = group.identity(), dict(params)
    kinds = [reference[name].dtype for name in names if reference[name].is_floating_point()]
    rounding = max((torch.finfo(kind).eps for kind in kinds), default=0.0)
    least = ROUNDINGS * rounding * inner_product(reference, reference, names)
    for _ in range(SWEEPS):
        gained = False
        for block in blocks(group):
            step, after = _step(group, block, moved, reference)
            touched = _touched(group, block)
            gain = inner_product(after, reference, touched) - inner_product(
                moved, reference, touched
            )
            if gain > least:
                element, moved, gained = group.compose(step, element), after, True
        if not gained:
            break
    return element


def _step(
    group: SymmetryGroup, block: Sequence[Space], moved: dict[str, Tensor], reference: Params
) -> tuple[Element, dict[str, Tensor]]:
    after = dict(moved)
    return choose(group, block, reference, after), after


def _touched(group: SymmetryGroup, block: Sequence[Space]) -> list[str]:
    held = {leg.tensor for space in block for leg in space.legs}
    return [name for name in group.parameters if name in held]
