"""The best of all methods that climb the similarity: exact where that is possible."""

import math

from toroids.align.activations import activations
from toroids.align.block import blocks
from toroids.align.descent import descent
from toroids.align.exact import choices_of, covering, exact
from toroids.align.frank_wolfe import frank_wolfe
from toroids.align.problem import Found, Problem

# Fewer choices than this take no longer than the other methods.
FEW_CHOICES = 2000


def best(problem: Problem) -> Found:
    """Runs `exact` where there are few choices, else descent, frank-wolfe and activations.

    Args:
        problem: the two networks; activations are matched where it has a probe.

    Returns:
        What reached the largest similarity; its `method` says which it was.
    """
    cover = covering(blocks(problem.group))
    if cover is not None and math.prod(map(choices_of, cover)) <= FEW_CHOICES:
        return exact(problem)
    methods = [descent, frank_wolfe] + ([activations] if problem.probe else [])

    def reached(found: Found) -> float:
        position = problem.position(found.element)
        return position.similarity(problem.reference)

    return max((method(problem) for method in methods), key=reached)
