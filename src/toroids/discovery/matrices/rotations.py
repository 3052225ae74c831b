"""Residual streams: spaces whose units an orthogonal matrix may turn into each other.

A norm without its gain sees of a stream x only ||x||, and perhaps its mean over the units; linear
maps write and read it. So Q x, with Q orthogonal (and Q 1 = 1 where the mean is seen), is as good a
stream as x: writers become Q W, readers W Q^T. A gain that stands between a norm and its readers
can be moved into those, which is what brings a network to the slice on which Q acts; a gain that
stands on the stream itself leaves only what commutes with it. Without a norm the same holds where
sums over the units read it, as `h @ h.T` does: other matrices than Q would be seen.

Every operator that meets a stream is looked at; what is not known here forbids the rotation.

Reference: Ashkboos et al., SliceGPT, 2024, arXiv 2401.15024, for the invariance of RMS norms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from toroids.discovery.inference.orbits import Orbits
from toroids.discovery.inference.state import Inference
from toroids.discovery.matrices.streams import Look, Refused, Stream
from toroids.discovery.tracing.program import Program, finest_of
from toroids.symmetry.space import Action, Generator, Space
from toroids.symmetry.units import entries_per_unit


def rotations(
    programs: Sequence[Program], inference: Inference, found: Orbits, spaces: Sequence[Space],
    cells: Mapping[str, int],
) -> tuple[list[Space], list[str]]:  # fmt: skip
    """Lets the spaces rotate that are residual streams.

    Args:
        programs: the traced module, at all sizes.
        inference: the facts, with the steps of all programs.
        found: the solved facts.
        spaces: as they are known so far.
        cells: the cell of every space, by its name.

    Returns:
        The spaces, and notes on streams that keep their axes because of a gain.
    """
    result, notes, finest = [], [], finest_of(programs[0])
    for space in spaces:
        cell = cells[space.name]
        turned: Space | str | None = None
        if _may_rotate(space, programs[0], found, cell):
            stream = Stream(cell, space.size)
            try:
                for steps in inference.steps:
                    Look(found, stream, finest).all(steps)
                turned = _rotating(space, stream, programs[0])
            except Refused:
                turned = None
        if isinstance(turned, str):
            notes.append(turned)
        result.append(turned if isinstance(turned, Space) else space)
    return result, notes


def _may_rotate(space: Space, program: Program, found: Orbits, cell: int) -> bool:
    """Whether a space stands alone, and lies on whole axes of parameters."""
    alone = space.copies == 1 and not any(
        cell in chain and other != cell for other, chain in found.chain.items()
    )
    learned = all(leg.tensor in program.parameters - program.whole for leg in space.legs)
    normed = bool(space.norms or space.weight_norms)
    return alone and learned and space.size > 1 and "mix" not in space.actions and not normed


def _rotating(space: Space, stream: Stream, program: Program) -> Space | str | None:
    """Lets a space rotate.

    Returns:
        The space with its rotations; a sentence on the gain that forbids them; or None where all
        are permutations, as of two units with a mean that is seen.
    """
    if space.size - stream.fixes_mean < 2 and not stream.gains:
        return None
    aliases = {n: names[0] for names in program.aliases.values() for n in names}
    gains = {aliases.get(name, name) for name in stream.gains}
    is_gain = [aliases.get(leg.tensor, leg.tensor) in gains for leg in space.legs]
    why = _forbidden(space, stream, aliases, is_gain, program.shapes)
    if why is not None:
        return (
            f"`{space.name}` is a stream that its readers would let rotate, but {why}; only "
            "permutations, and signs where they pass, are granted on it"
        )
    kept = [g for g in space.generators if g.action != "flip"]
    flips = _gain_flips(space, is_gain)
    rotate = Generator(
        "rotate",
        tuple(0.0 if gain else 1.0 for gain in is_gain),
        fixes_mean=stream.fixes_mean,
        hides_mean=stream.fixes_mean and stream.hides_mean,
    )
    generators = (*kept, *flips, rotate)
    actions: set[Action] = {g.action for g in generators}
    actions |= space.actions & {"permute"}
    return replace(space, actions=frozenset(actions), generators=generators)


def _forbidden(
    space: Space, stream: Stream, aliases: Mapping[str, str], is_gain: Sequence[bool],
    shapes: Mapping[str, tuple[int, ...]],
) -> str | None:  # fmt: skip
    gains = {aliases.get(n, n) for n in stream.gains}
    # rows of one table are gains of their own where each is read alone
    places = [(aliases.get(leg.tensor, leg.tensor), leg.positions) for leg in space.legs]
    stacked = [
        leg.tensor for leg, gain in zip(space.legs, is_gain, strict=True)
        if gain and entries_per_unit(shapes[leg.tensor], leg, space.size) > 1
    ]  # fmt: skip
    if stacked:
        return f"`{min(stacked)}` holds several gains of each unit, which readers take up together"
    both = sorted(gains & {aliases.get(n, n) for n in stream.used})
    if both:
        return f"`{both[0]}` is a gain and something else"
    free = set[tuple[str, tuple[int, ...] | None]]()
    for scale in space.of("rescale"):
        own = {
            place
            for place, e, gain in zip(places, scale.exponents, is_gain, strict=True)
            if e and gain
        }
        if len(own) != 1:
            return f"{len(own)} gains scale its readers together" if own else "it has other scales"
        unit = next(e for e, gain in zip(scale.exponents, is_gain, strict=True) if e and gain)
        if own & free or any((e / unit) % 1 for e in scale.exponents):
            return f"the gain `{min(own)[0]}` stands before readers in several powers"
        free |= own
    known = {place for place, gain in zip(places, is_gain, strict=True) if gain}
    held = {name for name, _ in known - free} | (gains - {name for name, _ in known})
    if held:
        return f"the gain `{min(held)}` stands on the stream, or before readers that see it"
    return None


def _gain_flips(space: Space, is_gain: Sequence[bool]) -> list[Generator]:
    """The flips of gains alone: what flips the stream itself is among the rotations."""
    scales = [g.exponents for g in space.of("rescale")]
    plain = next(
        (
            i for i, gain in enumerate(is_gain)
            if not gain and not any(exponents[i] for exponents in scales)
        ),
        None,
    )  # fmt: skip
    flips = list(space.of("flip"))
    first = next((g for g in flips if plain is not None and g.exponents[plain]), None)
    if first is None:
        return flips
    return [
        g if not g.exponents[plain]  # type: ignore[index]
        else replace(g, exponents=tuple(
            (a + b) % 2 for a, b in zip(g.exponents, first.exponents, strict=True)
        ))
        for g in flips
        if g is not first
    ]  # fmt: skip
