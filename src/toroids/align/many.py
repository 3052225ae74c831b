"""Alignment of many networks at once: all of them to a common centre.

The objective is the similarity summed over all pairs, which is the squared norm of the sum S of
all networks up to a constant. The network to which greedy alignment brings the others closest
stays at first and the others are aligned to it. Then each network in turn is aligned to the sum of
all others, the one that gains most first, until none gains. Every network has one element, so that
the way from a to b and on to c is the way from a to c: cycle-consistent by construction.

Methods that look at data leave the similarity behind: with them each network in turn is aligned to
the mean of those before it, once.

Reference: Crisostomi et al., C2M3: Cycle-Consistent Multi-Model Merging, 2024, arXiv 2405.17897.
"""

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from toroids.align.alignment import METHODS, METHODS_ON_DATA
from toroids.align.descent import descend, smallest_gain
from toroids.align.greedy import greedy
from toroids.align.position import Position
from toroids.align.problem import Effort, Problem, check_budget, problem_of
from toroids.align.restarts import restarts
from toroids.arguments.checked import checked
from toroids.arguments.networks import check_several
from toroids.canonical.batch_norm import folding
from toroids.canonical.degenerate import degenerate_units
from toroids.canonical.form import CanonicalParams, canonicalize
from toroids.canonical.plan import Plan
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.geometry.mean import KarcherMean
from toroids.geometry.toroid import Toroid
from toroids.params import Params, average, check_alike, computing, inner_product
from toroids.probe import Probe
from toroids.progress import Progress
from toroids.result import Result
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.offsets import as_read, group_as_read

ROUNDS = 50


@dataclass(frozen=True, repr=False)
class ManyAlignment(Result):
    """Networks aligned to a common centre, all in canonical form.

    Attributes:
        params: the moved networks, in the order in which they were given.
        elements: what was applied to the canonical form of each.
        centre: the number of the network that stayed at first.
        similarity: the mean inner product over all pairs.
        similarity_before: the same before moving.
        rounds: how many times every network was aligned to the sum of the others.
        converged: whether no network gained in the last round.
        toroid: the manifold on which they lie.

    See `align_many` for an example.
    """

    params: list[CanonicalParams]
    elements: list[Element]
    centre: int
    similarity: float
    similarity_before: float
    rounds: int
    converged: bool
    toroid: Toroid

    @cached_property
    def mean(self) -> KarcherMean:
        """The Karcher mean of the aligned networks; computed when first asked for.

        The mean of binary weights is not binary: its signs, with which the network computes, are
        the vote of the majority; it is zero in a draw, which an even number of networks allows.
        """
        return self.toroid.mean(self.params)


@checked
def align_many(
    group: SymmetryGroup,
    networks: Sequence[Params],
    method: str = "descent",
    bias: bool = True,
    *,
    batch_norm: str = "keep",
    budget: float | None = None,
    progress: Progress | None = None,
    probe: Probe | None = None,
    landscape: Landscape | None = None,
) -> ManyAlignment:
    """Moves all networks, within their symmetry classes, as close to each other as possible.

    Args:
        group: the architecture's symmetry group.
        networks: two or more networks; their order decides nothing but ties.
        method: how networks are brought to the first centre, as in `align`; with "activations" and
            "loss" each is brought to the mean of those before it, in their order.
        bias: whether biases are coordinates of the spheres, as in `canonicalize`.
        batch_norm: "keep" or "fold", as in `canonicalize`.
        budget: seconds after which the best so far is handed back.
        progress: called with a text, the number of steps done, and of all steps (0: unknown).
        probe: for "activations", as in `align`.
        landscape: for "loss", as in `align`.

    Returns:
        The canonical networks, moved, with their elements and, on request, their mean.

    Raises:
        ParamsError: the networks are of different architectures or not finite.
        ToroidsError: fewer than two networks, an unknown method, one that lacks its data, or a
            budget that is not positive.

    Example:
        >>> import torch, toroids as td
        >>> a = td.models.fully_connected([4, 8, 3], seed=0).double().state_dict()
        >>> group = td.symmetry.fully_connected_group(a)
        >>> elements = [group.random(torch.Generator().manual_seed(seed)) for seed in (1, 2)]
        >>> together = td.align_many(group, [a, *(group.apply(g, a) for g in elements)])
        >>> toroid = td.Toroid(group)
        >>> toroid.distance(together.params[1], together.params[2]) < 1e-12
        True
    """
    if method not in METHODS:
        raise ToroidsError(f"there is no method {method!r}; choose from {sorted(METHODS)}.")
    check_several(networks, 2, "networks to align")
    check_budget(budget)
    for number, network in enumerate(networks[1:], 1):
        check_alike(networks[0], network, "network 0", f"network {number}")
    folded = folding(group, batch_norm)
    starts = [canonicalize(group, n, bias=bias, batch_norm=batch_norm) for n in networks]
    group = folded.group if folded else group
    deadline = math.inf if budget is None else time.monotonic() + budget
    read = [as_read(group, start) for start in starts]
    climb = _Climb(group_as_read(group), read, Effort(deadline, progress=progress))
    before = climb.similarity()
    if method in METHODS_ON_DATA:
        centre, rounds = 0, 1
        settings = {"probe": probe, "landscape": landscape, "bias": bias}
        converged = climb.one_by_one(method, starts, Toroid(group, bias), settings)
    else:
        centre = climb.to_the_centre(method)
        rounds, converged = climb.rounds()
    moved = [
        group.apply(p.element, start) for p, start in zip(climb.positions, starts, strict=True)
    ]
    plan = Plan(group, bias)
    return ManyAlignment(
        params=[CanonicalParams(x, degenerate_units(plan, x)) for x in moved],
        elements=[position.element for position in climb.positions],
        centre=centre,
        similarity=climb.similarity(),
        similarity_before=before,
        rounds=rounds,
        converged=converged,
        toroid=Toroid(group, bias),
    )


