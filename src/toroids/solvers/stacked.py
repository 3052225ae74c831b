"""Replicas computed as one batch: a small network alone does not fill a GPU.

All replicas' weights are stacked along a first axis, over which the forward and the backward pass
are batched by `torch.func.vmap`; the steps are those of replicas one after the other, up to
rounding. Networks whose forward pass draws random numbers or keeps statistics are left out.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from toroids.binary.layers import latents
from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.evaluation.metrics import mean_cross_entropy
from toroids.evaluation.running import owners_of, select_output
from toroids.landscape.recalibrate import batch_norms
from toroids.params import rows
from toroids.solvers.sgd import SGD
from toroids.solvers.training import Method, set_lr, snapshot

RANDOM = (nn.modules.dropout._DropoutNd, nn.RNNBase)


class Stacked(Method):
    """Coupled networks, the weights of all in one tensor per name."""

    def __init__(self, models: list[nn.Module], recipe: SGD, coupling: tuple[float, float]) -> None:
        """Begins at the weights of `models`, which are left as they are.

        Raises:
            ToroidsError: the networks cannot be run as one batch.
        """
        if not can_stack(models[0]):
            raise ToroidsError(
                "networks with batch norms, dropout or recurrent layers cannot be trained in one "
                "batch; pass together=False."
            )
        self._model, self._recipe, self._coupling = models[0], recipe, coupling
        named = [dict(model.named_parameters()) for model in models]
        self._weights = {
            name: torch.stack([own[name].detach() for own in named]).requires_grad_()
            for name in named[0]
        }
        self._optimizer = torch.optim.SGD(
            self._weights.values(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )
        self._gamma = coupling[0]

    def begin(self, epoch: int, lr: float) -> float:
        """Sets the learning rate and the coupling."""
        set_lr(self._optimizer, lr)
        self._gamma = self._recipe.growing(self._coupling, epoch)
        return self._gamma

    def step(self, batches: tuple[TensorPair, ...]) -> Tensor:
        """Takes one coupled step."""
        inputs, labels = (torch.stack(parts) for parts in zip(*batches, strict=True))

        def loss_of(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            outputs = functional_call(self._model, weights, (x,))
            return mean_cross_entropy(select_output(outputs), y)

        losses = torch.vmap(loss_of)(self._weights, inputs, labels)
        weights = list(self._weights.values())
        gradients = torch.autograd.grad(losses.sum(), weights, materialize_grads=True)
        with torch.no_grad():
            shares = self._clipped(gradients)
            for weight, gradient in zip(weights, gradients, strict=True):
                scaled = gradient if shares is None else gradient * _along(shares, gradient)
                weight.grad = scaled + self._gamma * (weight - weight.mean(dim=0))
        self._optimizer.step()
        return losses.detach().mean()

    def _clipped(self, gradients: tuple[Tensor, ...]) -> Tensor | None:
        """What every replica's gradient is multiplied by, as `clip_grad_norm_` does."""
        if self._recipe.clip is None:
            return None
        norms = torch.stack([rows(g).norm(dim=1) for g in gradients]).norm(dim=0)
        shares: Tensor = (self._recipe.clip / (norms + 1e-6)).clamp(max=1.0)
        return shares

    def params(self) -> dict[str, Tensor]:
        """The centre."""
        centre = {name: weight.detach().mean(dim=0) for name, weight in self._weights.items()}
        shared = {name: centre[owner] for name, owner in owners_of(self._model).items()}
        return {**snapshot(self._model), **shared}

    def state(self) -> dict[str, Any]:
        """All replicas and what the optimizer remembers."""
        weights = {name: weight.detach().clone() for name, weight in self._weights.items()}
        return {"weights": weights, "optimizer": self._optimizer.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(state["weights"][name])
        self._optimizer.load_state_dict(state["optimizer"])


def can_stack(model: nn.Module) -> bool:
    """Whether a network draws no random numbers, keeps no statistics and has no latent weights."""
    plain = not batch_norms(model) and not latents(model)
    return plain and not any(isinstance(m, RANDOM) for m in model.modules())


def _along(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))
