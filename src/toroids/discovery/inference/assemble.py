"""Spaces, legs and generators, put together from the solved facts of a traced module."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from toroids.discovery.axes import SCALE, SHIFT, SIGN, Bundle, Value
from toroids.discovery.axes.constraints import Ids
from toroids.discovery.inference.closed import closed
from toroids.discovery.inference.exponents import (
    Exact,
    Exponents,
    Vector,
    complement,
    first_units,
    sparse,
)
from toroids.discovery.inference.followed import followed, rescaled_norms
from toroids.discovery.inference.numbering import in_order, numbered
from toroids.discovery.inference.orbits import Orbits
from toroids.discovery.inference.state import Inference
from toroids.discovery.tracing.program import Program
from toroids.symmetry.space import Action, Generator, Kind, Leg, Space

CHANNEL_ACTIONS: dict[Kind, int] = {"rescale": SCALE, "flip": SIGN, "shift": SHIFT}


@dataclass(frozen=True)
class _Part:
    """The places of one parameter that one space moves with equal exponents.

    Attributes:
        name: of the parameter.
        bundle: which of its bundles.
        mask: (sizes of the bundle), where the part is.
        exponents: for every channel the unknowns of the unit that stands for all, to be added.
        reads: whether the space is read here.
    """

    name: str
    value: Value
    bundle: Bundle
    mask: Ids
    exponents: tuple[tuple[int, ...], ...]
    reads: bool


# Families of scales times tensors on which they act: more than that nobody could look through.
MOST = 1_000_000


def _steps(index: Ids, axis: int) -> bool:
    """Whether numbers differ along an axis, those that are none (-1) left out."""
    highest = index.max(axis=axis)
    lowest = np.where(index < 0, index.max(), index).min(axis=axis)
    return bool((lowest < highest).any())


class Assembly:
    """Spaces, legs and generators from solved facts.

    Attributes:
        orbits: the solved facts.
        stands: (units,) whether a unit stands for its cell.
        reads: (places,) whether a place of a parameter is summed over.
        cut: for every parameter the parts of its bundles.
        inside: for every cell those whose units lie in its units.
        found: for every cell and channel what acts on it.
        cells: the cell of every space, by the space's name.
    """

    def __init__(self, programs: Sequence[Program], inference: Inference, found: Orbits) -> None:
        """Cuts every parameter into the parts that a space moves alike."""
        self.program, self.inference, self.orbits = programs[0], inference, found
        c = inference.constraints
        self.exponents = Exponents(c, found)
        self.stands = first_units(found)
        self.reads = c.summed_over()
        nonlinear = {
            int(cell)
            for places in c.nonlinear
            for cell in np.unique(found.cell[found.unit[places[places >= 0]]])
        }
        self.nonlinear = {x for cell in nonlinear if cell >= 0 for x in found.chain[cell]}
        self.parts: dict[int, list[_Part]] = {}
        self.cut = {
            name: [self._collect(name, value, bundle) for bundle in value.bundles]
            for name, value in inference.parameters.items()
        }
        self.bare: set[int] = set()
        self.uneven: set[str] = set()  # parameters to whose units different numbers are added
        self.idle: dict[tuple[str, int, int], set[int]] = {}  # places that meet nothing but zeros
        self.many: dict[int, int] = {}  # spaces with too many families to be written down
        for space in self.parts:
            self._fold(space)
        self.inside: dict[int, list[int]] = {}
        self.found: dict[int, dict[int, list[Vector]]] = {}
        self.cells: dict[str, int] = {}
        self.named = Counter[str]()  # how many spaces have a name, but for a number

    def _collect(self, name: str, value: Value, bundle: Bundle) -> list[_Part]:
        """Cuts a bundle into parts: one for every cell and role."""
        parts = []
        places = bundle.places
        unit = self.orbits.unit[places]
        cell, role = self.orbits.cell[unit], self.orbits.role[places]
        moving = cell >= 0
        for kind in np.unique(np.stack([cell[moving], role[moving]]), axis=1).T.tolist():
            mask = (cell == kind[0]) & (role == kind[1])
            first = np.argwhere(mask & self.stands[unit])[0]
            ids = bundle.ids[(slice(1, None), *first)]
            part = _Part(
                name, value, bundle, mask, tuple((int(i),) for i in ids),
                bool(self.reads[places[tuple(first)]]),
            )  # fmt: skip
            parts.append(part)
            for space in self.orbits.chain[kind[0]]:
                self.parts.setdefault(space, []).append(part)
        return parts

    def _fold(self, space: int) -> None:
        """Where two bundles of one parameter share a dimension, the wider one moves all entries.

        Unless units lie along a dimension of its own in each: rows and columns of blocks.
        """
        for part in [p for p in self.parts[space] if len(p.bundle.dims) > 1]:
            twins = [
                other
                for other in self.parts[space]
                if other.value is part.value and other.bundle is not part.bundle
                and set(other.bundle.dims) & set(part.bundle.dims)
                and other.bundle.dims < part.bundle.dims
                and not self._apart(space, part, other)
            ]  # fmt: skip
            if not twins:
                continue
            kept = [
                p for p in self.parts[space] if p is not part and not any(p is t for t in twins)
            ]
            if len(twins) > 1 or any(p.bundle is part.bundle for p in kept):
                self.bare.add(space)  # several roles: only permutations are followed
            ids = tuple(a + b for a, b in zip(part.exponents, twins[0].exponents, strict=True))
            self.parts[space] = [*kept, replace(part, exponents=ids)]

    def _apart(self, space: int, one: _Part, other: _Part) -> bool:
        """Whether the units of a space lie along dimensions that two parts do not share."""
        ours, theirs = set(one.bundle.dims), set(other.bundle.dims)
        return bool(self._along(space, one) - theirs and self._along(space, other) - ours)

    def _along(self, space: int, part: _Part) -> set[int]:
        """The dimensions of a parameter along which one unit of a space follows another."""
        places = part.bundle.places[part.mask]
        unit = self.orbits.unit[places]
        index = np.full(part.mask.shape, -1)
        index[part.mask] = numbered(self.orbits, space, unit, self.orbits.role[places])[1]
        steps = {d: _steps(index, axis) for axis, d in enumerate(part.bundle.dims)}
        return {dim for dim, moves in steps.items() if moves}

    def spaces(self) -> list[Space]:
        """The spaces, in order of their first writers."""
        cells = self.orbits.spaces()
        cells.sort(key=lambda cell: -len(self.orbits.chain[cell]))
        for cell in cells:
            for carrier in {*self.orbits.chain[cell]} - {cell}:
                self.inside.setdefault(carrier, []).append(cell)
        for cell in cells:  # entries before the blocks that carry them
            own = {channel: self._generators(cell, channel) for channel in (SCALE, SIGN)}
            # of units that stay those that nothing else moves say nothing new
            stays = cell in self.orbits.still and not any(own.values())
            self.found[cell] = {**own, SHIFT: [] if stays else self._generators(cell, SHIFT)}
        chain = self.orbits.chain
        appears = dict.fromkeys(cells, len(self.orbits.unit))
        for cell, carriers in chain.items():
            for x in appears.keys() & carriers:
                appears[x] = min(appears[x], self.orbits.members[cell][0])
        cells.sort(key=lambda cell: (appears[cell], len(chain[cell])))
        names: dict[int, str] = {}
        spaces = [self._space(cell, names) for cell in cells]
        found = [x for x in spaces if x is not None and not all(map(self._is_idle, x.legs))]
        return closed(found, self.program.shapes)

    def signs_at(self, cell: int, exponents: Sequence[int]) -> list[tuple[int, ...]]:
        """For every generator of "flip" of a space, in order, the powers that unknowns take."""
        vectors = self._generators(cell, SIGN, exponents)
        return [tuple(int(v.get(i, 0)) % 2 for i in exponents) for v in vectors]

    def _generators(self, cell: int, channel: int, also: Sequence[int] = ()) -> list[Vector]:
        """What acts on the legs of a space, with the powers that the unknowns `also` take."""
        parts = self.parts.get(cell, [])
        if cell in self.bare:
            return []
        wanted = {i for part in parts for i in part.exponents[channel] if i}
        basis = self.exponents.generators(cell, channel, [*wanted, *(i for i in also if i)])
        basis = [vector for vector in basis if not wanted.isdisjoint(vector)]
        if len(basis) * len(parts) > MOST:
            self.bare.add(cell)
            self.many[cell] = len(basis)
            return []
        inner = [vector for x in self.inside.get(cell, ()) for vector in self.found[x][channel]]

        holds: dict[int, list[int]] = {}  # for every unknown the parts whose exponents it adds to
        for position, part in enumerate(parts):
            for i in part.exponents[channel]:
                holds.setdefault(i, []).append(position)

        def on_parts(vector: Vector) -> Vector:
            taken: Vector = {}
            for i, value in vector.items():
                for position in holds.get(i, ()):
                    taken[position] = taken.get(position, 0) + value
            if channel == SIGN:
                taken = {position: value % 2 for position, value in taken.items()}
            return {position: value for position, value in taken.items() if value}

        shown = [on_parts(vector) for vector in basis]
        if channel == SIGN:
            basis, shown = sparse(basis, shown)
        kept = complement(shown, [on_parts(v) for v in inner], modulo_two=channel == SIGN)
        return [basis[position] for position in kept]

    def _space(self, cell: int, names: dict[int, str]) -> Space | None:
        found, c = self.orbits, self.inference.constraints
        size = found.size[cell]
        parts = self.parts.get(cell, [])
        if not parts:
            return None
        generators: list[tuple[Kind, Vector, int]] = [
            (action, vector, channel)
            for action, channel in CHANNEL_ACTIONS.items()
            for vector in self.found[cell][channel]
        ]
        if size > 1 and self._is_linear(cell, parts) and not self._moves_inside(cell):
            vector = self.found[cell][SCALE][0]
            shifts = [g for g in generators if g[0] == "shift"]
            generators = [("mix", vector, SCALE), *shifts]
        actions: set[Action] = {action for action, _, _ in generators}
        # what is there once, as a batch of one or heads of one layer, carries nothing anywhere
        outer = [x for x in found.chain[cell][:-1] if found.size[x] > 1]
        carries = size > 1 and any(cell in chain[:-1] for chain in found.chain.values())
        if size > 1:
            actions.add("permute")
        if not actions and not carries:
            return None
        legs, exponents = self._legs(cell, parts, generators)
        acts = [
            # rows and columns of a whole tensor may undo each other
            not (size == 1 and not outer and self._cancels(g[0], legs, e))
            and not self._meets_zeros(g[0], [x for x in zip(legs, e, strict=True) if x[1]])
            for g, e in zip(generators, exponents, strict=True)
        ]
        if not all(acts):
            generators = [g for g, good in zip(generators, acts, strict=True) if good]
            exponents = [e for e, good in zip(exponents, acts, strict=True) if good]
            actions = (actions & {"permute"}) | {action for action, _, _ in generators}
            if not actions and not carries:
                return None
        if self._is_linear(cell, parts) and self._meets_nothing(cell, parts):
            for leg in legs:
                self.idle.setdefault((leg.tensor, leg.axis, leg.span), set()).update(self._at(leg))
        name = self._name(cell, legs, names, carries and not outer)
        acting = tuple(
            Generator(action, values)
            for (action, _, _), values in zip(generators, exponents, strict=True)
        )
        copies = int(np.prod([found.size[x] for x in outer], dtype=np.int64))
        acting, weight_norms = followed(c, self.program, legs, acting, size * copies == 1)
        return Space(
            name=name,
            size=size,
            copies=copies,
            actions=frozenset(actions),
            legs=legs,
            generators=acting,
            within=tuple(names[x] for x in outer),
            norms=rescaled_norms(c, self.program, legs, acting),
            weight_norms=weight_norms,
        )

    def _cancels(self, action: Kind, legs: Sequence[Leg], exponents: Sequence[float]) -> bool:
        """Whether what a single unit does along the axes of every tensor adds up to nothing."""
        total: dict[str, float] = {}
        for leg, power in zip(legs, exponents, strict=True):
            axes = self.program.shapes[leg.tensor][leg.axis : leg.axis + leg.span]
            if power and leg.positions is not None and len(leg.positions) < math.prod(axes):
                return False
            total[leg.tensor] = total.get(leg.tensor, 0.0) + power
        if action == "flip":
            total = {name: power % 2 for name, power in total.items()}
        return action != "shift" and not any(total.values())

    def _meets_zeros(self, action: Kind, moves: Sequence[tuple[Leg, float]]) -> bool:
        """Whether all that moves are columns that read zeros, or statistics of a norm of zeros."""
        if action != "rescale" or not moves:
            return False
        moved = [leg for leg, _ in moves]
        # what is read here and there may be written there and here, as by a map and its transpose
        alike = len({power > 0 for _, power in moves}) == 1
        if alike and all(leg.role == "read" for leg in moved):
            for leg in moved:
                self.idle.setdefault((leg.tensor, leg.axis, leg.span), set()).update(self._at(leg))
            return True
        return not any(leg.tensor in self.program.parameters for leg in moved)

    def _is_linear(self, cell: int, parts: Sequence[_Part]) -> bool:
        """Whether a space meets linear maps only, each with exponent 1 or -1."""
        vectors = self.found[cell][SCALE]
        if cell in self.nonlinear or len(vectors) != 1:
            return False
        return all(_taken(vectors[0], part, SCALE) in (1, -1) for part in parts)

    def _moves_inside(self, cell: int) -> bool:
        """Whether each unit carries others that move on their own, which matrices would mix."""
        inner = self.inside.get(cell, ())
        return any(self.orbits.size[x] > 1 or any(self.found[x].values()) for x in inner)

    def _meets_nothing(self, cell: int, parts: Sequence[_Part]) -> bool:
        """Whether nothing undoes what acts on a space that meets linear maps only: zeros."""
        (vector,) = self.found[cell][SCALE]
        return len({_taken(vector, part, SCALE) for part in parts}) == 1

    def _legs(
        self, cell: int, parts: Sequence[_Part], generators: Sequence[tuple[Kind, Vector, int]]
    ) -> tuple[tuple[Leg, ...], list[tuple[float, ...]]]:
        """One leg per bundle and exponents; parts that take the same ones are one leg."""
        merged: dict[tuple[str, int, tuple[float, ...], bool, float], Ids] = {}
        first: dict[tuple[str, int, tuple[float, ...], bool, float], _Part] = {}
        for part in parts:
            values = tuple(
                float(_taken(vector, part, channel)) for _, vector, channel in generators
            )
            for offset, mask in self._offsets(part):
                key = (part.name, id(part.bundle), values, part.reads, offset)
                merged[key] = merged[key] | mask if key in merged else mask
                first.setdefault(key, part)
        legs: list[Leg] = []
        exponents: list[list[float]] = [[] for _ in generators]
        for key, mask in merged.items():
            part = first[key]
            axis, span, index = self._positions(cell, part, mask)
            for name in self.program.aliases.get(part.name, (part.name,)):
                role: Literal["write", "read"] = "read" if part.reads else "write"
                operator = operator_of(name) + self._member(part, mask)
                legs.append(Leg(name, axis, role, operator, span, index, key[-1]))
                for row, value in zip(exponents, key[2], strict=True):
                    row.append(value)
        return tuple(legs), [tuple(row) for row in exponents]

    def _offsets(self, part: _Part) -> Iterator[tuple[float, Ids]]:
        """What is added to the entries of a part, and to which of them."""
        numbers = self.inference.constraints.offsets.get(part.name)
        if numbers is None:
            yield 0.0, part.mask
            return
        fits = numbers.size == part.mask.size  # else it is another axis, of a single position
        along = numbers.reshape(part.mask.shape) if fits else np.full(part.mask.shape, numbers[0])
        if not fits and (numbers != numbers[0]).any():
            self.uneven.add(part.name)
        unit = self.orbits.unit[part.bundle.places]
        for number in np.unique(along[part.mask]).tolist():
            mask = part.mask & (along == number)
            if len(np.unique(unit[mask])) < len(np.unique(unit[part.mask])):
                self.uneven.add(part.name)  # units of which one could not take another's place
            yield number, mask

    def _member(self, part: _Part, mask: Ids) -> str:
        """Which of the layers that a tensor stacks holds a part; nothing where several do."""
        stack = self.inference.stacks.get(part.name)
        still = stack.still if stack is not None else ()
        at = [np.unique(np.nonzero(mask)[part.bundle.dims.index(d)]).tolist() for d in still]
        return "".join(f"[{own[0]}]" for own in at) if all(len(own) == 1 for own in at) else ""

    def _positions(
        self, cell: int, part: _Part, mask: Ids
    ) -> tuple[int, int, tuple[int, ...] | None]:
        """Where the units of a space lie: (first axis, number of axes, positions)."""
        found = self.orbits
        axes, inside = laid_out(part.value, part.bundle, mask)
        places = laid_out(part.value, part.bundle, part.bundle.places)[1]
        at = np.flatnonzero(inside)
        unit = found.unit[places[at]]
        order = in_order(*numbered(found, cell, unit, found.role[places[at]]), at)
        positions = at[order]
        whole = len(positions) == found.size[cell] and len(positions) == len(places)
        copies = any(found.size[x] > 1 for x in found.chain[cell][:-1])
        if whole and not copies and (positions == np.arange(len(positions))).all():
            return axes[0], len(axes), None
        return axes[0], len(axes), tuple(positions.tolist())

    def _name(self, cell: int, legs: Sequence[Leg], names: dict[int, str], blocks: bool) -> str:
        writers = [leg for leg in legs if leg.role == "write"] or list(legs)
        base = writers[0].operator + (":groups" if blocks else "")
        self.named[base] += 1
        count = self.named[base]
        names[cell] = unlike(base if count == 1 else f"{base}:{count}", self.cells)
        self.cells[names[cell]] = cell
        return names[cell]

    def _at(self, leg: Leg) -> Sequence[int]:
        """Where the units of a space lie along a leg."""
        return leg.places(self.program.shapes[leg.tensor])

    def _is_idle(self, leg: Leg) -> bool:
        """Whether all that a space moves there meets nothing but zeros."""
        return self.idle.get((leg.tensor, leg.axis, leg.span), set()).issuperset(self._at(leg))


def unlike(name: str, taken: Collection[str]) -> str:
    """A name for a space that no other has: itself, or with a number."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}:{number}", number + 1
    return found


def laid_out(value: Value, bundle: Bundle, entries: Ids) -> tuple[range, Ids]:
    """Lays out what a bundle's places hold along the axes of a parameter, flattened together.

    Args:
        value: the parameter.
        bundle: one of its bundles.
        entries: (sizes of the bundle), one for every place.

    Returns:
        The axes from the first to the last that the bundle indexes, and an entry for each position.
    """
    own = [value.axis_of(dim) for dim in bundle.dims]
    axes = range(min(own), max(own) + 1)
    dims = [dim for axis in axes for dim in value.dims(axis)]
    sizes = [value.sizes[dim] for dim in dims]
    shape = [s if d in bundle.dims else 1 for d, s in zip(dims, sizes, strict=True)]
    return axes, np.broadcast_to(entries.reshape(shape), sizes).ravel()


def _taken(vector: Vector, part: _Part, channel: int) -> Exact:
    """The exponent that a part takes in one generator."""
    total = sum(vector.get(i, 0) for i in part.exponents[channel])
    return total % 2 if channel == SIGN else total


def operator_of(tensor: str) -> str:
    """The layer that holds a tensor."""
    layer = tensor.rpartition(".")[0]
    return layer or tensor
