"""A look at a module: its facts, and the spaces that they leave.

Gains follow the norms of weights in which scales of units are only read, or which they only write
as a whole. Of others, as of a weight that a loop reads and writes, the size stays what it is.
"""

from collections.abc import Mapping, Sequence

from toroids.discovery.inference.assemble import Assembly
from toroids.discovery.inference.infer import infer
from toroids.discovery.inference.shuffles import solved
from toroids.discovery.inference.stacks import Stacks
from toroids.discovery.inference.weight_norms import WeightNorms
from toroids.discovery.tracing.program import Program
from toroids.symmetry.space import Space, overlap


def examine(
    programs: Sequence[Program], stacks: Stacks | None = None
) -> tuple[Assembly, list[Space]]:
    """Infers the spaces of a module.

    Args:
        programs: the module, traced at one or several sizes of its inputs.
        stacks: parameters that stack others, of which axes have joint places.

    Returns:
        What is known of it, and its spaces.
    """
    norms: WeightNorms | None = None
    uneven: set[str] = set()
    while True:
        inference = infer(programs, stacks, norms, uneven)
        assembly = Assembly(programs, inference, solved(inference))
        spaces = assembly.spaces()
        if assembly.uneven:
            uneven |= assembly.uneven
            continue
        known = inference.constraints.weight_norms
        shapes = assembly.program.shapes
        norms = {
            gain: (weight, axes)
            for gain, (weight, axes) in known.items()
            if all(_fits(weight, axes, space, shapes) for space in spaces)
        }
        if len(norms) == len(known):
            return assembly, spaces


def _fits(
    weight: str, axes: Sequence[int], space: Space, shapes: Mapping[str, Sequence[int]]
) -> bool:
    """Whether a space only reads a weight in its norms, or scales norms as wholes."""
    wide = {axis for axis in axes if shapes[weight][axis] > 1}
    inside = [
        leg.tensor == weight and not wide.isdisjoint(range(leg.axis, leg.axis + leg.span))
        for leg in space.legs
    ]
    beside = [
        leg for leg, own in zip(space.legs, inside, strict=True) if leg.tensor == weight and not own
    ]
    for generator in space.of("rescale"):
        moved = [(i, power) for i, power in enumerate(generator.exponents) if power]
        for i, power in moved:
            # who writes a unit comes first; who reads it takes the opposite power
            met = any(overlap(space.legs[i], other, shapes) for other in beside)
            if inside[i] and (power * moved[0][1] > 0 or met):
                return False
    return True
