"""The measurements of one architecture, as claims read them: samples by solver and path."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from toroids.statistics.manifold import Manifold, manifold_of
from toroids.statistics.measured import Bend, Network, OfPair, Pair, Symmetry
from toroids.statistics.resampling import Sample
from toroids.statistics.row import OfArchitecture, Row
from toroids.statistics.summary import increase_at, owner, owners

P = TypeVar("P", bound=OfPair)


@dataclass(frozen=True)
class Thresholds:
    """By what claims are judged.

    Attributes:
        reference: the disturbance at which flatness is compared.
        tolerance: the largest barrier that counts as none.
        small: the largest barrier that is called small.
        trained: the largest train error of a minimum.
    """

    reference: float
    tolerance: float
    small: float
    trained: float


@dataclass(frozen=True)
class Evidence:
    """What was measured of one architecture.

    Attributes:
        architecture: its name.
        binary: whether its weights are signs.
        networks: the minima, with a finite increase at the reference and a train error that is low
            enough.
        pairs: of those.
        bends: between those.
        thresholds: by which it is judged.
        remark: how many networks are no minima, by solver; empty where all are.
    """

    architecture: str
    binary: bool
    networks: tuple[Network, ...]
    pairs: tuple[Pair, ...]
    bends: tuple[Bend, ...]
    thresholds: Thresholds
    remark: str = ""

    @cached_property
    def increase(self) -> dict[str, float]:
        """By how much each network's train error grows at the reference; small is flat."""
        found = {row.name: increase_at(row, self.thresholds.reference) for row in self.networks}
        return {name: value for name, value in found.items() if value is not None}

    @cached_property
    def solvers(self) -> list[str]:
        """The solvers, flattest first."""
        names = dict.fromkeys(row.solver for row in self.networks)
        return sorted(names, key=lambda name: float(self.increases(name).values.mean()))

    @property
    def manifold(self) -> Manifold:
        """What is measured on the manifold of its networks."""
        return manifold_of(self.binary)

    @property
    def path(self) -> str:
        """The path between aligned networks: the geodesic, or flips in random orders."""
        return self.manifold.direct

    @property
    def lowest(self) -> str:
        """The path by which it goes whether there is a low one."""
        return self.manifold.lowest

    @property
    def measure(self) -> str:
        """The measure of distances."""
        return self.manifold.distance

    @property
    def disturbance(self) -> str:
        """The disturbance at which flatness is compared, in words."""
        reference = self.thresholds.reference
        return self.manifold.disturbance.format(reference, 100 * reference)

    def of(self, solver: str) -> list[Network]:
        """Lists the networks of one solver."""
        return [row for row in self.networks if row.solver == solver]

    def increases(self, *solvers: str) -> Sample:
        """Samples the increases of the networks of some solvers."""
        members = [row for solver in solvers for row in self.of(solver)]
        values = [self.increase[row.name] for row in members]
        return Sample(np.array(values), tuple((owner(row),) for row in members))

    def within(self, solver: str, rows: Sequence[P]) -> list[P]:
        """Lists the pairs or bends between networks of one solver."""
        return [row for row in rows if row.solver_a == row.solver_b == solver]

    def distances(self, solver: str, moment: str = "after") -> Sample:
        """Samples the distances between networks of one solver."""
        return sample(
            (row, getattr(row.measures[self.measure], moment))
            for row in self.within(solver, self.pairs)
            if self.measure in row.measures
        )

    def barriers(self, rows: Sequence[OfPair], path: str) -> Sample:
        """Samples the barriers on one path, where they are finite."""
        return sample((row, row.profiles[path].barrier) for row in rows if path in row.profiles)

    def left_out(self, rows: Sequence[OfPair], path: str) -> str:
        """Says how many profiles have no barrier; empty if all have one."""
        found = [row.profiles[path].barrier for row in rows if path in row.profiles]
        missing = sum(barrier is None for barrier in found)
        return f"{missing} of {len(found)} barriers are not finite and left out" if missing else ""


def sample(values: Iterator[tuple[OfPair, float | None]]) -> Sample:
    """Samples the finite ones of the values of pairs."""
    kept = [(row, value) for row, value in values if value is not None]
    return Sample(
        np.array([value for _, value in kept], dtype=float),
        tuple(owners(row) for row, _ in kept),
    )


def gather(rows: Sequence[Row], architecture: str, thresholds: Thresholds) -> Evidence:
    """Gathers what was measured of one architecture.

    Args:
        rows: of the whole study.
        architecture: its name.
        thresholds: by which its claims are judged.

    Returns:
        The evidence; networks that are no minima, or without a finite increase at the reference,
        are left out.
    """
    own = [
        row for row in rows if isinstance(row, OfArchitecture) and row.architecture == architecture
    ]
    measured = [
        row
        for row in own
        if isinstance(row, Network) and increase_at(row, thresholds.reference) is not None
    ]
    networks = tuple(row for row in measured if is_minimum(row, thresholds.trained))
    names = {row.name for row in networks}
    joined = [row for row in own if isinstance(row, OfPair) and {row.a, row.b} <= names]
    return Evidence(
        architecture=architecture,
        binary=any(_of_signs(row) for row in own),
        networks=networks,
        pairs=tuple(row for row in joined if isinstance(row, Pair)),
        bends=tuple(row for row in joined if isinstance(row, Bend)),
        thresholds=thresholds,
        remark=_remark(measured, networks, thresholds.trained),
    )


def _of_signs(row: Row) -> bool:
    """Whether it is of binary networks; unfinished runs may have pairs and no symmetry yet."""
    if isinstance(row, Pair):
        return row.hamming is not None
    return isinstance(row, Symmetry) and row.binary


def is_minimum(network: Network, trained: float) -> bool:
    """Whether a network counts in claims, which are about networks of a low train error."""
    return (network.train_error or 0.0) <= trained


def _remark(measured: Sequence[Network], minima: Sequence[Network], trained: float) -> str:
    """Says of which solvers networks are left out, because their train error is too large."""
    every = Counter(row.solver for row in measured)
    kept = Counter(row.solver for row in minima)
    parts = [f"{n - kept[s]} of {n} of {s}" for s, n in every.items() if kept[s] < n]
    if not parts:
        return ""
    return f"left out, with a train error above {100 * trained:g} %: {', '.join(parts)}"
