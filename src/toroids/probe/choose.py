"""Which sightings of a space tell its units apart best.

Those that depend on the data come first, then those in which only the space itself (and those that
carry it) moves anything, then those that an operator reads: all of the best kind are taken. Where
they show a sign nowhere, because a norm or an even function has hidden it, the next best sighting
that shows it is added.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from toroids.discovery.inference.assemble import Assembly
from toroids.probe.parity import Span
from toroids.probe.sightings import PASSED, Sighting


@dataclass(frozen=True)
class Chosen:
    """A sighting with what acts on it.

    Attributes:
        sighting: the sighting.
        signs: for every flip of the space the power that the values take, 0 or 1.
        moved_by: the cells of other spaces that move the values, besides carrying copies along.
    """

    sighting: Sighting
    signs: tuple[int, ...]
    moved_by: frozenset[int]

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """How well it tells units apart; less is better."""
        seen = self.sighting
        # of values on their way the last is the one that the network made most of
        late = -seen.order if seen.stage == PASSED else 0
        return not seen.from_data, bool(self.moved_by), seen.stage, late


def choose(
    space: int, seen: Sequence[Sighting], assembly: Assembly, acting: set[int]
) -> list[Chosen]:
    """Chooses sightings of one space.

    Args:
        space: its cell.
        seen: all its sightings.
        assembly: what was found about the traced module.
        acting: the cells on which the group acts.

    Returns:
        The chosen ones in the order of the graph; none where every sighting is moved by the space
        in two ways.
    """
    carriers = assembly.orbits.chain[space]
    unknowns = [sighting.part.sign for sighting in seen]
    own, *outer = (_signs(cell, unknowns, assembly) for cell in reversed(carriers))
    known = []
    for number, sighting in enumerate(seen):
        part = sighting.part
        if space in part.around:  # the observations move with the units
            continue
        signed = {
            cell
            for cell, signs in zip(reversed(carriers[:-1]), outer, strict=True)
            if any(signs[number])
        }
        others = (set(part.chain) - set(carriers)) | part.around | signed
        known.append(Chosen(sighting, own[number], frozenset(others & acting)))
    return _best(known)


def _signs(cell: int, unknowns: Sequence[int], assembly: Assembly) -> list[tuple[int, ...]]:
    """For every unknown, the power that it takes of every flip of a space."""
    by_flip = assembly.signs_at(cell, unknowns)
    return [tuple(signs[number] for signs in by_flip) for number in range(len(unknowns))]


def _best(known: Sequence[Chosen]) -> list[Chosen]:
    ranked = sorted(known, key=lambda chosen: chosen.rank)
    kept = [chosen for chosen in ranked if chosen.rank == ranked[0].rank]
    span = Span()
    for chosen in ranked:
        if span.add(chosen.signs) and chosen not in kept:
            kept.append(chosen)
    return sorted(kept, key=lambda chosen: chosen.sighting.order)
