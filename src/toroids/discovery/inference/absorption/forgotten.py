"""Constants that may be added to a weight because nobody sees them: before a softmax.

`softmax(w)` does not see what is added to all of w alike, nor does `softmax(W x + b)` for b, or for
a column of W. So the entries that are compared with each other take one shift, which no bias has to
take back.
"""

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import getitem
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import fx

from toroids.discovery.inference.absorption.rules import RULES as ABSORBING
from toroids.discovery.inference.absorption.run import ARRANGING, KEEPING, Rule, Run, RunOfSome
from toroids.discovery.inference.absorption.tables import MOST
from toroids.discovery.inference.absorption.terms import NOTHING, Added, Term, Untold, scaled
from toroids.discovery.inference.assemble import operator_of, unlike
from toroids.discovery.inference.closed import closed
from toroids.discovery.tracing.operators import narrows, operator_name
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.sizes import Sizes, other_sizes
from toroids.symmetry.coherent import Shapes, holds
from toroids.symmetry.space import Generator, Leg, Space

COMPARING = ("softmax", "log_softmax", "_softmax", "_log_softmax", "_safe_softmax")
SCALING = ("mul", "div", "neg")
# Operators with a bias, and where among their arguments it is; of some the second is a weight whose
# rows write the result.
BIASED = {"linear": 2, "addmm": 0, "conv1d": 2, "conv2d": 2, "conv3d": 2}
WEIGHED = ("linear", "conv1d", "conv2d", "conv3d")
ADDING = ("add", "sub", "rsub")
Labels = NDArray[np.int64]


