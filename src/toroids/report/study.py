"""A study as its report sees it: the rows by architecture, looked up by what they say."""

from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

from toroids.errors import ToroidsError
from toroids.statistics.claims.evidence import is_minimum
from toroids.statistics.manifold import Manifold, manifold_of
from toroids.statistics.measured import Diverged, Network, OfPair, Pair, Symmetry
from toroids.statistics.row import OfArchitecture, Plain, Row
from toroids.statistics.summary import Summary
from toroids.study.rows import Run

R = TypeVar("R", bound=Row)
A = TypeVar("A", bound=OfArchitecture)


class Study:
    """The rows of a study, finished or not.

    Attributes:
        rows: all of them.
        run: the row of the run as a whole.
        config: the study's settings.
        architectures: what was measured, by architecture.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        """Sorts the rows by architecture.

        Args:
            rows: as `read_rows` gives them.

        Raises:
            ToroidsError: none says how the study was run.
        """
        self.rows = rows
        runs = self.of(Run)
        if not runs:
            raise ToroidsError('the rows hold none of kind "run"; pass all that read_rows gives.')
        self.run = runs[-1]
        self.config: Plain = self.run.config
        # the rows come in the order of the plan, which the settings as JSON do not keep
        names = [row.architecture for row in rows if isinstance(row, OfArchitecture)]
        names += self.config["networks"]
        self.architectures = [Architecture(name, self) for name in dict.fromkeys(names)]

    def of(self, kind: type[R]) -> list[R]:
        """Lists the rows of one kind."""
        return [row for row in self.rows if isinstance(row, kind)]

    @cached_property
    def solvers(self) -> list[str]:
        """All solvers, in the study's order."""
        names = [row.solver for row in self.rows if isinstance(row, Network | Diverged)]
        return list(dict.fromkeys([*names, *self.config["solvers"]]))

    @property
    def measured(self) -> bool:
        """Whether any network was measured."""
        return bool(self.of(Network))


class Architecture:
    """The rows of one architecture.

    Attributes:
        name: as the study calls it.
        study: what it is part of.
        rows: its rows.
    """

    def __init__(self, name: str, study: Study) -> None:
        """Picks the architecture's rows out of the study's."""
        self.name, self.study = name, study
        self.rows = [row for row in study.of(OfArchitecture) if row.architecture == name]

    def of(self, kind: type[A]) -> list[A]:
        """Lists the architecture's rows of one kind."""
        return [row for row in self.rows if isinstance(row, kind)]

    @cached_property
    def networks(self) -> list[Network]:
        """Its measured networks, ordered by solver, then as the study lists them."""
        order = self.study.solvers.index
        return sorted(self.of(Network), key=lambda row: order(row.solver))

    @cached_property
    def pairs(self) -> list[Pair]:
        """Its pairs."""
        return self.of(Pair)

    @cached_property
    def symmetry(self) -> Symmetry | None:
        """The row of its symmetries, None where they have not been found yet."""
        return next(iter(self.of(Symmetry)), None)

    @property
    def manifold(self) -> Manifold:
        """What is measured on the manifold of its networks."""
        return manifold_of(self.symmetry is not None and self.symmetry.binary)

    @cached_property
    def solvers(self) -> list[str]:
        """The solvers of which networks were measured, in the study's order."""
        present = {row.solver for row in self.networks}
        return [solver for solver in self.study.solvers if solver in present]

    @cached_property
    def groups(self) -> list[str]:
        """The groups of pairs: every solver, then every two solvers."""
        found = dict.fromkeys(row.group for row in self._summary if "/" in row.group)
        return [*self.solvers, *found]

    @property
    def sigma(self) -> float:
        """The disturbance at which flatness is quoted."""
        return float(self.study.config["flatness"]["reference"])

    @property
    def distance(self) -> str:
        """The field of a pair that says how far apart its networks are."""
        return self.manifold.distance

    @property
    def removed(self) -> str:
        """The path on which all symmetries are removed."""
        return self.manifold.direct

    @cached_property
    def _summary(self) -> list[Summary]:
        return self.of(Summary)

    def get(self, statistic: str, group: str, **labels: str | float) -> Summary | None:
        """Finds the summary row of one statistic, or None where it was not measured."""
        return next(iter(self.all(statistic, group, **labels)), None)

    def all(self, statistic: str, group: str, **labels: str | float) -> list[Summary]:
        """Lists the summary rows of one statistic that have an estimate."""
        wanted = {"statistic": statistic, "group": group, **labels}
        return [
            row
            for row in self._summary
            if row.estimate is not None
            and all(getattr(row, name) == value for name, value in wanted.items())
        ]

    def counts(self, network: Network) -> bool:
        """Whether a network counts in claims."""
        return is_minimum(network, self.study.config["claims"]["trained"])

    def members(self, group: str) -> list[Pair]:
        """Lists the pairs of a group."""
        return [row for row in self.pairs if group_of(row) == group]

    def flatness(self, network: Network) -> tuple[float, float] | None:
        """Reads a network's increase of the error at the reference, and its standard error."""
        curve = network.flatness
        if self.sigma not in curve.sigma:
            return None
        position = curve.sigma.index(self.sigma)
        increase, stderr = curve.increase[position], curve.stderr[position]
        return None if increase is None else (increase, stderr or 0.0)


def group_of(pair: OfPair) -> str:
    """Names the group of a pair: its solver, or its two."""
    a, b = pair.solver_a, pair.solver_b
    return a if a == b else f"{a} / {b}"
