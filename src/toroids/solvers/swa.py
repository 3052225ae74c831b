"""Stochastic weight averaging: the mean of the networks of the last epochs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from toroids.evaluation.batches import TensorPair
from toroids.landscape.recalibrate import recalibrate
from toroids.settings import Share
from toroids.solvers.recipe import Schedule
from toroids.solvers.sgd import SGD, Plain, nesterov
from toroids.solvers.training import Method


@dataclass(frozen=True, kw_only=True)
class SWA(SGD):
    """Stochastic weight averaging: `SGD`, and the mean of the weights over the last epochs.

    From the share `start` of the budget on, the result is the mean of the networks at the ends of
    epochs, the statistics of its batch norms estimated anew; before, it is the network itself.
    Error and loss of the history are those of the mean.

    Attributes:
        start: the share of the budget after which networks are averaged, in [0, 1); the other
            settings are those of `SGD`.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.SWA(budget=2).train(make_model, data, seed=0)
        >>> found.ended, found.gradient_steps
        ('budget', 4)

    Reference:
        P. Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018,
        arXiv 1803.05407; `torch.optim.swa_utils`.
    """

    schedule: Schedule = "constant"
    start: Share = 0.5

    def _method(self, models: list[nn.Module], data: TensorPair, seed: int) -> Method:
        (model,), first = models, self.start * self.budget
        return Averaged(model, nesterov(model, self), self.clip, data, first)


class Averaged(Plain):
    """One network, and the mean of what it was at the ends of epochs."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip: float | None,
        data: TensorPair,
        first: float,
    ) -> None:
        """Trains `model` in place; epochs before `first`, counted from 0, are left out."""
        super().__init__(model, optimizer, clip)
        self._data, self._first = data, first
        self._mean = AveragedModel(model, use_buffers=False)
        self._epoch = 0

    def begin(self, epoch: int, lr: float) -> float:
        """Sets the learning rate."""
        self._epoch = epoch + 1
        return super().begin(epoch, lr)

    def params(self) -> dict[str, Tensor]:
        """The mean over the ends of epochs so far; to be asked for once in an epoch."""
        if self._epoch <= self._first:
            return super().params()
        self._mean.update_parameters(self._model)
        means = {n: x.detach().clone() for n, x in self._mean.module.named_parameters()}
        return recalibrate(self._model, {**super().params(), **means}, self._data)

    def state(self) -> dict[str, Any]:
        """The network, what the optimizer remembers, and the mean."""
        return {**super().state(), "mean": self._mean.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state."""
        super().load(state)
        self._mean.load_state_dict(state["mean"])