def forgotten(programs: Sequence[Program], spaces: Sequence[Space]) -> list[Space]:
    """Finds constants that may be added to weights, and that nobody takes back.

    Args:
        programs: the traced module, at all sizes.
        spaces: as they are known so far.

    Returns:
        The spaces, with new ones for these shifts.
    """
    found = [dict(_candidates(program)) for program in programs]
    writing = {
        name: rows for name, rows in found[0].items() if all(x.get(name) == rows for x in found)
    }
    if not writing:
        return list(spaces)
    try:
        runs = [run for program in programs for run in _passes(program, writing)]
    except Untold:
        return list(spaces)
    result, shapes = list(spaces), programs[0].shapes
    for name in sorted(writing.keys() - set().union(*(run.seen for run in runs))):
        columns = math.prod(shapes[name][1:]) if writing[name] else 1
        labels = _labels([run.rows[name] for run in runs], math.prod(shapes[name]) // columns)
        if labels is None:
            continue
        labels = np.add.outer(labels * columns, np.arange(columns)).reshape(shapes[name])
        leg, units = _leg(name, labels), int(labels.max()) + 1
        tied = programs[0].aliases.get(name, (name,))
        others = _without_smaller(result, tied, units)
        if others is not None and not (units > 1 and _is_taken(leg, tied, others, shapes)):
            space = Space(
                name=unlike(f"{leg.operator}:whole", {space.name for space in others}),
                size=units,
                copies=1,
                actions=frozenset({"shift"}),
                legs=tuple(replace(leg, tensor=x, operator=operator_of(x)) for x in tied),
                generators=(Generator("shift", (1.0,) * len(tied)),),
            )
            both = closed([*others, space], shapes)
            result = both if any(x.name == space.name for x in both) else result
    return result


def _passes(program: Program, writing: Mapping[str, bool]) -> Iterator["_Run"]:
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


def _candidates(program: Program) -> Iterator[tuple[str, bool]]:
    """Parameters that are only arranged, scaled and added to others before they are compared.

    Yields:
        The name, and whether it is a weight whose rows write what is compared.
    """
    for node in program.graph.graph.nodes:
        source = program.sources.get(node.name) if node.op == "placeholder" else None
        if source is None or source.kind != "parameter" or source.name in program.mutated:
            continue
        if 1 < source.value.numel() <= MOST and node.users and _is_compared(node):
            writes = {_writes(user, node) for user in node.users}
            if len(writes) == 1:
                yield source.name, writes == {True}


def _writes(user: fx.Node, node: fx.Node) -> bool:
    """Whether an operator takes a parameter as the weight whose rows write its result."""
    if user.op != "call_function" or node.op != "placeholder":
        return False
    name = operator_name(user).removeprefix("aten::")
    held = [at for at, given in enumerate(user.args) if given is node]
    groups = user.args[6] if name.startswith("conv") and len(user.args) > 6 else 1
    return bool(name in WEIGHED and held == [1] and groups == 1 and not user.kwargs)


def _is_compared(node: fx.Node) -> bool:
    for user in node.users:
        name = operator_name(user) if user.op == "call_function" else ""
        short = name.removeprefix("aten::")
        if short in COMPARING:
            continue
        passes = name in ARRANGING | KEEPING or short in SCALING + ADDING or user.target is getitem
        if short in BIASED:
            held = [at for at, given in enumerate(user.args) if given is node]
            named = [key for key, given in user.kwargs.items() if given is node]
            passes = (held, named) in (([BIASED[short]], []), ([], ["bias"])) or _writes(user, node)
        if not (passes and user.users and _is_compared(user)):
            return False
    return True


class _Run(RunOfSome):
    """A pass that notes which entries of weights are compared with each other.

    Attributes:
        rows: of every weight, entries that are compared, row by row.
        seen: the weights of which something sees what is added.
    """

    def __init__(self, program: Program, writing: Mapping[str, bool], sizes: Sizes) -> None:
        names = frozenset(name for name, rows in writing.items() if not rows)
        super().__init__(RULES, program, sizes, names)
        self.writing = writing
        self.rows: dict[str, list[Labels]] = {name: [] for name in writing}
        self.seen: set[str] = set()

    def written_by(self, node: fx.Node) -> Term | None:
        """What a weight that is followed writes: the number of its row."""
        weight: Any = node.args[1]
        source = self.program.sources.get(weight.name)
        if source is None or not self.writing.get(source.name) or not _writes(node, weight):
            return None
        shape = self.shape(node)
        behind = 0 if operator_name(node) == "aten::linear" else weight.meta["val"].ndim - 2
        index = torch.arange(source.value.shape[0], dtype=torch.int32).view(-1, *[1] * behind)
        return Term(source.name, (), 1.0, index.expand(shape))

    def vanish(self, node: fx.Node) -> None:
        """Notes that somebody sees a value."""
        self.seen |= {term.source for value in self._leaves([node]) for term in value.terms}
        super().vanish(node)

    def compare(self, node: fx.Node, dim: int) -> None:
        """Notes that entries along an axis of a value are compared with each other."""
        value: Added = self.values[node]
        shape = self.shape(node)
        for term in value.terms:
            index = term.index.expand(shape).movedim(dim, -1) if shape else term.index.view(1)
            rows = index.reshape(-1, index.shape[-1]).numpy()
            if (rows < 0).any() or term.word:  # beside something else, or what a map makes of it
                self.seen.add(term.source)
            if self.writing[term.source] and (np.diff(np.sort(rows, axis=1)) == 0).any():
                self.seen.add(term.source)  # what a row writes at two places is compared
            self.rows[term.source].append(rows.astype(np.int64))


def _compared(run: Run, node: fx.Node) -> Added | None:
    x, dim = node.args[:2]
    if not (isinstance(run, _Run) and isinstance(x, fx.Node) and isinstance(dim, int)):
        return None
    if narrows(node, run.finest):
        return None
    run.compare(x, dim)
    return NOTHING


def _scaled(run: Run, node: fx.Node) -> Added | None:
    """Times or over one number, whatever it is."""
    x, *others = node.args
    if node.kwargs or not isinstance(x, fx.Node):
        return None
    if any(isinstance(y, fx.Node) and y.meta["val"].numel() != 1 for y in others):
        return None
    given: Added = run.values[x]
    if not given.terms or any(isinstance(y, fx.Node) and run.values[y].seen for y in others):
        return None
    return Added(scaled(given, 1.0))


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
    **{f"aten::{name}": ABSORBING[f"aten::{name}"] for name in ("addmm", *ADDING)},
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
