"""A run opened for reading: its rows, and what they were measured on."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from toroids.arguments.checked import checked, checked_methods
from toroids.data import Dataset
from toroids.design.config import StudyConfig
from toroids.errors import ToroidsError
from toroids.params import Params
from toroids.statistics.measured import Symmetry
from toroids.statistics.row import Row
from toroids.study.rows import config_of, rows_of
from toroids.study.sealed import load_network
from toroids.study.store import Store, tasks_of
from toroids.symmetry.group import SymmetryGroup


@checked
def open_run(folder: str | Path) -> "OpenRun":
    """Opens a run for reading; nothing of it is ever unpickled.

    See `run_study` for an example.

    Args:
        folder: a run, as `run_study` leaves it, finished or not.

    Returns:
        Its rows, networks and groups.

    Raises:
        ToroidsError: there is no run, or it has another format.
    """
    store = Store(folder)
    return OpenRun(store, config_of(store))


@checked_methods
@dataclass(frozen=True)
class OpenRun:
    """A run on disk.

    See `run_study` for an example.

    Attributes:
        store: of its files.
        config: of its study.
    """

    store: Store
    config: StudyConfig

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.store.folder

    @cached_property
    def rows(self) -> list[Row]:
        """All rows, as `read_rows` gives them, at the time when they are first asked for."""
        return rows_of(self.store)

    def params(self, name: str) -> Params:
        """Reads a network by its name, as "mlp-sgd-0".

        Returns:
            Its parameters and buffers, on the CPU.

        Raises:
            ToroidsError: there is no such network, or its file is missing, damaged or a pickle.
        """
        for task in tasks_of(self.store.manifest()):
            if task.kind == "train" and task.label == name:
                path = self.store.weights(task)
                if path is not None:
                    return load_network(path)
        raise ToroidsError(f"`{self.folder}` has no network {name!r}; `toroids show` lists them.")

    def group(self, architecture: str) -> SymmetryGroup:
        """The symmetry group of an architecture, as it was found and proven.

        Returns:
            The group.

        Raises:
            ToroidsError: there is no such architecture, or its group has not been found yet.
        """
        for row in self.rows:
            if isinstance(row, Symmetry) and row.architecture == architecture:
                return SymmetryGroup.from_json(row.group)
        raise ToroidsError(f"`{self.folder}` holds no group of an architecture {architecture!r}.")

    def data(self) -> Dataset:
        """Loads the data set of the study."""
        return self.config.data.load()

    def model(self, architecture: str) -> nn.Module:
        """Builds an architecture of the study.

        Returns:
            A network, initialised by seed 0.

        Raises:
            ToroidsError: there is no such architecture.
        """
        if architecture not in self.config.networks:
            raise ToroidsError(
                f"the study has no architecture {architecture!r}; choose from "
                f"{', '.join(self.config.networks)}."
            )
        return self.config.networks[architecture].build(self.data(), 0)
