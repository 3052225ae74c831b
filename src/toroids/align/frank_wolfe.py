"""Joint relaxation over all spaces by the Frank-Wolfe method, then rounded, then descent.

Every permutation is relaxed to a doubly stochastic matrix, signed ones and orthogonal matrices to
the convex hulls of theirs. The objective, a sum of products of one such matrix per leg,

    f(X) = sum over tensors <A, (X_1 x X_2 x ...) B>,

is maximised from the centre of the hulls: the gradient in every X is a table of products with the
other matrices applied, its best vertex V is the choice of one step, and the step towards it is that
of the largest f on the line, a polynomial. Moving all spaces at once, and moving them in part, gets
past points at which no single space gains.

Reference: Frank and Wolfe, An algorithm for quadratic programming, 1956; for permutations of
networks, Crisostomi et al., C2M3: Cycle-Consistent Multi-Model Merging, 2024, arXiv 2405.17897.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.polynomial import Polynomial
from torch import Tensor

from toroids.align.block import Block, Pattern, Table, blocks, tables
from toroids.align.choose import Choice, choose
from toroids.align.descent import descend
from toroids.align.problem import Found, Problem
from toroids.align.signs import product_of
from toroids.params import Params, computing, precise
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Leg, Space
from toroids.symmetry.units import vectors, with_vectors

STEPS = 200
# It has converged when the linearised objective promises less than this, relative to the objective.
GAP = 1e-5

# By space, one relaxed matrix per pattern of signs, shaped like the table of the space.
Matrices = dict[str, Table]


def frank_wolfe(problem: Problem) -> Found:
    """Finds the element that brings a network close to another, all spaces at once.

    Args:
        problem: the two networks.

    Returns:
        An element of permutations, signs and orthogonal matrices, never worse than none.
    """
    relaxed, steps = _relaxed(problem)
    position = problem.position()
    before = position.similarity(problem.reference)
    for block in relaxed.blocks:
        for space, step in choose(block, {s.name: relaxed.at[s.name] for s in block.spaces}).steps:
            position.move(space, step)
    _, converged = descend(problem, position)
    if position.similarity(problem.reference) < before:
        position = problem.position()
        _, converged = descend(problem, position)
    return Found(position.element, steps, converged, "frank-wolfe")


def _relaxed(problem: Problem) -> tuple["_Relaxation", int]:
    """Climbs the relaxed objective."""
    relaxation = _Relaxation(problem)
    for step in range(1, STEPS + 1):
        if problem.effort.over:
            return relaxation, step
        problem.effort.tell("frank-wolfe", step, STEPS)
        target: Matrices = {}
        promised = 0.0
        for block in relaxation.blocks:
            slopes = relaxation.slopes(block)
            choice = choose(block, slopes)
            target |= _vertex(block, choice, relaxation.at)
            promised += _product(slopes, target) - _product(slopes, relaxation.at)
        if promised <= GAP * abs(relaxation.value()):
            return relaxation, step
        relaxation.walk(target)
    return relaxation, STEPS


class _Relaxation:
    """A point in the product of convex hulls, and the objective there."""

    def __init__(self, problem: Problem) -> None:
        """Begins at the centre of all hulls."""
        acting = {s.name for block in blocks(problem.group) for s in block.spaces}
        # Copies that several spaces move keep their places here, and so do phases, and what carries
        # them; descent moves them afterwards.
        self.blocks = [
            block
            for block in blocks(problem.group)
            if not acting & set(block.space.within) and not any(s.of("phase") for s in block.spaces)
        ]
        self._problem = problem
        self._legs: dict[str, list[tuple[Space, Leg, Pattern]]] = {}
        for block in self.blocks:
            for space in block.spaces:
                for leg, pattern in block.legs[space.name].items():
                    self._legs.setdefault(leg.tensor, []).append((space, leg, pattern))
        self.at = {s.name: _centre(b, s, self._like(b, s)) for b in self.blocks for s in b.spaces}
        self._value: float | None = None

    def _like(self, block: Block, space: Space) -> tuple[set[Pattern], Tensor]:
        patterns = block.legs[space.name]
        params = self._problem.reference
        names = [leg.tensor for leg in patterns] or [leg.tensor for leg in space.legs]
        first = params[names[0]]
        return set(patterns.values()), first.new_empty(0, dtype=computing(first))

    def slopes(self, block: Block) -> dict[str, Table]:
        """The gradient in the matrices of one block."""

        def rows(space: Space, leg: Leg) -> tuple[Tensor, Tensor]:
            a = self._entries(self._problem.reference, leg.tensor)
            b = self._applied(leg.tensor, self.at, leg)
            shape = (leg, space.copies, space.size)
            return vectors(a, *shape), vectors(b, *shape)

        return tables(block, rows)

    def value(self) -> float:
        """The objective."""
        if self._value is None:
            self._value = self._value_at(self.at)
        return self._value

    def walk(self, target: Matrices) -> None:
        """Moves to where the objective is largest on the segment to `target`."""
        degree = max((len(legs) for legs in self._legs.values()), default=1)
        times = np.linspace(0.0, 1.0, degree + 1)
        values = [self.value()] + [self._value_at(self._between(target, t)) for t in times[1:]]
        curve = Polynomial.fit(times, values, degree, domain=[0.0, 1.0])
        roots = np.atleast_1d(curve.deriv().roots()).astype(complex)
        inside = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0) & (roots.real < 1)]
        best = max([*inside.tolist(), 1.0], key=lambda t: float(curve(t)))
        self.at = self._between(target, best)
        self._value = float(curve(best))

    def _between(self, target: Matrices, t: float) -> Matrices:
        return {
            name: {pattern: torch.lerp(x, target[name][pattern], t) for pattern, x in table.items()}
            for name, table in self.at.items()
        }

    def _value_at(self, matrices: Matrices) -> float:
        reference = self._problem.reference
        return sum(
            float((precise(reference[name].detach()) * self._applied(name, matrices, None)).sum())
            for name in self._legs
        )

    def _entries(self, params: Params, name: str) -> Tensor:
        return params[name].detach().to(computing(params[name]))

    def _applied(self, name: str, matrices: Matrices, without: Leg | None) -> Tensor:
        """A tensor of the network that moves with the matrices of all legs but one applied."""
        tensor = self._entries(self._problem.start, name)
        for space, leg, pattern in self._legs[name]:
            if leg == without:
                continue
            matrix = matrices[space.name][pattern]
            held = vectors(tensor, leg, space.copies, space.size)
            if matrix.ndim == 4:
                flat = matrix.transpose(1, 2).reshape(held[..., 0].numel(), -1)
                held = (flat @ held.flatten(end_dim=1)).view(held.shape)
            else:
                held = matrix @ held
            tensor = with_vectors(tensor, leg, held)
        return tensor


def _centre(block: Block, space: Space, like: tuple[set[Pattern], Tensor]) -> Table:
    """The mean of all choices: uniform where no sign acts, zero elsewhere."""
    patterns, empty = like
    shape: tuple[int, ...] = (space.copies, space.size, space.size)
    uniform = 1.0 / space.size
    if space is not block.space:
        shape, uniform = (space.copies, *shape), uniform / space.copies
    permutes = space.matrix is None
    if permutes and "permute" not in space.actions:
        eye = torch.eye(space.size, dtype=empty.dtype, device=empty.device).expand(shape)
        permuted = eye / space.copies if space is not block.space else eye
    else:
        permuted = empty.new_full(shape, uniform)
    return {
        pattern: permuted * float(permutes and not any(pattern)) for pattern in sorted(patterns)
    }


def _vertex(block: Block, choice: Choice, at: Mapping[str, Table]) -> Matrices:
    """The matrices of one choice."""
    found: Matrices = {}
    places = torch.arange(block.space.size)
    signs = choice.steps[0][1].signs
    for space, step in choice.steps:
        found[space.name] = {}
        for pattern, like in at[space.name].items():
            matrix = _matrix(space, step, pattern).to(like)
            if space is block.space:
                places = step.permutation[0]
            else:
                wide = torch.zeros_like(like)
                if block.signs and signs is not None:
                    shared = product_of(signs[:, 0], pattern[-block.signs :])
                    matrix = matrix * shared.to(like)[:, None, None]
                wide[torch.arange(space.copies), places] = matrix
                matrix = wide
            found[space.name][pattern] = matrix
    return found


def _matrix(space: Space, step: SpaceElement, pattern: Pattern) -> Tensor:
    """One matrix per copy, (copies, size, size)."""
    if step.mix is not None:
        return step.mix
    signs = torch.ones(space.copies, space.size, dtype=torch.float64)
    for power, flips in zip(pattern, () if step.signs is None else step.signs, strict=False):
        signs = signs * torch.where(flips < 0, -1.0, 1.0) ** power
    empty = torch.zeros(space.copies, space.size, space.size, dtype=torch.float64)
    return empty.scatter(2, step.permutation[:, :, None], signs[:, :, None])


def _product(slopes: Mapping[str, Table], matrices: Mapping[str, Table]) -> float:
    return sum(
        float((precise(x) * matrices[name][pattern]).sum())
        for name, table in slopes.items()
        for pattern, x in table.items()
    )
