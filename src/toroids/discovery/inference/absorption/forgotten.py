"""Constants that may be added to a weight because nobody sees them: before a softmax.

`softmax(w)` does not see what is added to all of w alike, nor does `softmax(W x + b)` for b, or for
a column of W. So the entries that are compared with each other take one shift, which no bias has to
take back.
"""

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor, fx

from toroids.discovery.inference.absorption.compared import (
    ADDING,
    COMPARING,
    MASKING,
    REDUCING,
    SCALING,
    WEIGHED,
    candidates,
    masks,
    written_axis,
)
from toroids.discovery.inference.absorption.rules import RULES as ABSORBING
from toroids.discovery.inference.absorption.run import Rule, Run, RunOfSome
from toroids.discovery.inference.absorption.terms import (
    NOTHING,
    Added,
    Term,
    Untold,
    expanded,
    scaled,
)
from toroids.discovery.inference.assemble import operator_of, unlike
from toroids.discovery.inference.closed import closed
from toroids.discovery.inference.nodes import shows_lowest
from toroids.discovery.rules.elementwise import LOWEST
from toroids.discovery.tracing.operators import narrows, operator_name, short_name
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.sizes import Sizes, other_sizes
from toroids.symmetry.coherent import Shapes, holds
from toroids.symmetry.space import Generator, Leg, Space

CALL = "@"  # between a weight and the number of one of its calls, whose inputs are alike
Labels = NDArray[np.int64]


def forgotten(programs: Sequence[Program], spaces: Sequence[Space]) -> list[Space]:
    """Finds constants that may be added to weights, and that nobody takes back.

    Args:
        programs: the traced module, at all sizes.
        spaces: as they are known so far.

    Returns:
        The spaces, with new ones for these shifts.
    """
    found = [dict(candidates(program)) for program in programs]
    writing = {
        name: axis
        for name, axis in found[0].items()
        if all(name in x and x[name] == axis for x in found)
    }
    if not writing:
        return list(spaces)
    try:
        runs = [run for program in programs for run in _passes(program, writing)]
    except Untold:
        return list(spaces)
    if not runs:
        return list(spaces)
    result, shapes = list(spaces), programs[0].shapes
    for name in sorted(writing.keys() - set().union(*(run.seen for run in runs))):
        labels = _labels([run.rows[name] for run in runs], runs[0].entries[name])
        if labels is None:
            continue
        labels = _spread(labels, shapes[name], writing[name])
        leg, units = _leg(name, labels), int(labels.max()) + 1
        tied = programs[0].aliases.get(name, (name,))
        result = _with_shift(result, leg, tied, units, shapes)
    return result


def _with_shift(
    spaces: list[Space],
    leg: Leg,
    names: Sequence[str],
    units: int,
    shapes: Mapping[str, tuple[int, ...]],
) -> list[Space]:
    """Adds a shift to what is known: to the units that lie along it, or as a space of its own."""
    taking = [space for space in spaces if _is_taken(leg, names, [space], shapes)]
    if units > 1 and taking:
        carried = _carrying(taking[0], leg, names, shapes) if len(taking) == 1 else None
        return [carried if x is taking[0] and carried is not None else x for x in spaces]
    others = _without_smaller(spaces, names, units)
    if others is None:
        return spaces
    space = Space(
        name=unlike(f"{leg.operator}:whole", {space.name for space in others}),
        size=units,
        copies=1,
        actions=frozenset({"shift"}),
        legs=tuple(replace(leg, tensor=x, operator=operator_of(x)) for x in names),
        generators=(Generator("shift", (1.0,) * len(names)),),
    )
    both = closed([*others, space], shapes)
    return both if any(x.name == space.name for x in both) else spaces


def _carrying(space: Space, leg: Leg, names: Collection[str], shapes: Shapes) -> Space | None:
    """A space whose units shift the columns on which they lie; None where these are not theirs."""
    axes = (leg.axis, leg.span)
    along = [x.tensor in names and (x.axis, x.span) == axes for x in space.legs]
    own = [x for x, on in zip(space.legs, along, strict=True) if on]
    whole = all(len({*x.places(shapes[x.tensor])}) == space.copies * space.size for x in own)
    known = any(
        e and on for g in space.of("shift") for e, on in zip(g.exponents, along, strict=True)
    )
    if known or not whole or [x.tensor for x in own] != [*names]:
        return None
    size = math.prod(shapes[own[0].tensor][leg.axis : leg.axis + leg.span])
    if space.copies * space.size != size:
        return None
    shift = Generator("shift", tuple(map(float, along)))
    return replace(space, actions=space.actions | {"shift"}, generators=(*space.generators, shift))


def _passes(program: Program, writing: Mapping[str, int | None]) -> Iterator["_Run"]:
    """Passes at the traced lengths and at others, where some are open or there is a twin."""
    longer, twin = other_sizes(program), program.twin
    passes = [(program, Sizes(program))]
    passes += [(program, Sizes(program, longer))] if longer else []
    passes += [(twin.program, Sizes(twin.program))] if twin is not None else []
    for own, sizes in passes:
        run = _Run(own, writing, sizes)
        try:
            run.whole()
        except Untold:
            raise
        except Exception:  # whatever it is, as a table that is too short for the length
            continue
        yield run


