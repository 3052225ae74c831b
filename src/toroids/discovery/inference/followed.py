"""What follows weights that a space rescales: gains of weight norms, variances of batch norms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.tracing.program import Program
from toroids.symmetry.space import Generator, Leg, Norm, WeightNorm


def followed(
    c: Constraints,
    program: Program,
    legs: Sequence[Leg],
    generators: Sequence[Generator],
    single: bool,
) -> tuple[tuple[Generator, ...], tuple[WeightNorm, ...]]:
    """What acts on legs where gains follow the norms of weights that are rescaled.

    Args:
        c: the facts.
        program: the traced module.
        legs: of a space.
        generators: that act on it.
        single: whether it has a single unit.

    Returns:
        The generators, which tell of gains what these do, too, where whole norms are scaled;
        and the weights that are rescaled.
    """
    moved = _rescaled(legs, generators)
    norms = []
    for gain, (weight, axes) in c.weight_norms.items():
        if weight in moved:
            shapes = {x: program.shapes[x] for x in (weight, gain)}
            norms.append(WeightNorm(gain, weight, axes, _told(legs, shapes, axes, single)))
    acting = tuple(_following(norms, legs, generator) for generator in generators)
    return acting, tuple(norms)


def rescaled_norms(
    c: Constraints, program: Program, legs: Sequence[Leg], generators: Sequence[Generator]
) -> tuple[Norm, ...]:
    """The batch norms whose variance is rescaled; the arguments are those of `followed`."""
    moved = _rescaled(legs, generators)
    aliases = program.aliases
    return tuple(
        dict.fromkeys(
            Norm(weight, norm.bias, norm.mean, variance, norm.eps)
            for norm in c.norms
            for variance in aliases.get(norm.variance, (norm.variance,))
            for weight in aliases.get(norm.weight, (norm.weight,))[:1]
            if variance in moved
        )
    )


def _rescaled(legs: Sequence[Leg], generators: Sequence[Generator]) -> set[str]:
    """The tensors that scales move."""
    return {
        leg.tensor
        for generator in generators
        for leg, value in zip(legs, generator.exponents, strict=True)
        if generator.action == "rescale" and value
    }


def _following(
    norms: Sequence[WeightNorm], legs: Sequence[Leg], generator: Generator
) -> Generator:  # fmt: skip
    """A generator whose scales of whole norms the gains take, too, which follow these."""
    powers = list(generator.exponents)
    for norm in norms if generator.action == "rescale" else ():
        for weight, gain in norm.told:
            powers[legs.index(gain)] += generator.exponents[legs.index(weight)]
    return replace(generator, exponents=tuple(powers))


def _told(
    legs: Sequence[Leg], shapes: Mapping[str, tuple[int, ...]], axes: Sequence[int], single: bool
) -> tuple[tuple[Leg, Leg], ...]:
    """Pairs of legs of a weight and of its gain that lie alike, with scales of whole norms."""
    (weight, shape), (gain, numbers) = shapes.items()
    kept = [a for a, size in enumerate(shape) if a not in axes and size > 1]
    own = [a for a, size in enumerate(numbers) if size > 1]
    if len(own) != len(kept):
        return ()
    along = {weight: dict(zip(kept, kept, strict=True)), gain: dict(zip(own, kept, strict=True))}
    at = [
        (x, _place(x, shapes[x.tensor], along[x.tensor], single))
        for x in legs
        if x.tensor in shapes
    ]
    return tuple(
        (x, y)
        for x, here in at
        for y, there in at
        if (x.tensor, y.tensor) == (weight, gain) and here is not None and here == there
    )


def _place(
    leg: Leg, shape: tuple[int, ...], along: Mapping[int, int], single: bool
) -> object:  # fmt: skip
    """Where a leg lies along axes that are renumbered, or all over a tensor; None elsewhere."""
    axes = range(leg.axis, leg.axis + leg.span)
    ordered = list(leg.places(shape)) == list(range(math.prod(shape[a] for a in axes)))
    if ordered and single:
        return "all"
    if not all(a in along for a in axes):
        return None
    return tuple(along[a] for a in axes), None if ordered else leg.positions
