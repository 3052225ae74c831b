"""A kind of task: what one does, leaves and takes, and what its rows are in tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from toroids.design.task import Task
from toroids.evaluation.passes import Passes
from toroids.params import Params
from toroids.statistics.measured import OfNetwork, OfPair, Result
from toroids.statistics.row import Part, Plain
from toroids.study.perform.architecture import Architecture, Asked
from toroids.study.perform.setting import Setting

Lines: TypeAlias = Iterator[Plain]


@dataclass(frozen=True)
class Kind:
    """All that a run has to know of one kind of task.

    Attributes:
        name: of the kind.
        words: what it does, as a person reads it.
        result: the type of what it leaves, or a union of such.
        count: how many of them a study asks for on an architecture.
        plan: makes them, in order.
        passes: what the time of one goes into, as far as that is known.
        measure: measures networks, where it is a measurement: the group comes first among its
            inputs.
        tables: by the name of a table, the lines of one row.
        row: the type of the row that it becomes, where that is another one.
    """

    name: str
    words: str
    result: Any
    count: Callable[[Asked], int]
    plan: Callable[[Architecture], Iterator[Task]]
    passes: Callable[[Setting], list[Passes] | None]
    measure: Callable[[Setting, Sequence[Params]], Result] | None = None
    tables: Mapping[str, Callable[[Any], Lines]] = field(default_factory=dict)
    row: type[Result] | None = None


def of_network(row: OfNetwork) -> Plain:
    """The columns that say which network a line is of."""
    return row.columns("name", "architecture", "solver", "seed")


def of_pair(row: OfPair) -> Plain:
    """The columns that say which two networks a line is of."""
    return row.columns("a", "b", "architecture", "solver_a", "solver_b")


def along(curve: Part, keys: Sequence[str]) -> Lines:
    """One line per point of a curve."""
    for values in zip(*(getattr(curve, key) for key in keys), strict=True):
        yield dict(zip(keys, values, strict=True))
