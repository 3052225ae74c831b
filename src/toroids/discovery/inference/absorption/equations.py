"""Where a network sees constants that are added to its biases: equations between biases.

To every parameter with a single axis, as a bias, an unknown vector t is added. What this adds to a
value is a sum of terms, each factor x W ... W t: linear maps read it, structural operators move it,
means and attention, whose weights add up to one, keep it where it is the same at all positions.
Wherever an operator would see it, the sum must vanish. Index arrays say which entry of W ... W t
lies at each place of a value; the operators that only arrange are executed on those.
"""

from toroids.discovery.inference.absorption.rules import RULES
from toroids.discovery.inference.absorption.run import Run
from toroids.discovery.inference.absorption.terms import Equation, Untold
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.sizes import Sizes


def equations_of(
    program: Program,
    sizes: Sizes | None = None,
    tables: frozenset[str] = frozenset(),
    conditions: frozenset[str] = frozenset(),
    whole: frozenset[str] = frozenset(),
) -> list[Equation] | None:
    """States where a traced module would see what is added to its biases.

    Args:
        program: the module.
        sizes: at which it is looked at; those at which it was traced if None.
        tables: parameters to whose rows something is added as well.
        conditions: buffers that hold what they held when they were traced.
        whole: tables to all rows of which the same is added.

    Returns:
        The equations; None where nothing can be told.
    """
    run = Run(RULES, program, sizes or Sizes(program), tables, conditions, whole)
    try:
        run.whole()
    except Untold:
        return None
    return run.equations
