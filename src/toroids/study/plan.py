"""From a study to its tasks: which networks to train, which pairs to measure."""

import hashlib
import itertools
import random
from dataclasses import dataclass

from toroids.study.config import StudyConfig


@dataclass(frozen=True)
class Network:
    """One network to train.

    Attributes:
        solver: the solver's name in the study.
        seed: as the study lists it.
    """

    solver: str
    seed: int

    @property
    def name(self) -> str:
        """Unique within the study, and a file name."""
        return f"{self.solver}-{self.seed}"

    @property
    def random_seed(self) -> int:
        """Seed of everything random in its training, in [0, 2^32).

        It follows from the name: with the listed seed itself, networks of two solvers would share
        their initialisation, and would be closer to each other for that reason alone.
        """
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4])


@dataclass(frozen=True)
class Pair:
    """Two networks to compare; `b` is aligned to `a`.

    Attributes:
        a: the network that stays.
        b: the network that moves.
        profiled: whether error profiles are measured, besides distances.
        bent: whether a path over a trained bend is among them.
    """

    a: Network
    b: Network
    profiled: bool
    bent: bool = False


@dataclass(frozen=True)
class Plan:
    """All tasks of a study, in the order in which they run."""

    networks: tuple[Network, ...]
    pairs: tuple[Pair, ...]


def make_plan(config: StudyConfig) -> Plan:
    """Lists the tasks of `config`.

    Distances are measured for every pair of networks; profiles for every pair within a solver and,
    for every two solvers, for `profiles.across` pairs drawn without replacement by a fixed seed; a
    bend is trained for `profiles.bends` pairs within every solver.

    Args:
        config: the study.

    Returns:
        Networks by solver, then seed; pairs in the order of their networks.
    """
    networks = tuple(Network(solver, seed) for solver in config.solvers for seed in config.seeds)
    chosen: set[tuple[Network, Network]] = set()
    bent: set[tuple[Network, Network]] = set()
    draw = random.Random(0)
    for first, second in itertools.combinations(config.solvers, 2):
        candidates = [
            (a, b)
            for a, b in itertools.combinations(networks, 2)
            if (a.solver, b.solver) == (first, second)
        ]
        chosen.update(draw.sample(candidates, min(config.profiles.across, len(candidates))))
    for solver in config.solvers:
        own = itertools.combinations([n for n in networks if n.solver == solver], 2)
        candidates = list(own)
        bent.update(draw.sample(candidates, min(config.profiles.bends, len(candidates))))
    pairs = tuple(
        Pair(a, b, profiled=a.solver == b.solver or (a, b) in chosen, bent=(a, b) in bent)
        for a, b in itertools.combinations(networks, 2)
    )
    return Plan(networks, pairs)
