"""A solver: a frozen value that holds the settings of a training algorithm, and trains."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from toroids.arguments.checked import checked_methods
from toroids.evaluation.batches import TensorPair
from toroids.evaluation.passes import Passes
from toroids.solvers.recipe import Recipe
from toroids.solvers.session import Session
from toroids.solvers.training import MakeModel, Method, Phase, Trained, prepare, trained


class Solver(ABC):
    """A training algorithm with all its settings.

    Attributes:
        name: the word for the algorithm in a study file: that of the class, in lower case.

    See `SGD` for an example.
    """

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    @abstractmethod
    def train(self, make_model: MakeModel, data: TensorPair, seed: int) -> Trained:
        """Trains one network."""


@checked_methods
@dataclass(frozen=True, kw_only=True)
class Descent(Recipe, Solver):
    """A solver that descends gradients on mini-batches; its settings are those of `Recipe`.

    A subclass adds its own settings, and the method that is done to the networks.

    See `SGD` for an example.
    """

    def train(
        self,
        make_model: MakeModel,
        data: TensorPair,
        seed: int,
        *,
        device: str | torch.device = "cpu",
        checkpoint: str | Path | None = None,
    ) -> Trained:
        """Trains one network.

        Args:
            make_model: builds a network initialised by the seed it is given.
            data: inputs (n, ...) and labels (n,).
            seed: of the initialisation, of the mini-batches and of all that the solver draws.
            device: where to train.
            checkpoint: a file that is written after epochs, and gone on from where it is there.

        Returns:
            The network after the last epoch.

        Raises:
            DataError: no examples, unequal numbers of inputs and labels, or data that do not fit
                the network.
            ToroidsError: no such device, or a checkpoint of another training.
        """
        seeds = self._seeds(seed)
        models, data = prepare(make_model, data, seeds, device)
        session = Session({"solver": self.name, "seeds": seeds, **self._own()}, data, checkpoint)
        return trained(*self._phases(session, models, data, seeds))

    def passes(self, examples: int) -> Passes:
        """Counts the passes through the network that a training makes at most.

        Args:
            examples: how many are trained on.

        Returns:
            Gradients on mini-batches, and an evaluation of all examples after every epoch.
        """
        steps = self.budget * -(-examples // self.batch_size)
        return Passes(steps * self.gradients, self.batch_size, self.budget, self.seconds)

    def _own(self) -> dict[str, Any]:
        """The settings that decide where a training goes; how long it may take is none."""
        names = [field.name for field in fields(self) if field.name != "seconds"]
        return {name: getattr(self, name) for name in names}

    def _seeds(self, seed: int) -> list[int]:
        """Seeds of the networks that are trained together."""
        return [seed]

    def _phases(
        self, session: Session, models: list[nn.Module], data: TensorPair, seeds: Sequence[int]
    ) -> list[Phase]:
        """Runs the phases of the training, of which the last one's network counts."""
        method = self._method(models, data, seeds[0])
        return [session.run(method, models[0], data, self, seeds)]

    @abstractmethod
    def _method(self, models: list[nn.Module], data: TensorPair, seed: int) -> Method:
        """What is done to the networks, which are as they were initialised."""
