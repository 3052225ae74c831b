"""Two aligned networks moved onto each other again, by those of their tensors that differ least.

An alignment fits all weights at once: where some layers were changed, the matrix that turns a
stream makes a little error in all the others, too. Of these it is the best one no more; theirs
alone leaves nothing of layers that nobody touched.
"""

import math

from toroids.align.descent import descend
from toroids.align.position import Position
from toroids.align.problem import Effort, problem_of
from toroids.align.trunk import compared, extended
from toroids.params import Params, products
from toroids.symmetry.group import SymmetryGroup

# What was left untouched all differs by about as much, since one matrix makes the error.
ALIKE = 2.0


def refitted(
    group: SymmetryGroup, reference: Params, params: Params, rounding: float
) -> Params | None:
    """Moves a network by the matrices that fit its least changed tensors best.

    Args:
        group: the architecture's symmetry group.
        reference: a canonical network.
        params: another one, moved onto it.
        rounding: the relative change up to which a tensor counts as untouched as it is.

    Returns:
        The second one, moved further; None where nothing turns a stream, or all tensors differ
        alike.
    """
    if not any(space.of("rotate") for space in group.spaces):
        return None
    changes = {name: _change(reference, params, name) for name in group.parameters}
    least = min((x for x in changes.values() if x > rounding), default=0.0)
    names = [name for name, change in changes.items() if change <= ALIKE * least]
    part = compared(group, names)
    if len(names) == len(changes) or not any(space.of("rotate") for space in part.spaces):
        return None
    start, goal = ({name: x[name] for name in part.shapes} for x in (params, reference))
    problem = problem_of(part, start, goal, Effort())
    position = problem.position()
    descend(problem, position)
    return Position(group, params, extended(position.element, group, names)).tensors


def _change(a: Params, b: Params, name: str) -> float:
    found = products(a, b, [name])
    return math.sqrt(found.step / found.first) if found.first else 0.0