def _without_smaller(
    spaces: Sequence[Space], names: Collection[str], units: int
) -> list[Space] | None:
    """Leaves out shifts of fewer units of a weight; None where there are as many, or others."""
    result = []
    for space in spaces:
        kept = []
        for g in space.generators:
            legs = zip(space.legs, g.exponents, strict=True)
            own = {leg.tensor for leg, e in legs if e} if g.action == "shift" else set()
            if not own & set(names):
                kept.append(g)
            elif own - set(names) or g.absorbed or space.copies * space.size >= units:
                return None
        actions = frozenset(g.action for g in kept) | (space.actions & {"permute"})
        result.append(replace(space, generators=tuple(kept), actions=actions))
    return result


def _is_taken(leg: Leg, names: Collection[str], spaces: Sequence[Space], shapes: Shapes) -> bool:
    """Whether other units lie along the same axes, but for a single one that holds all of them."""
    return any(
        x.tensor in names and (x.axis, x.span) == (leg.axis, leg.span)
        and not holds(shapes, space, x, leg)
        for space in spaces
        for x in space.legs
    )  # fmt: skip


class _Run(RunOfSome):
    """A pass that notes which entries of weights are compared with each other.

    Attributes:
        rows: of every weight, entries that are compared, row by row.
        seen: the weights of which something sees what is added.
    """

    def __init__(self, program: Program, writing: Mapping[str, int | None], sizes: Sizes) -> None:
        names = frozenset(name for name, axis in writing.items() if axis is None)
        super().__init__(RULES, program, sizes, names)
        self.writing = writing
        shapes = program.shapes
        self.entries = {
            x: math.prod(shapes[x]) if axis is None else shapes[x][axis]
            for x, axis in writing.items()
        }
        self.rows: dict[str, list[Labels]] = {name: [] for name in writing}
        self.seen: set[str] = set()
        self.calls = 0

    def written_by(self, node: fx.Node) -> Term | None:
        """What a weight that is followed writes: the number of its row."""
        name = operator_name(node).removeprefix("aten::")
        weight: Any = node.args[WEIGHED[name][0]]
        source = self.program.sources.get(weight.name)
        written = None if source is None else self.writing.get(source.name)
        if source is None or written is None or written_axis(node, weight) is None:
            return None
        shape, rows = self.shape(node), source.value.shape[written]
        axis = 1 if name.startswith("conv") else len(shape) - 1
        # the same row at two places is of two inputs
        places = torch.arange(math.prod(shape) // rows).view(*shape[:axis], *shape[axis + 1 :], 1)
        index = (places * rows + torch.arange(rows)).movedim(-1, axis)
        self.calls += 1
        return Term(f"{source.name}{CALL}{self.calls}", (), 1.0, index)

    def same(self, term: Term, rows: Tensor) -> None:
        """Notes rows of entries of a weight that take one shift."""
        found = rows.reshape(-1, rows.shape[-1]).numpy().astype(np.int64)
        name = term.source.partition(CALL)[0]
        places, found = np.divmod(found, self.entries[name])
        # beside something else; what a map makes of it; rows of a map of two inputs
        if (places < 0).any() or term.word or (places != places[:, :1]).any():
            self.seen.add(name)
        self.rows[name].append(np.unique(found, axis=0))

    def vanish(self, node: fx.Node) -> None:
        """Notes that somebody sees a value."""
        terms = (term for value in self._leaves([node]) for term in value.terms)
        self.seen |= {term.source.partition(CALL)[0] for term in terms}
        super().vanish(node)

    def compare(self, node: fx.Node, dim: int) -> None:
        """Notes that entries along an axis of a value are compared with each other."""
        value: Added = self.values[node]
        shape = self.shape(node)
        for term in value.terms:
            index = term.index.expand(shape).movedim(dim, -1) if shape else term.index.view(1)
            self.same(term, index)


def _compared(run: Run, node: fx.Node) -> Added | None:
    x, dim = node.args[:2]
    if not (isinstance(run, _Run) and isinstance(x, fx.Node) and isinstance(dim, int)):
        return None
    if narrows(node, run.finest):
        return None
    run.compare(x, dim)
    return NOTHING


def _masked(run: Run, node: fx.Node) -> Added | None:
    """What is kept beside numbers so low that a softmax makes nothing of them."""
    kept: Any = node.args[MASKING[short_name(node)]]
    number = run.known(node.args[2])
    if not isinstance(kept, fx.Node) or number is None or not masks(node, kept):
        return None
    lowest = -math.inf if shows_lowest(node) else LOWEST
    if not bool((torch.as_tensor(number) <= lowest).all()):
        return None
    run.vanish(node.args[1 - MASKING[short_name(node)]])  # type: ignore[arg-type]
    value: Added = run.values[kept]
    return Added(expanded(value.terms, run.shape(node)))


def _scaled(run: Run, node: fx.Node) -> Added | None:
    """Times or over one number; of one that is not known nothing takes back what it scales."""
    x, *others = node.args
    if node.kwargs or not isinstance(x, fx.Node):
        return None
    if any(isinstance(y, fx.Node) and y.meta["val"].numel() != 1 for y in others):
        return None
    given: Added = run.values[x]
    if not given.terms or any(isinstance(y, fx.Node) and run.values[y].seen for y in others):
        return None
    known = ABSORBING[operator_name(node)](run, node)
    return known if known is not None else Added(scaled(given, math.nan))


def _reduced(run: Run, node: fx.Node) -> Added | None:
    """A mean or the largest along one axis: what is added to all is added to it."""
    if len(node.args) < 2 or node.kwargs:
        return None
    x, dims, *others = node.args
    keeps = bool(others and others[0])
    dims = [dims] if isinstance(dims, int) else dims
    if not (isinstance(run, _Run) and isinstance(x, fx.Node) and isinstance(dims, list)):
        return None
    if len(dims) != 1 or not isinstance(dims[0], int) or narrows(node, run.finest):
        return None
    value: Added = run.values[x]
    run.compare(x, dims[0])
    terms = []
    for term in value.terms:
        first = term.index.expand(run.shape(x)).narrow(dims[0], 0, 1)
        terms.append(replace(term, index=first if keeps else first.squeeze(dims[0])))
    return Added(tuple(terms))


def _added(run: Run, node: fx.Node) -> Added | None:
    """A sum, in which what is added and taken away is nothing where both entries are alike."""
    added = ABSORBING[operator_name(node)](run, node)
    if added is None or not isinstance(run, _Run):
        return added
    left: list[Term] = []
    for term in added.terms:
        other = next((x for x in left if _undoes(x, term)), None)
        if other is None:
            left.append(term)
            continue
        left.remove(other)
        both = (x.index.expand(run.shape(node)).unsqueeze(-1) for x in (other, term))
        run.same(term, torch.cat([*both], dim=-1))
    return replace(added, terms=tuple(left))


def _undoes(one: Term, other: Term) -> bool:
    return one.source == other.source and one.factor == -other.factor and not one.word


def _mapped(run: Run, node: fx.Node) -> Added | None:
    """A map: what its bias adds, and a weight whose rows write."""
    added = ABSORBING[operator_name(node)](run, node)
    written = run.written_by(node) if isinstance(run, _Run) else None
    if written is None:
        return added
    return Added((*(added.terms if added is not None else ()), written))


RULES: dict[str, Rule] = {
    **{f"aten::{name}": _compared for name in COMPARING},
    **{f"aten::{name}": _scaled for name in SCALING},
    **{f"aten::{name}": _masked for name in MASKING},
    **{f"aten::{name}": _added for name in ADDING},
    **{f"aten::{name}": _reduced for name in REDUCING},
    **{f"aten::{name}": _mapped for name in WEIGHED},
}


def _labels(runs: Sequence[Sequence[Labels]], entries: int) -> Labels | None:
    """For every entry which ones move alike, as many each; None where some are read nowhere."""
    for rows in runs:
        if not rows or len(np.unique(np.concatenate([row.ravel() for row in rows]))) < entries:
            return None
    every = [row for rows in runs for row in rows]
    one = np.concatenate([row[:, :-1].ravel() for row in every])
    other = np.concatenate([row[:, 1:].ravel() for row in every])
    graph = coo_matrix((np.ones(len(one)), (one, other)), shape=(entries, entries))
    labels = connected_components(graph, directed=False)[1]
    sizes = np.bincount(labels)
    return labels.astype(np.int64) if (sizes == sizes[0]).all() else None


def _spread(labels: Labels, shape: Sequence[int], axis: int | None) -> Labels:
    """Labels of all entries of a weight, where those are of the rows that lie along an axis."""
    if axis is None:
        return labels.reshape(shape)
    others = [size for at, size in enumerate(shape) if at != axis]
    columns = math.prod(others)
    spread = np.add.outer(labels * columns, np.arange(columns))
    return np.moveaxis(spread.reshape(-1, *others), 0, axis)


def _leg(name: str, labels: Labels) -> Leg:
    """Where a weight's shifts lie: along some of its axes, or anywhere in it."""
    units, operator = int(labels.max()) + 1, operator_of(name)
    for axis, span in itertools.product(range(labels.ndim), range(1, labels.ndim + 1)):
        size = math.prod(labels.shape[axis : axis + span])
        if axis + span > labels.ndim or size != units:
            continue
        others = [k for k in range(labels.ndim) if not axis <= k < axis + span]
        along = np.moveaxis(labels, others, range(len(others))).reshape(-1, size)
        if (along == along[:1]).all():
            return Leg(name, axis, "write", operator, span)
    order = np.argsort(labels.ravel(), kind="stable")
    positions = None if units == 1 else tuple(order.tolist())
    return Leg(name, 0, "write", operator, labels.ndim, positions)
