"""From a study to its tasks: frozen, with explicit inputs, named by what determines their result.

Each kind of task says which there are (`perform.kinds`). A setting that a task does not depend on
is not among its settings: a study with other noise levels trains no network anew, and one with a
further seed measures only what is new.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

from toroids.arguments.checked import checked, checked_methods
from toroids.design.config import StudyConfig
from toroids.design.task import Task
from toroids.errors import ConfigError
from toroids.study.perform.architecture import Architecture, Asked
from toroids.study.perform.kinds import KINDS

# A run holds the row of every task in memory, some kilobytes each; pairs grow with the square of
# the networks, so that one zero too many among the seeds asks for more than any machine has.
MOST_TASKS = 200_000


@dataclass(frozen=True)
class Part:
    """The tasks of one kind on one architecture, each made when it is asked for.

    Attributes:
        architecture: its name in the study.
        kind: of the tasks.
        count: how many they are.
        make: yields them in order.
    """

    architecture: str
    kind: str
    count: int
    make: Callable[[], Iterator[Task]]


class Tasks(Sequence[Task]):
    """Tasks that are made whenever they are asked for, and take no memory."""

    def __init__(self, parts: Sequence[Part]) -> None:
        """Takes the parts, in order."""
        self._parts = tuple(parts)

    def __len__(self) -> int:
        return sum(part.count for part in self._parts)

    def __iter__(self) -> Iterator[Task]:
        return itertools.chain.from_iterable(part.make() for part in self._parts)

    @overload
    def __getitem__(self, place: int) -> Task: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Task, ...]: ...
    def __getitem__(self, place: int | slice) -> Task | tuple[Task, ...]:
        if isinstance(place, slice):
            return tuple(self)[place]
        # the range knows negative places, and which there are not
        return next(itertools.islice(self, range(len(self))[place], None))


@checked_methods
@dataclass(frozen=True, eq=False)
class Plan:
    """All tasks of a study, every one after its inputs.

    Attributes:
        parts: the tasks by architecture and kind.

    See `make_plan` for an example.
    """

    parts: tuple[Part, ...]

    @property
    def tasks(self) -> Sequence[Task]:
        """All tasks, in the order in which they are reported; made anew by every loop over them."""
        return Tasks(self.parts)

    def of_kind(self, kind: str) -> Sequence[Task]:
        """The tasks of one kind."""
        return Tasks([part for part in self.parts if part.kind == kind])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and tuple(self.tasks) == tuple(other.tasks)


@checked
def make_plan(config: StudyConfig) -> Plan:
    """Lists the tasks of `config`.

    Distances are measured for every pair of networks of an architecture; profiles for all pairs
    within a solver, or `profiles.within` of them, and for `profiles.across` pairs of every two
    solvers, within parts of the group, too, for `profiles.parts` pairs within every solver; bends
    for `bends.count` pairs and sections for `sections.count` triples within every solver;
    trajectories for the first `sections.trajectories` seeds of every solver. Pairs and triples that
    are fewer than all are drawn without replacement by a fixed seed.

    Args:
        config: the study.

    Returns:
        By architecture: its group, networks, measurements, pairs, bends, sections, trajectories. A
        task is made when it is asked for, so that a plan takes little memory.

    Raises:
        ConfigError: `config` is no study, or has more tasks than can be done.

    Example:
        >>> from toroids.study import StudyConfig, make_plan
        >>> solvers = {"sgd": {"method": "sgd"}, "sam": {"method": "sam"}}
        >>> text = {"name": "two", "seeds": [0, 1], "solvers": solvers}
        >>> plan = make_plan(StudyConfig.model_validate(text))
        >>> [task.label for task in plan.of_kind("train")]
        ['mlp-sgd-0', 'mlp-sgd-1', 'mlp-sam-0', 'mlp-sam-1']
    """
    check_number(config)
    shared = {
        "data": config.data.model_dump(mode="json"),
        "content": config.data.identity(),
        "device": config.device,
    }
    return Plan(tuple(_parts(config, shared)))


def _parts(config: StudyConfig, shared: dict[str, Any]) -> Iterator[Part]:
    counts = count_tasks(config)
    for name in config.networks:
        architecture = Architecture(config, name, shared)
        for kind in KINDS.values():
            if count := counts[name, kind.name]:
                yield Part(name, kind.name, count, partial(kind.plan, architecture))


def count_tasks(config: StudyConfig) -> Counter[tuple[str, str]]:
    """Counts the tasks of a study by architecture and kind, without making any."""
    asked = [Asked(config, name) for name in config.networks]
    return Counter({(x.name, kind.name): kind.count(x) for x in asked for kind in KINDS.values()})


def check_number(config: StudyConfig) -> None:
    """Raises where a study has more tasks than can be done.

    Raises:
        ConfigError: says how many, and of what.
    """
    counts = count_tasks(config)
    total = counts.total()
    if total > MOST_TASKS:
        (_, kind), most = counts.most_common(1)[0]
        raise ConfigError(
            f"the study {config.name} has {total:,} tasks, {most:,} of them of the kind {kind}, "
            f"for {len(config.seeds):,} seeds; at most {MOST_TASKS:,} can be planned: list fewer "
            "seeds, or make several studies."
        )
