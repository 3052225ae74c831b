"""Stochastic gradient descent with Nesterov momentum."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from toroids.binary.layers import clamped
from toroids.evaluation.batches import TensorPair
from toroids.settings import NonNegative, Share
from toroids.solvers.solver import Descent
from toroids.solvers.training import Method, backward, set_lr, snapshot


@dataclass(frozen=True, kw_only=True)
class SGD(Descent):
    """Stochastic gradient descent with Nesterov momentum.

    With g the mini-batch gradient of the cross-entropy plus weight_decay w, and mu the momentum,
    v <- mu v + g and w <- w - lr_e (g + mu v) with lr_e = lr (1 + cos(pi epoch / budget)) / 2.

    Attributes:
        momentum: Nesterov momentum, in [0, 1).
        weight_decay: L2 penalty; the other settings are those of `Recipe`.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.SGD(budget=2).train(make_model, data, seed=0)
        >>> found.ended, len(found.history), found.history[-1].epoch
        ('budget', 2, 2)

    Reference:
        Y. Nesterov, 1983; I. Loshchilov, F. Hutter, SGDR, 2017, arXiv 1608.03983.
    """

    momentum: Share = 0.9
    weight_decay: NonNegative = 0.0

    def _method(self, models: list[nn.Module], data: TensorPair, seed: int) -> Method:
        return Plain(models[0], nesterov(models[0], self), self.clip)


def nesterov(model: nn.Module, recipe: SGD) -> torch.optim.SGD:
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
