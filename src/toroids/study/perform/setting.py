"""What a task works on: data, architecture, group, device; kept from one task to the next."""

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from pydantic import TypeAdapter
from torch import nn

from toroids.data import Dataset
from toroids.design.config import DataConfig, NetworkConfig
from toroids.design.task import canonical_json
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.passes import Passes
from toroids.geometry.manifold import manifold_of
from toroids.landscape.recalibrate import batch_norms
from toroids.statistics.measured import Symmetry, Training
from toroids.statistics.row import Plain
from toroids.symmetry.group import SymmetryGroup

# A worker does tasks of a few architectures in turn: what is costly to make is kept for them.
KEPT = 4


class Setting:
    """The settings of one task, and what they mean."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        symmetry: Symmetry | None = None,
        trained: Sequence[Training] = (),
    ) -> None:
        """Reads the settings of a task.

        Args:
            settings: of the task.
            symmetry: of the architecture, as it was found; None where the task needs none.
            trained: its networks.
        """
        self.settings, self.symmetry, self.trained = settings, symmetry, trained
        self.device: str = settings["device"]
        self.architecture: str = settings["architecture"]

    def __getitem__(self, key: str) -> Any:
        """One of the settings."""
        return self.settings[key]

    @property
    def binary(self) -> bool:
        """Whether the architecture's weights are -1 and +1."""
        return _network(canonical_json(self["network"])).binary

    @cached_property
    def data(self) -> Dataset:
        """The data set, on the device."""
        return _data(canonical_json(self["data"]), self.device)

    @property
    def examples(self) -> int:
        """How many are trained on."""
        return len(self.data.train[1])

    @cached_property
    def model(self) -> nn.Module:
        """The architecture, on the device."""
        return _model(canonical_json(self["network"]), canonical_json(self["data"]), self.device)

    @cached_property
    def group(self) -> SymmetryGroup:
        """The symmetry group, which the first input found."""
        assert self.symmetry is not None
        return _group(self.symmetry.group)

    @cached_property
    def landscape(self) -> Landscape:
        """Of the training examples, on the manifold of the architecture's networks."""
        return Landscape(self.model, self.data.train, on=manifold_of(self.group))

    def make_model(self, seed: int) -> nn.Module:
        """Builds a network of the architecture, on the CPU."""
        data = _data(canonical_json(self["data"]), "cpu")
        return _network(canonical_json(self["network"])).build(data, seed)

    def along(self, points: int) -> Passes:
        """What the error at some points of a path or a plane takes."""
        again = 2 if batch_norms(self.model) else 1  # statistics are estimated at each of them
        return Passes(forward=again * points)

    def labels(self) -> Plain:
        """Says which networks a result is about; how long it took is known when it is there."""
        names = [row.name for row in self.trained]
        solvers = [row.solver for row in self.trained]
        found: Plain = {"architecture": self.architecture, "seconds": 0.0}
        if not names:
            return found
        if len(names) == 1:
            return found | {"name": names[0], "solver": solvers[0], "seed": self.trained[0].seed}
        if len(names) == 2:
            ends, of = dict(zip("ab", names, strict=True)), ("solver_a", "solver_b")
            return found | ends | dict(zip(of, solvers, strict=True))
        return found | {"networks": names, "solvers": solvers}


@lru_cache(KEPT)
def _data(text: str, device: str) -> Dataset:
    config: DataConfig = TypeAdapter(DataConfig).validate_json(text)
    return config.load().to(device)


@lru_cache(KEPT)
def _network(text: str) -> NetworkConfig:
    config: NetworkConfig = TypeAdapter(NetworkConfig).validate_json(text)
    return config


@lru_cache(KEPT)
def _model(network: str, data: str, device: str) -> nn.Module:
    return _network(network).build(_data(data, "cpu"), 0).to(device)


@lru_cache(KEPT)
def _group(text: str) -> SymmetryGroup:
    return SymmetryGroup.from_json(text)
