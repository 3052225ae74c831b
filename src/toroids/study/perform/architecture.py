"""What a study asks of one architecture: its networks, and how tasks on them are made."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Literal

from toroids.design.config import StudyConfig
from toroids.design.config.digest import digest_file
from toroids.design.config.solvers import FilesConfig
from toroids.design.draw import combinations, drawn
from toroids.design.task import Task, canonical_json


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


class Asked:
    """What a study asks of one architecture, before anything is made for it.

    Attributes:
        config: the study.
        name: of the architecture in the study.
        solvers: those that are for it.
        trained_here: those of them whose networks are not only read.
    """

    def __init__(self, config: StudyConfig, name: str) -> None:
        """Finds its solvers."""
        self.config, self.name = config, name
        self.solvers = [key for key, solver in config.solvers.items() if solver.is_for(name)]
        self.trained_here = [
            key for key in self.solvers if not isinstance(config.solvers[key], FilesConfig)
        ]

    @property
    def count(self) -> int:
        """How many networks it has."""
        return len(self.solvers) * len(self.config.seeds)

    def within(self, size: int, count: int) -> int:
        """How many combinations of so many networks are drawn within all solvers."""
        return len(self.solvers) * min(count, comb(len(self.config.seeds), size))


class Architecture(Asked):
    """The networks of one architecture, and the tasks on them."""

    def __init__(self, config: StudyConfig, name: str, shared: dict[str, Any]) -> None:
        """Makes the tasks that others need.

        Args:
            config: the study.
            name: of the architecture in the study.
            shared: settings that all tasks of the study have.
        """
        super().__init__(config, name)
        network = config.networks[name]
        self.networks = [Network(name, solver, s) for solver in self.solvers for s in config.seeds]
        self._shared = {
            **shared,
            "architecture": name,
            "network": network.model_dump(mode="json"),
            "identity": network.identity(),
        }
        self.group = Task("symmetry", name, self.text())
        self.trained = {network: self._train(network) for network in self.networks}

    def text(self, **settings: Any) -> str:
        """The settings of a task besides those that all have, as canonical JSON."""
        return canonical_json({**self._shared, **settings})

    def on(self, kind: str, networks: Sequence[Network], text: str) -> Task:
        """A task on some networks, after their trainings and the group."""
        trained = [self.trained[network] for network in networks]
        inputs = (self.group.id, *(task.id for task in trained))
        return Task(kind, " ~ ".join(task.label for task in trained), text, inputs)

    def drawn(
        self, size: int, count: int | Literal["all"], what: str
    ) -> Iterator[tuple[Network, ...]]:
        """Draws combinations of networks within every solver."""
        for solver in self.solvers:
            own = [Network(self.name, solver, seed) for seed in self.config.seeds]
            ranks = drawn(comb(len(own), size), count, f"{what} {solver}")
            yield from combinations(own, size, ranks)

    def training(self, network: Network) -> dict[str, Any]:
        """The settings of a training."""
        solver = self.config.solvers[network.solver]
        return {
            "solver_name": network.solver,
            "solver": solver.settings(),
            "seed": network.seed,
            "random_seed": network.random_seed,
        }

    def profiles(self) -> dict[str, int]:
        """What a profile depends on; orders and blocks are of binary networks only."""
        profiles, binary = self.config.profiles, self.config.networks[self.name].binary
        found = {"points": profiles.points}
        return found | ({"orders": profiles.orders, "blocks": profiles.blocks} if binary else {})

    def _train(self, network: Network) -> Task:
        solver, settings = self.config.solvers[network.solver], self.training(network)
        if isinstance(solver, FilesConfig):  # trained elsewhere: the weights determine the result
            file = solver.file(self.name, network.seed)
            settings |= {"file": str(file), "weights": digest_file(file)}
        return Task("train", network.name, self.text(**settings))
