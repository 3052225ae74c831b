"""From a study to its tasks: frozen, with explicit inputs, named by what determines their result.

    symmetry      finds and proves the group of an architecture
    train         trains one network
    measure       errors and flatness of one network
    pair          distances, alignment and profiles of two networks
    bend          trains the bend of a path between two networks
    section       error on the plane through three networks
    trajectory    error on the plane along one training

A setting that a task does not depend on is not among its settings: a study with other noise levels
trains no network anew, and one with a further seed measures only what is new.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Literal, overload

from toroids.arguments import checked, checked_methods
from toroids.design.config import StudyConfig
from toroids.design.config.digest import digest_file
from toroids.design.config.solvers import FilesConfig
from toroids.design.draw import combinations, drawn
from toroids.design.task import Task, canonical_json
from toroids.errors import ConfigError

# A run holds the row of every task in memory, some kilobytes each; pairs grow with the square of
# the networks, so that one zero too many among the seeds asks for more than any machine has.
MOST_TASKS = 200_000
Pair = tuple["Network", "Network"]


@dataclass(frozen=True)
class Network:
    """One network to train.

    Attributes:
        architecture: its name in the study.
        solver: the solver's name in the study.
        seed: as the study lists it.
    """

    architecture: str
    solver: str
    seed: int

    @property
    def name(self) -> str:
        """Unique within the study, and a file name."""
        return f"{self.architecture}-{self.solver}-{self.seed}"

    @property
    def random_seed(self) -> int:
        """Seed of everything random in its training, in [0, 2^32).

        It follows from solver and seed: with the listed seed itself, networks of two solvers would
        share their initialisation, and would be closer to each other for that reason alone.
        """
        return int.from_bytes(hashlib.sha256(f"{self.solver}-{self.seed}".encode()).digest()[:4])


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
    shared = {"data": config.data.model_dump(mode="json"), "content": config.data.identity()}
    parts: list[Part] = []
    for architecture in config.networks:
        parts += _Architecture(config, architecture, {**shared, "device": config.device}).parts()
    return Plan(tuple(parts))


def count_tasks(config: StudyConfig) -> Counter[tuple[str, str]]:
    """Counts the tasks of a study by architecture and kind, without making any."""
    seeds, counts = len(config.seeds), Counter[tuple[str, str]]()
    for name in config.networks:
        solvers = len(_solvers(config, name))
        networks = solvers * seeds
        counts[name, "symmetry"] = 1
        counts[name, "train"] = counts[name, "measure"] = networks
        counts[name, "pair"] = comb(networks, 2)
        counts[name, "bend"] = solvers * min(config.bends.count, comb(seeds, 2))
        counts[name, "section"] = solvers * min(config.sections.count, comb(seeds, 3))
        trained = len(_trained_here(config, name))
        counts[name, "trajectory"] = trained * min(config.sections.trajectories, seeds)
    return counts


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


def _solvers(config: StudyConfig, architecture: str) -> list[str]:
    return [key for key, solver in config.solvers.items() if solver.is_for(architecture)]


def _trained_here(config: StudyConfig, architecture: str) -> list[str]:
    """Solvers whose networks are not only read."""
    solvers = _solvers(config, architecture)
    return [key for key in solvers if not isinstance(config.solvers[key], FilesConfig)]


class _Architecture:
    """The tasks of one architecture."""

    def __init__(self, config: StudyConfig, name: str, shared: dict[str, Any]) -> None:
        network = config.networks[name]
        self.config, self.name, self.solvers = config, name, _solvers(config, name)
        self.networks = [Network(name, solver, s) for solver in self.solvers for s in config.seeds]
        self.shared = {
            **shared,
            "architecture": name,
            "network": network.model_dump(mode="json"),
            "identity": network.identity(),
        }
        self.group = Task("symmetry", name, self._text())
        self.trained = {network: self._train(network) for network in self.networks}

    def parts(self) -> Iterator[Part]:
        """Lists their kinds, inputs first."""
        makers: dict[str, Callable[[], Iterator[Task]]] = {
            "symmetry": lambda: iter((self.group,)),
            "train": lambda: iter(self.trained.values()),
            "measure": self._measured,
            "pair": self._pairs,
            "bend": self._bends,
            "section": self._sections,
            "trajectory": self._trajectories,
        }
        counts = count_tasks(self.config)
        for kind, make in makers.items():
            if counts[self.name, kind]:
                yield Part(self.name, kind, counts[self.name, kind], make)

    def _measured(self) -> Iterator[Task]:
        flatness = self.config.flatness.model_dump(mode="json", exclude={"reference"})
        text = self._text(flatness=flatness)
        for network in self.networks:
            yield self._on("measure", (network,), text)

    def _pairs(self) -> Iterator[Task]:
        alignment = self.config.alignment.method
        asked = self._text(profiles=self._profiles(), alignment=alignment)
        whole = self._text(profiles=self._profiles() | {"parts": True}, alignment=alignment)
        left = self._text(profiles=None, alignment=alignment)
        is_profiled = self._profiled()
        by_parts = set(self._drawn(2, self.config.profiles.parts, "parts"))
        for pair in itertools.combinations(self.networks, 2):
            text = whole if pair in by_parts else asked if is_profiled(pair) else left
            yield self._on("pair", pair, text)

    def _bends(self) -> Iterator[Task]:
        bends, alignment = self.config.bends, self.config.alignment.method
        text = self._text(profiles=self._profiles(), steps=bends.steps, alignment=alignment)
        for pair in self._drawn(2, bends.count, "bends"):
            yield self._on("bend", pair, text)

    def _sections(self) -> Iterator[Task]:
        sections, alignment = self.config.sections, self.config.alignment.method
        text = self._text(resolution=sections.resolution, alignment=alignment)
        for triple in self._drawn(3, sections.count, "sections"):
            yield self._on("section", triple, text)

    def _trajectories(self) -> Iterator[Task]:
        sections = self.config.sections
        for solver in _trained_here(self.config, self.name):
            for seed in self.config.seeds[: sections.trajectories]:
                network = Network(self.name, solver, seed)
                text = self._text(
                    **self._training(network),
                    resolution=sections.resolution,
                    checkpoints=sections.checkpoints,
                )
                yield self._on("trajectory", (network,), text)

    def _text(self, **settings: Any) -> str:
        return canonical_json({**self.shared, **settings})

    def _training(self, network: Network) -> dict[str, Any]:
        solver = self.config.solvers[network.solver]
        return {
            "solver_name": network.solver,
            "solver": solver.settings(),
            "seed": network.seed,
            "random_seed": network.random_seed,
        }

    def _train(self, network: Network) -> Task:
        solver, settings = self.config.solvers[network.solver], self._training(network)
        if isinstance(solver, FilesConfig):  # trained elsewhere: the weights determine the result
            file = solver.file(self.name, network.seed)
            settings |= {"file": str(file), "weights": digest_file(file)}
        return Task("train", network.name, self._text(**settings))

    def _on(self, kind: str, networks: Sequence[Network], text: str) -> Task:
        trained = [self.trained[network] for network in networks]
        inputs = (self.group.id, *(task.id for task in trained))
        return Task(kind, " ~ ".join(task.label for task in trained), text, inputs)

    def _profiles(self) -> dict[str, int]:
        """What a profile depends on; orders and blocks are of binary networks only."""
        profiles, binary = self.config.profiles, self.config.networks[self.name].binary
        found = {"points": profiles.points}
        return found | ({"orders": profiles.orders, "blocks": profiles.blocks} if binary else {})

    def _profiled(self) -> Callable[[Pair], bool]:
        """Draws the pairs that are profiled, and tells of each whether it is."""
        within, across = self.config.profiles.within, self.config.profiles.across
        chosen: set[tuple[Network, ...]] = set()
        if within != "all":
            chosen.update(self._drawn(2, within, "within"))
        if across != "all":
            for first, second in itertools.combinations(self.solvers, 2):
                chosen.update(self._across(first, second, across))

        def is_profiled(pair: Pair) -> bool:
            count = within if pair[0].solver == pair[1].solver else across
            return count == "all" or pair in chosen

        return is_profiled

    def _across(self, first: str, second: str, count: int) -> Iterator[Pair]:
        """Draws pairs of networks of two solvers."""
        seeds = self.config.seeds
        for rank in drawn(len(seeds) ** 2, count, f"across {first} {second}"):
            a, b = divmod(rank, len(seeds))
            yield Network(self.name, first, seeds[a]), Network(self.name, second, seeds[b])

    def _drawn(
        self, size: int, count: int | Literal["all"], what: str
    ) -> Iterator[tuple[Network, ...]]:
        """Draws combinations of networks within every solver."""
        for solver in self.solvers:
            own = [Network(self.name, solver, seed) for seed in self.config.seeds]
            ranks = drawn(comb(len(own), size), count, f"{what} {solver}")
            yield from combinations(own, size, ranks)