class _Climb:
    """The positions of all networks, and their sum."""

    def __init__(self, group: SymmetryGroup, starts: Sequence[Params], effort: Effort) -> None:
        self.positions = [Position(group, start) for start in starts]
        self._group, self._starts, self._effort = group, starts, effort
        self._names = group.parameters

    def similarity(self) -> float:
        """The mean inner product over all pairs."""
        networks = [position.tensors for position in self.positions]
        squares = sum(inner_product(x, x, self._names) for x in networks)
        total = self._sum(networks)
        pairs = len(networks) * (len(networks) - 1)
        return (inner_product(total, total, self._names) - squares) / pairs

    def _sum(self, networks: Sequence[Params]) -> dict[str, Tensor]:
        total = {n: networks[0][n].detach().to(computing(networks[0][n])) for n in self._names}
        for network in networks[1:]:
            total = {name: x + network[name].detach() for name, x in total.items()}
        return total

    def to_the_centre(self, method: str) -> int:
        """Aligns all networks to the one to which greedy alignment brings them closest."""
        count = len(self._starts)
        totals = [0.0] * count
        pairs = list(itertools.permutations(range(count), 2))
        for done, (here, other) in enumerate(pairs):
            if self._effort.over:
                return 0
            self._effort.tell("looking for the centre", done, len(pairs))
            problem = self._problem(other, self._starts[here])
            moved = Position(self._group, self._starts[other], greedy(problem).element)
            reached = (moved, self.positions[other])
            totals[here] += max(p.similarity(self._starts[here]) for p in reached)
        centre = totals.index(max(totals))
        for number in range(count):
            if number != centre and not self._effort.over:
                problem = self._problem(number, self._starts[centre])
                found = METHODS[method](problem)
                if math.isinf(self._effort.deadline):  # a moved copy is worth some restarts
                    found = restarts(problem, found)
                self.positions[number] = Position(self._group, self._starts[number], found.element)
        return centre

    def one_by_one(
        self, method: str, starts: Sequence[Params], toroid: Toroid, settings: Mapping[str, Any]
    ) -> bool:
        """Aligns every network to the mean of those before it, by what they do on data.

        Args:
            method: one that looks at data.
            starts: the networks as their module stores them.
            toroid: where their mean is.
            settings: the data, as attributes of a problem.

        Returns:
            Whether all ended before their time was up.
        """
        moved, converged = [starts[0]], True
        for number, start in enumerate(starts[1:], start=1):
            now = time.monotonic()
            share = now + (self._effort.deadline - now) / (len(starts) - number)
            mean = moved[0] if number == 1 else toroid.project(average(moved))
            effort = replace(self._effort, deadline=share)
            found = METHODS[method](problem_of(toroid.group, start, mean, effort, **settings))
            self.positions[number] = Position(self._group, self._starts[number], found.element)
            moved.append(toroid.group.apply(found.element, start))
            converged &= found.converged
        return converged

    def rounds(self) -> tuple[int, bool]:
        """Aligns every network to the sum of the others until none gains."""
        for count in range(1, ROUNDS + 1):
            gains = [self._towards_others(number)[1] for number in range(len(self.positions))]
            order = sorted(range(len(gains)), key=lambda number: -gains[number])
            gained = False
            for number in (n for n in order if gains[n] > 0):
                if self._effort.over:
                    return count, False
                self._effort.tell(f"round {count}", number, len(order))
                position, gain = self._towards_others(number)
                if gain > 0:
                    self.positions[number], gained = position, True
            if not gained:
                return count, not self._effort.over
        return ROUNDS, False

    def _towards_others(self, number: int) -> tuple[Position, float]:
        """Where one network goes, and what it gains, when the others stay."""
        here = self.positions[number]
        others = self._sum([p.tensors for i, p in enumerate(self.positions) if i != number])
        target = {**here.tensors, **{n: x.to(here.tensors[n]) for n, x in others.items()}}
        problem = self._problem(number, target)
        position = Position(self._group, self._starts[number], here.element)
        descend(problem, position)
        gain = position.similarity(target) - here.similarity(target)
        return position, gain if gain > smallest_gain(problem) else 0.0

    def _problem(self, number: int, reference: Params) -> Problem:
        return Problem(self._group, self._starts[number], reference, self._effort)
