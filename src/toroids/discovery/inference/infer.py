"""Runs the rules over traced modules: every operator states its facts, in order.

A module may have been traced at several sizes of its inputs. The programs share their parameters,
so that what all of them state together holds at every size.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from toroids.discovery import axes
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.inference.offsets import offsets_of
from toroids.discovery.inference.orbits import Orbits
from toroids.discovery.inference.picked import picked_axes
from toroids.discovery.inference.run import Run
from toroids.discovery.inference.stacks import Stacks, grids_of, stacks_of, still_axes
from toroids.discovery.inference.state import Inference
from toroids.discovery.inference.templates import expand
from toroids.discovery.inference.unread import pin_partial, pin_unread
from toroids.discovery.inference.weight_norms import WeightNorms, weight_norms_of
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.sizes import Sizes, other_sizes
from toroids.symmetry.space import Space


def infer(
    programs: Sequence[Program],
    stacks: Stacks | None = None,
    norms: WeightNorms | None = None,
    uneven: Collection[str] = (),
) -> Inference:
    """States the facts of every operator of every program, and pins their outputs.

    Args:
        programs: one module, traced at one or several sizes of its inputs.
        stacks: parameters that stack others, of which axes have joint places.
        norms: gains that follow the norms of their weights; all that may when None.
        uneven: parameters of which what is added to them is seen.

    Returns:
        The facts that hold at all sizes.
    """
    state = Inference(Constraints(), stacks=stacks or {})
    state.constraints.crossings = bool(stacks)
    added = offsets_of(programs)
    state.constraints.offsets = {name: x for name, x in added.items() if name not in uneven}
    followed = weight_norms_of(programs, state.constraints.offsets) if norms is None else norms
    state.constraints.weight_norms = followed
    state.constraints.sized = len(programs) == 1 and not (
        programs[0].lengths or programs[0].twin is not None
    )
    partial: list[list[np.ndarray[Any, Any]]] = []
    for number, program in enumerate(programs):
        state.constraints.partial = []
        state.constraints.measured = []
        state.constraints.conditions |= program.flags
        run = Run(state, program, Sizes(program))
        outputs = run.whole()
        state.steps.append(run.steps)
        if number == 0:
            state.outputs, state.inputs = outputs, run.inputs
        partial.append(state.constraints.partial)
        measured = state.constraints.measured
        if not measured:
            continue
        # a sum of shifts, weighed by a length, may vanish at that length by chance
        if program.twin is not None:
            Run(state, program.twin.program, Sizes(program.twin.program)).whole()
        elif program.lengths:
            for sizes in _unlike(program, {x.expression for x in measured} - {None}):
                Run(state, program, sizes).whole()
    expand(state.constraints)
    pin_partial(state.constraints, state.parameters, partial)
    pin_unread(state.constraints, state.parameters)
    for name in sorted(state.constraints.conditions & state.parameters.keys()):
        state.constraints.operator = f"the condition on `{name}`"
        axes.pin(state.constraints, state.parameters[name])
    return state


def stacks_in(
    programs: Sequence[Program], first: Inference, found: Orbits, spaces: Sequence[Space]
) -> list[Stacks]:
    """Finds the tensors whose entries may move each on their own along several axes together.

    Args:
        programs: one module, as in `infer`.
        first: what was stated of it.
        found: what was solved of that.
        spaces: its spaces.

    Returns:
        The axes that may have joint places in a further look, for each that is worth it: of tensors
        that stack others, and of gains with several axes as well.
    """
    still = still_axes(first.constraints, first.parameters, found)
    stacks = stacks_of(spaces, programs[0].shapes, still, picked_axes(programs))
    gains = first.constraints.gains & programs[0].parameters
    grids = (grids_of(gains, first.parameters, found, beside) for beside in (False, True))
    looks = [stacks, *({**own, **stacks} for own in grids)]
    return [look for number, look in enumerate(looks) if look and look not in looks[:number]]


def _unlike(program: Program, expressions: set[Any]) -> Iterator[Sizes]:
    """Lengths other than the example's; at some of them every expression is another number."""
    here, other = Sizes(program), Sizes(program, other_sizes(program))
    yield other
    found = []
    for expression in sorted(expressions, key=str):
        if here.of(expression) == other.of(expression):
            sizes = here.elsewhere(program, expression)
            if sizes is not None and sizes not in found:
                found.append(sizes)
    yield from (Sizes(program, sizes) for sizes in found)
