"""Stochastic weight averaging: the mean of the networks of the last epochs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from toroids.arguments import checked
from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.landscape.recalibrate import recalibrate
from toroids.solvers.recipe import Recipe
from toroids.solvers.session import Session
from toroids.solvers.sgd import Plain, nesterov
from toroids.solvers.training import MakeModel, Trained, prepare, trained


@checked
def swa(
    make_model: MakeModel,
    data: TensorPair,
    seed: int,
    budget: int = 60,
    *,
    start: float = 0.5,
    hold: int = 1,
    batch_size: int = 50,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    schedule: str = "constant",
    clip: float | None = None,
    seconds: float | None = None,
    device: str | torch.device = "cpu",
    checkpoint: str | Path | None = None,
) -> Trained:
    """Trains one network by `sgd` and averages its weights over the last epochs.

    From the share `start` of the budget on, the result is the mean of the networks at the ends of
    epochs; before, it is the network itself.

    Args:
        make_model: builds a network initialised by the seed it is given.
        data: inputs (n, ...) and labels (n,).
        seed: of the initialisation and of the mini-batches.
        budget: epochs at most.
        start: the share of the budget after which networks are averaged, in [0, 1).
        hold: consecutive epochs of zero train error that end the training.
        batch_size: examples per mini-batch.
        lr: learning rate at the start.
        momentum: Nesterov momentum, in [0, 1).
        weight_decay: L2 penalty.
        schedule: "cosine", "constant" or "step", as in `Recipe`.
        clip: largest norm of the gradient over all weights; no limit when None.
        seconds: wall time after which the training ends; no limit when None.
        device: where to train.
        checkpoint: a file that is written after epochs, and gone on from where it is there.

    Returns:
        The averaged network, the statistics of its batch norms estimated anew; error and loss of
        the history are its own.

    Raises:
        DataError: no examples, unequal numbers of inputs and labels, or data that do not fit the
            network.
        ToroidsError: a setting out of range, or a checkpoint of another training.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.swa(make_model, data, seed=0, budget=2)
        >>> found.ended, found.gradient_steps
        ('budget', 4)

    Reference:
        P. Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018,
        arXiv 1803.05407; `torch.optim.swa_utils`.
    """
    if not 0 <= start < 1:
        raise ToroidsError(f"start is {start}; pass a share of the budget, in [0, 1).")
    recipe = Recipe(budget, hold, batch_size, lr, momentum, weight_decay, schedule, clip, seconds)
    (model,), data = prepare(make_model, data, [seed], device)
    settings = {"solver": "swa", "recipe": recipe, "seed": seed, "start": start}
    session = Session(settings, data, checkpoint)
    method = Averaged(model, nesterov(model, recipe), clip, data, start * budget)
    return trained(session.run(method, model, data, recipe, [seed]))


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
