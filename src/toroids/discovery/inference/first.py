"""The first look at a module: its facts, and the spaces that they leave.

Gains follow the norms of weights in which scales of units are only read, or which they only write
as a whole. Of others, as of a weight that a loop reads and writes, the size stays what it is.
"""

from collections.abc import Sequence

from toroids.discovery.inference.assemble import Assembly
from toroids.discovery.inference.infer import infer
from toroids.discovery.inference.shuffles import solved
from toroids.discovery.inference.weight_norms import WeightNorms
from toroids.discovery.tracing.program import Program
from toroids.symmetry.space import Space


def first_look(programs: Sequence[Program]) -> tuple[Assembly, list[Space]]:
    """Infers the spaces of a module.

    Args:
        programs: the module, traced at one or several sizes of its inputs.

    Returns:
        What is known of it, and its spaces.
    """
    norms: WeightNorms | None = None
    while True:
        inference = infer(programs, norms=norms)
        assembly = Assembly(programs, inference, solved(inference))
        spaces = assembly.spaces()
        known = inference.constraints.weight_norms
        shapes = assembly.program.shapes
        norms = {
            gain: (weight, axes)
            for gain, (weight, axes) in known.items()
            if all(_fits(weight, axes, space, shapes[weight]) for space in spaces)
        }
        if len(norms) == len(known):
            return assembly, spaces


def _fits(weight: str, axes: Sequence[int], space: Space, shape: Sequence[int]) -> bool:
    """Whether a space only reads a weight in its norms, or scales norms as wholes."""
    wide = {axis for axis in axes if shape[axis] > 1}
    legs = [(x, {*range(x.axis, x.axis + x.span)}) for x in space.legs]
    inside = [x.tensor == weight and not own.isdisjoint(wide) for x, own in legs]
    beside = [x.tensor == weight and own.isdisjoint(wide) for x, own in legs]
    for generator in space.of("rescale"):
        moved = [(i, power) for i, power in enumerate(generator.exponents) if power]
        for i, power in moved:
            # who writes a unit comes first; who reads it takes the opposite power
            if inside[i] and (power * moved[0][1] > 0 or any(beside)):
                return False
    return True
