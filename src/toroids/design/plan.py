"""From a study to its tasks: frozen, with explicit inputs, named by what determines their result.

    symmetry      finds and proves the group of an architecture
    train         trains one network
    measure       errors and flatness of one network
    pair          distances, alignment and profiles of two networks
    bend          trains the bend of a path between two networks
    section       error on the plane through three networks

A setting that a task does not depend on is not among its settings: a study with other noise levels
trains no network anew, and one with a further seed measures only what is new.
"""

import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from toroids.design.config import StudyConfig
from toroids.design.config.digest import digest_file
from toroids.design.config.solvers import FilesConfig
from toroids.design.task import Task, canonical_json
from toroids.errors import ConfigError

Item = TypeVar("Item")


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
class Plan:
    """All tasks of a study, every one after its inputs.

    Attributes:
        tasks: in the order in which they are reported.

    See `make_plan` for an example.
    """

    tasks: tuple[Task, ...]

    def of_kind(self, kind: str) -> tuple[Task, ...]:
        """Lists the tasks of one kind."""
        return tuple(task for task in self.tasks if task.kind == kind)


def make_plan(config: StudyConfig) -> Plan:
    """Lists the tasks of `config`.

    Distances are measured for every pair of networks of an architecture; profiles for all pairs
    within a solver, or `profiles.within` of them, and for `profiles.across` pairs of every two
    solvers; bends for `bends.count` pairs and sections for `sections.count` triples within every
    solver. Those that are fewer than all are drawn without replacement by a fixed seed.

    Args:
        config: the study.

    Returns:
        By architecture: its group, networks, measurements, pairs, bends, sections.

    Raises:
        ConfigError: `config` is no study.

    Example:
        >>> from toroids.study import StudyConfig, make_plan
        >>> solvers = {"sgd": {"method": "sgd"}, "sam": {"method": "sam"}}
        >>> text = {"name": "two", "seeds": [0, 1], "solvers": solvers}
        >>> plan = make_plan(StudyConfig.model_validate(text))
        >>> [task.label for task in plan.of_kind("train")]
        ['mlp-sgd-0', 'mlp-sgd-1', 'mlp-sam-0', 'mlp-sam-1']
    """
    if not isinstance(config, StudyConfig):
        raise ConfigError(
            f"the study is a {type(config).__name__}; pass a StudyConfig, as load_config(path) "
            "reads it."
        )
    shared = {"data": config.data.model_dump(mode="json"), "content": config.data.identity()}
    tasks: list[Task] = []
    for architecture in config.networks:
        tasks += _Architecture(config, architecture, {**shared, "device": config.device}).tasks()
    return Plan(tuple(tasks))


class _Architecture:
    """The tasks of one architecture."""

    def __init__(self, config: StudyConfig, name: str, shared: dict[str, Any]) -> None:
        network = config.networks[name]
        self.config, self.name = config, name
        self.solvers = [key for key, solver in config.solvers.items() if solver.is_for(name)]
        self.networks = [Network(name, solver, s) for solver in self.solvers for s in config.seeds]
        self.shared = {
            **shared,
            "architecture": name,
            "network": network.model_dump(mode="json"),
            "identity": network.identity(),
        }
        self.group = self._task("symmetry", name)
        self.trained = {network: self._train(network) for network in self.networks}

    def tasks(self) -> Iterator[Task]:
        """Lists all of them, inputs first."""
        config = self.config
        yield self.group
        yield from self.trained.values()
        flatness = config.flatness.model_dump(mode="json", exclude={"reference"})
        for network in self.networks:
            yield self._on("measure", [network], flatness=flatness)
        profiled = self._profiled()
        alignment = config.alignment.method
        for a, b in itertools.combinations(self.networks, 2):
            asked = self._profiles() if (a, b) in profiled else None
            yield self._on("pair", [a, b], profiles=asked, alignment=alignment)
        profiles, steps = self._profiles(), config.bends.steps
        for a, b in self._drawn(2, config.bends.count, "bends"):
            yield self._on("bend", [a, b], profiles=profiles, steps=steps, alignment=alignment)
        resolution = config.sections.resolution
        for triple in self._drawn(3, config.sections.count, "sections"):
            yield self._on("section", triple, resolution=resolution, alignment=alignment)

    def _task(self, kind: str, label: str, *inputs: Task, **settings: Any) -> Task:
        text = canonical_json({**self.shared, **settings})
        return Task(kind, label, text, tuple(task.id for task in inputs))

    def _train(self, network: Network) -> Task:
        solver = self.config.solvers[network.solver]
        settings: dict[str, Any] = {
            "solver_name": network.solver,
            "solver": solver.model_dump(mode="json", exclude={"architectures"}),
            "seed": network.seed,
            "random_seed": network.random_seed,
        }
        if isinstance(solver, FilesConfig):  # trained elsewhere: the weights determine the result
            file = solver.file(self.name, network.seed)
            settings |= {"file": str(file), "weights": digest_file(file)}
        return self._task("train", network.name, **settings)

    def _on(self, kind: str, networks: Sequence[Network], **settings: Any) -> Task:
        label = " ~ ".join(network.name for network in networks)
        inputs = (self.group, *(self.trained[network] for network in networks))
        return self._task(kind, label, *inputs, **settings)

    def _profiles(self) -> dict[str, int]:
        """What a profile depends on; orders and blocks are of binary networks only."""
        profiles, binary = self.config.profiles, self.config.networks[self.name].binary
        found = {"points": profiles.points}
        return found | ({"orders": profiles.orders, "blocks": profiles.blocks} if binary else {})

    def _profiled(self) -> set[tuple[Network, Network]]:
        """Draws the pairs that are profiled."""
        profiles = self.config.profiles
        chosen = set(self._drawn(2, profiles.within, "within"))
        for first, second in itertools.combinations(self.solvers, 2):
            candidates = [
                (a, b)
                for a, b in itertools.combinations(self.networks, 2)
                if (a.solver, b.solver) == (first, second)
            ]
            chosen.update(_sample(candidates, profiles.across, f"across {first} {second}"))
        return {(a, b) for a, b in chosen}

    def _drawn(self, size: int, count: int | Literal["all"], what: str) -> list[tuple[Any, ...]]:
        """Draws combinations of networks within every solver."""
        found: list[tuple[Network, ...]] = []
        for solver in self.solvers:
            own = [network for network in self.networks if network.solver == solver]
            candidates = list(itertools.combinations(own, size))
            found += _sample(candidates, count, f"{what} {solver}")
        return found


def _sample(candidates: Sequence[Item], count: int | Literal["all"], what: str) -> Sequence[Item]:
    """Draws `count` of the candidates, in their order; the seed depends on what is drawn only."""
    if count == "all" or count >= len(candidates):
        return candidates
    kept = sorted(random.Random(what).sample(range(len(candidates)), count))
    return [candidates[number] for number in kept]
