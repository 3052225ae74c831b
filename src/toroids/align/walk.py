"""Small steps of an element down a gradient of what the moved network is good for.

With G the gradient by the moved network gB and, on a space, M = sum over legs of G (gB)^T:

- an orthogonal matrix turns by exp(-S), S a step of Adam along the antisymmetric part of M, whose
  entries share one size, so that steps do not depend on the basis; where the matrix keeps the
  mean, M is centred first;
- a phase turns by a step of Adam along the sum of -Im(conj(G) gB);
- units and signs are chosen anew, max over g' of <gB + D, g'gB>: D follows the steps of Adam down
  the gradient and forgets, so that a unit leaves its place when that has gained for a while.

Reference: the straight-through estimator of Ainsworth, Hayase and Srinivasa, 2023, arXiv
2209.04836; Theus et al., Generalized linear mode connectivity for transformers, 2025, arXiv
2506.22712, learn permutations and orthogonal matrices together.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from toroids.align.block import Block, Rows, blocks, rows_of
from toroids.align.descent import best_steps, smallest_gain
from toroids.align.position import Position
from toroids.align.problem import Problem
from toroids.params import Params, computing
from toroids.symmetry.choice import identity_permutation
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Space

# Of Adam: how fast the means of gradients and of their squares forget.
FORGETS = (0.9, 0.99)
# The root mean square entry of a step of a matrix, and a step of a phase, in radians.
TURN = 0.02
# The displacement D grows by RATE root mean square weights per step, and keeps KEPT of itself.
RATE = 0.2
KEPT = 0.95


class Walk:
    """An element on its way, with what Adam remembers of gradients.

    Attributes:
        position: the network that moves, where it has come to.
    """

    def __init__(self, problem: Problem, position: Position) -> None:
        """Begins at `position`, which moves."""
        self.position, self._problem = position, problem
        self._least = smallest_gain(problem)
        self._blocks = blocks(problem.group)
        self._chosen = [block for block in self._blocks if not any(map(_turns, block.spaces))]
        names = dict.fromkeys(name for block in self._chosen for name in block.tensors)
        start = problem.start
        self._drift = {n: torch.zeros_like(start[n], dtype=computing(start[n])) for n in names}
        self._size = RATE * _root_mean_square(start, problem.group.parameters)
        self._means: dict[str, tuple[Tensor, Tensor]] = {}
        self._count = 0

    def state(self) -> dict[str, Any]:
        """What the next step depends on."""
        told = {"drift": self._drift, "means": self._means, "count": self._count}
        return {"position": self.position.state(), **told}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""
        self.position.load(state["position"])
        self._count = state["count"]
        self._drift = {n: x.to(self._drift[n].device) for n, x in state["drift"].items()}
        place = next(iter(self.position.tensors.values())).device
        self._means = {n: (a.to(place), b.to(place)) for n, (a, b) in state["means"].items()}

    def step(self, gradient: Params, share: float = 1.0) -> None:
        """Moves the element.

        Args:
            gradient: of what is to fall, by the parameters of the moved network.
            share: of a full step, in [0, 1].
        """
        self._count += 1
        self._choose(gradient, share)
        rows = rows_of(gradient, self.position.tensors)
        turns = [
            (space, self._turn(block, space, rows, share))
            for block in self._blocks
            for space in block.spaces
            if _turns(space) and block.legs[space.name]
        ]
        for space, turn in turns:  # all by the same gradient
            self.position.move(space, turn)

    def _choose(self, gradient: Params, share: float) -> None:
        """Permutes and flips towards where the gradient leads."""
        for name, drift in self._drift.items():
            step = self._adam(name, gradient[name].to(drift), tuple(range(drift.ndim)))
            self._drift[name] = KEPT * drift - share * self._size * step
        for block in self._chosen:
            here = self.position.tensors
            aim = {**here, **{n: here[n] + self._drift[n] for n in block.tensors}}
            steps, gain = best_steps(replace(self._problem, reference=aim), block, self.position)
            if gain > self._least:
                for space, choice in steps:
                    self.position.move(space, choice)

    def _turn(self, block: Block, space: Space, rows: Rows, share: float) -> SpaceElement:
        home = identity_permutation(space)
        pairs = [rows(space, leg) for leg in block.legs[space.name]]
        if space.matrix is None:
            slope = sum(((a.conj() * b).sum(dim=2).imag for a, b in pairs), torch.zeros(()))
            angles = TURN * share * self._adam(space.name, -slope, ())
            return SpaceElement(home, phases=-angles[None].double().cpu())
        table = sum((a @ b.transpose(1, 2) for a, b in pairs), torch.zeros(()))
        if space.matrix.fixes_mean:
            table = table - table.mean(dim=1, keepdim=True)
            table = table - table.mean(dim=2, keepdim=True)
        slope = table - table.transpose(1, 2)
        step = TURN * share * self._adam(space.name, slope, (1, 2))
        return SpaceElement(home, mix=torch.linalg.matrix_exp(-step.double()).cpu())

    def _adam(self, name: str, slope: Tensor, alike: tuple[int, ...]) -> Tensor:
        """A step of Adam of size one; entries along the axes `alike` have one size."""
        zero = torch.zeros_like(slope)
        mean, square = self._means.get(name, (zero, zero))
        first, second = FORGETS
        squares = slope.square()
        if alike:
            squares = squares.mean(dim=alike, keepdim=True).expand_as(slope)
        mean, square = mean.lerp(slope, 1 - first), square.lerp(squares, 1 - second)
        self._means[name] = mean, square
        size = (square / (1 - second**self._count)).sqrt()
        return torch.where(size > 0, mean / (1 - first**self._count) / size, 0.0)


def _turns(space: Space) -> bool:
    """Whether matrices or phases act on a space."""
    return bool(space.matrix or space.of("phase"))


def _root_mean_square(params: Params, names: Iterable[str]) -> float:
    tensors = [params[name].detach() for name in names]
    squares = sum(float(x.square().sum()) for x in tensors)
    return math.sqrt(squares / max(1, sum(x.numel() for x in tensors)))
