"""Where in a traced module's graph the units of a space can be seen.

A sighting is a value that an operator is about to look at, and the part of it that is indexed by
the space. The operator reads the space if it contracts its units, or if its result is not indexed
by them any more; it drops it if all that it does is to select other entries, or to take a mean.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import fx

from toroids.discovery.axes import SIGN, Bundle, Value
from toroids.discovery.axes.constraints import Ids
from toroids.discovery.inference.assemble import Assembly
from toroids.discovery.inference.state import Inference
from toroids.discovery.tracing.operators import operator_name
from toroids.probe.layers import RECURRENT

READ, DROPPED, PASSED = range(3)
SELECTIONS = (
    "slice", "select", "narrow", "split", "split_with_sizes", "chunk", "unbind", "index",
    "index_select", "gather", "take",
)  # fmt: skip
SUMMARIES = ("mean", "sum", "var", "std", "var_mean", "norm", "linalg_vector_norm", "amax", "amin")


@dataclass(frozen=True, eq=False)
class Part:
    """The places of one value that belong to one cell, have one role and change sign alike.

    Attributes:
        value: the value.
        bundle: which of its bundles.
        mask: (sizes of the bundle), where the part is.
        chain: the spaces that move it, those that carry others first.
        around: the spaces that move anything else in the value.
        sign: the unknown exponent of its sign, at a unit that stands for all.
    """

    value: Value
    bundle: Bundle
    mask: Ids
    chain: tuple[int, ...]
    around: frozenset[int]
    sign: int


@dataclass(frozen=True, eq=False)
class Sighting:
    """A value about to be looked at, as far as a space indexes it.

    Attributes:
        space: the space's cell.
        part: of the value.
        before: the operator that looks at it.
        node: what the operator looks at.
        stage: READ, DROPPED or PASSED.
        from_data: whether the value depends on the inputs, not on parameters alone.
        order: when it is looked at.
    """

    space: int
    part: Part
    before: fx.Node
    node: fx.Node
    stage: int
    from_data: bool
    order: int


def sightings(inference: Inference, assembly: Assembly) -> dict[int, list[Sighting]]:
    """Lists where the units of every space can be seen, each part of each value once.

    Args:
        inference: of one program.
        assembly: what was found from it.

    Returns:
        The sightings in the order of the operators, by the space's cell.
    """
    steps = [step for step in inference.steps[0] if step.results]  # the others only check
    parts = _Parts(assembly)
    from_data = {id(value) for value in inference.inputs}
    found: dict[int, dict[tuple[int, int], Sighting]] = {}
    for order, step in enumerate(steps):
        values = [(node, value) for node, value in step.inputs if isinstance(value, Value)]
        if any(id(leaf) in from_data for _, value in step.inputs for leaf in _leaves(value)):
            from_data |= {id(value) for value in step.results if value.name is None}
        kept = {space for value in step.results for space in parts.spaces(value)}
        kept -= {space for _, value in values for space in parts.summed(value)}
        lost = DROPPED if _is_weak(step.node) else READ
        for node, value in values:
            for part in parts.of(value):
                for space in part.chain:
                    stage = READ if _fed_back(node) else PASSED if space in kept else lost
                    seen = Sighting(
                        space, part, step.node, node, stage, id(value) in from_data, order
                    )
                    earlier = found.setdefault(space, {}).get((id(value), id(part)))
                    if earlier is None or stage < earlier.stage:
                        found[space][id(value), id(part)] = seen
    return {
        space: sorted(by_part.values(), key=lambda sighting: sighting.order)
        for space, by_part in found.items()
    }


def _is_weak(node: fx.Node) -> bool:
    """Whether an operator selects entries, or takes a statistic as a norm does."""
    return operator_name(node).split("::")[-1].rstrip("_") in SELECTIONS + SUMMARIES


def _fed_back(node: fx.Node) -> bool:
    """Whether a value is the sequence that a recurrent layer gives, and has read itself."""
    source = node.args[0] if node.target is operator.getitem and node.args[1] == 0 else None
    return isinstance(source, fx.Node) and operator_name(source) in RECURRENT


def _leaves(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else [value]


class _Parts:
    """Cuts values into parts, each value once."""

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.known: dict[int, list[Part]] = {}

    def of(self, value: Value) -> list[Part]:
        """The parts of a value; those that cannot be told apart unit by unit are left out."""
        if id(value) not in self.known:
            self.known[id(value)] = self._cut(value)
        return self.known[id(value)]

    def spaces(self, value: Value) -> set[int]:
        """The spaces that move anything in a value."""
        return {space for bundle in value.bundles for space in self._spaces(bundle)}

    def summed(self, value: Value) -> set[int]:
        """The spaces over whose units an operator sums when it takes this parameter."""
        if value.name is None:
            return set()
        reads = self.assembly.reads
        return {
            space
            for part in self.of(value)
            if reads[part.bundle.places[part.mask]].any()
            for space in part.chain
        }

    def _cut(self, value: Value) -> list[Part]:
        parts: list[Part] = []
        for bundle in value.bundles:
            others = [other for other in value.bundles if other is not bundle]
            if any(set(other.dims) & set(bundle.dims) for other in others):
                continue
            around = frozenset(space for other in others for space in self._spaces(other))
            if self._spaces(bundle):
                parts += self._parts_of(value, bundle, around)
        return parts

    def _parts_of(self, value: Value, bundle: Bundle, around: frozenset[int]) -> list[Part]:
        cell, unit, role = self._moving(bundle)
        stands, turn = self.assembly.stands[unit] & (cell >= 0), _turns(bundle.places)
        chains = self.assembly.orbits.chain
        parts = []
        for kind in np.unique(np.stack([cell[cell >= 0], role[cell >= 0]]), axis=1).T.tolist():
            mask = (cell == kind[0]) & (role == kind[1])
            signs = bundle.ids[1 + SIGN][mask & stands]
            turns = turn[mask & stands]
            for sign in np.unique(signs).tolist():
                alike = mask & np.isin(turn, turns[signs == sign])
                parts.append(Part(value, bundle, alike, chains[kind[0]], around, sign))
        return parts

    def _moving(self, bundle: Bundle) -> tuple[Ids, Ids, Ids]:
        """The cell of every place of a bundle, -1 where it never moves; its unit, and its role."""
        found = self.assembly.orbits
        places = np.maximum(bundle.places, 0)  # negative ones never move
        unit = found.unit[places]
        return np.where(bundle.places >= 0, found.cell[unit], -1), unit, found.role[places]

    def _spaces(self, bundle: Bundle) -> set[int]:
        if not (bundle.places >= 0).any():
            return set()
        cells, _, _ = self._moving(bundle)
        chains: Mapping[int, tuple[int, ...]] = self.assembly.orbits.chain
        return {space for cell in np.unique(cells[cells >= 0]) for space in chains[int(cell)]}


def _turns(places: Ids) -> Ids:
    """How often each place has occurred before, for values that hold places several times."""
    flat = places.ravel()
    order = np.argsort(flat, kind="stable")
    new = np.flatnonzero(np.diff(flat[order], prepend=flat[order][:1] - 1))
    turns = np.empty(len(flat), np.int64)
    turns[order] = np.arange(len(flat)) - np.repeat(new, np.diff(new, append=len(flat)))
    return turns.reshape(places.shape)
