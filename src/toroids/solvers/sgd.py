"""Stochastic gradient descent with Nesterov momentum."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toroids.arguments import checked
from toroids.binary.layers import clamped
from toroids.evaluation.batches import TensorPair
from toroids.solvers.recipe import Recipe
from toroids.solvers.session import Session
from toroids.solvers.training import (
    MakeModel,
    Method,
    Trained,
    backward,
    prepare,
    set_lr,
    snapshot,
    trained,
)


@checked
def sgd(
    make_model: MakeModel,
    data: TensorPair,
    seed: int,
    budget: int = 60,
    *,
    hold: int = 1,
    batch_size: int = 50,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    clip: float | None = None,
    seconds: float | None = None,
    device: str | torch.device = "cpu",
    checkpoint: str | Path | None = None,
) -> Trained:
    """Trains one network by stochastic gradient descent.

    With g the mini-batch gradient of the cross-entropy plus weight_decay w, and mu the momentum,
    v <- mu v + g and w <- w - lr_e (g + mu v) with lr_e = lr (1 + cos(pi epoch / budget)) / 2.

    Args:
        make_model: builds a network initialised by the seed it is given.
        data: inputs (n, ...) and labels (n,).
        seed: of the initialisation and of the mini-batches.
        budget: epochs at most.
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
        The network after the last epoch.

    Raises:
        DataError: no examples, unequal numbers of inputs and labels, or data that do not fit the
            network.
        ToroidsError: a setting out of range, or a checkpoint of another training.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.sgd(make_model, data, seed=0, budget=2)
        >>> found.ended, len(found.history), found.history[-1].epoch
        ('budget', 2, 2)

    Reference:
        Y. Nesterov, 1983; I. Loshchilov, F. Hutter, SGDR, 2017, arXiv 1608.03983.
    """
    recipe = Recipe(budget, hold, batch_size, lr, momentum, weight_decay, schedule, clip, seconds)
    (model,), data = prepare(make_model, data, [seed], device)
    session = Session({"solver": "sgd", "recipe": recipe, "seed": seed}, data, checkpoint)
    method = Plain(model, nesterov(model, recipe), clip)
    return trained(session.run(method, model, data, recipe, [seed]))


def nesterov(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """Descent with a recipe's Nesterov momentum and decay; latent weights are kept in [-1, 1]."""
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )
    clamped(optimizer, model)
    return optimizer


class Plain(Method):
    """One network and an optimizer of torch."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, clip: float | None
    ) -> None:
        """Trains `model` in place."""
        self._model, self._optimizer, self._clip = model, optimizer, clip

    def begin(self, epoch: int, lr: float) -> float:
        """Sets the learning rate."""
        set_lr(self._optimizer, lr)
        return 0.0

    def step(self, batches: tuple[TensorPair, ...]) -> Tensor:
        """Takes the optimizer's step."""
        loss = backward(self._model, batches[0], self._clip)
        self._optimizer.step()
        return loss

    def params(self) -> dict[str, Tensor]:
        """The network."""
        return snapshot(self._model)

    def state(self) -> dict[str, Any]:
        """The network and what the optimizer remembers."""
        return {"model": snapshot(self._model), "optimizer": self._optimizer.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state."""
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
