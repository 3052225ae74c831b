"""What a method of alignment is given, and what it hands back."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from toroids.align.position import Position
from toroids.arguments.bounds import check_seconds
from toroids.evaluation.landscape import Landscape
from toroids.params import Params
from toroids.probe import Probe
from toroids.progress import Progress
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.offsets import as_read, as_stored, group_as_read


def check_budget(budget: float | None) -> None:
    """Raises unless `budget` is None or a positive number of seconds."""
    check_seconds(budget, f"the budget is {budget!r} seconds")


@dataclass
class Effort:
    """How long a method may go on, where its randomness comes from, and who hears how far it is.

    Attributes:
        deadline: a time of `time.monotonic`, after which the best so far is handed back.
        generator: source of randomness on the CPU.
        progress: called with what is done, how much of it, and of how much.
    """

    deadline: float = math.inf
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))
    progress: Progress | None = None

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.deadline

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def tell(self, text: str, done: int, total: int) -> None:
        """Reports progress."""
        if self.progress is not None:
            self.progress(text, done, total)


@dataclass(frozen=True)
class Problem:
    """Two canonical networks of one architecture, one of which moves, as the network reads them.

    Attributes:
        group: the architecture's symmetry group, on the numbers that the network reads.
        start: the network that moves.
        reference: the network that stays.
        effort: limits.
        probe: shows what the units of a network compute on data; None where there is no data.
        landscape: measures the loss of a network; None where there are no labelled data.
        bias: whether biases are coordinates of the spheres.
        scratch: a folder for networks that moved; in memory when None.
        stored: the group on the parameters as the module stores them; `group` when None.
        checkpoint: a file from which "loss" goes on, and to write; None for neither.
    """

    group: SymmetryGroup
    start: Params
    reference: Params
    effort: Effort = field(default_factory=Effort)
    probe: Probe | None = None
    landscape: Landscape | None = None
    bias: bool = True
    scratch: str | Path | None = None
    stored: SymmetryGroup | None = None
    checkpoint: str | Path | None = None

    def as_stored(self, params: Params) -> Params:
        """A network as the module stores it."""
        return as_stored(self.stored or self.group, params)

    def position(self, element: Element | None = None) -> Position:
        """The network that moves, moved by `element`."""
        return Position(self.group, self.start, element, self.scratch)


def problem_of(
    group: SymmetryGroup, start: Params, reference: Params, effort: Effort, **settings: Any
) -> Problem:
    """A problem of canonical networks as their module stores them.

    Args:
        group: the architecture's symmetry group.
        start: the network that moves.
        reference: the network that stays.
        effort: limits.
        settings: further attributes of the problem.

    Returns:
        The problem; its elements are those of `group`.
    """
    read = [as_read(group, network) for network in (start, reference)]
    return Problem(group_as_read(group), read[0], read[1], effort, stored=group, **settings)


@dataclass(frozen=True)
class Found:
    """The answer of a method.

    Attributes:
        element: permutations, signs and orthogonal matrices.
        sweeps: how many times a method went over all spaces.
        converged: whether it stopped because nothing gained, not because its time was up.
        method: which method found it.
    """

    element: Element
    sweeps: int
    converged: bool
    method: str
