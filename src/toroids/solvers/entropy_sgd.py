"""Entropy-SGD: a local average of the network, by Langevin dynamics, is what descends."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from toroids.evaluation.batches import TensorPair
from toroids.landscape.recalibrate import recalibrate
from toroids.settings import Count, NonNegative, Positive, Share
from toroids.solvers.solver import Descent
from toroids.solvers.training import Method, backward, snapshot


@dataclass(frozen=True, kw_only=True)
class EntropySGD(Descent):
    """Entropy-SGD.

    Around the outer network w, an inner one x takes `inner_steps` steps of Langevin dynamics, each
    on its own mini-batch with gradient g at x,

        x <- x - lr_e [g + gamma (x - w)] + sqrt(lr_e) noise z,    z ~ N(0, 1) per weight,
        m <- averaging m + (1 - averaging) x,

    where x and m begin at w; then w <- w - outer (w - m), the step to the inner mean for outer = 1.
    gamma grows from scope[0] to scope[1] as a geometric sequence over the epochs of the budget,
    which are counted in gradients of inner steps. The result is the outer network, the statistics
    of its batch norms estimated anew.

    Attributes:
        inner_steps: steps of the inner network per step of the outer one.
        scope: gamma in the first and in the last epoch, both positive.
        noise: size of the Langevin noise.
        averaging: share of the mean that is kept at an inner step, in [0, 1).
        outer: size of the outer step, in (0, 1].
        weight_decay: L2 penalty, on the inner network; the other settings are those of `Recipe`.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.EntropySGD(budget=2).train(make_model, data, seed=0)
        >>> found.ended, found.gradient_steps
        ('budget', 4)

    Reference:
        P. Chaudhari et al., Entropy-SGD: Biasing Gradient Descent Into Wide Valleys, 2017,
        arXiv 1611.01838; F. Pittorino et al., 2021, arXiv 2006.07897.
    """

    weight_decay: NonNegative = 0.0
    inner_steps: Count = 5
    scope: tuple[Positive, Positive] = (0.01, 1.0)
    noise: NonNegative = 1e-4
    averaging: Share = 0.75
    outer: Annotated[float, Gt(0), Le(1)] = 1.0

    def _method(self, models: list[nn.Module], data: TensorPair, seed: int) -> Method:
        return Entropy(models[0], data, self, seed)


class Entropy(Method):
    """The inner network, which is the model itself, its mean, and the outer network."""

    def __init__(self, model: nn.Module, data: TensorPair, settings: EntropySGD, seed: int) -> None:
        """Trains `model` in place."""
        self._model, self._data, self._settings = model, data, settings
        self._weights = list(model.parameters())
        self._names = [name for name, _ in model.named_parameters()]
        self._outer = [weight.detach().clone() for weight in self._weights]
        self._mean = [weight.detach().clone() for weight in self._weights]
        self._taken, self._lr, self._gamma = 0, settings.lr, settings.scope[0]
        # a stream of its own, apart from the mini-batches
        self._generator = torch.Generator().manual_seed(seed + 1_000_003)

    def begin(self, epoch: int, lr: float) -> float:
        """Sets the learning rate and the scope."""
        self._lr = lr
        self._gamma = self._settings.growing(self._settings.scope, epoch)
        return self._gamma

    @torch.no_grad()
    def step(self, batches: tuple[TensorPair, ...]) -> Tensor:
        """Takes one inner step, and after `inner_steps` of them an outer one."""
        own = self._settings
        with torch.enable_grad():
            loss = backward(self._model, batches[0], own.clip)
        kept, spread = own.averaging, math.sqrt(self._lr) * own.noise
        for x, w, m in zip(self._weights, self._outer, self._mean, strict=True):
            if x.grad is not None:
                gradient = x.grad + self._gamma * (x - w) + own.weight_decay * x
                z = torch.randn(x.shape, generator=self._generator).to(x) if spread else 0.0
                x.sub_(self._lr * gradient).add_(spread * z)
            m.mul_(kept).add_((1 - kept) * x)
        self._taken += 1
        if self._taken == own.inner_steps:
            self._taken = 0
            for x, w, m in zip(self._weights, self._outer, self._mean, strict=True):
                w.lerp_(m, own.outer)
                x.copy_(w)
                m.copy_(w)
        return loss

    def params(self) -> dict[str, Tensor]:
        """The outer network."""
        outer = dict(zip(self._names, (w.clone() for w in self._outer), strict=True))
        # names that share a parameter share the outer one
        owners = {id(weight): name for name, weight in self._model.named_parameters()}
        named = self._model.named_parameters(remove_duplicate=False)
        shared = {name: outer[owners[id(weight)]] for name, weight in named}
        return recalibrate(self._model, {**snapshot(self._model), **shared}, self._data)

    def state(self) -> dict[str, Any]:
        """Both networks, the mean, and the generator of the noise."""
        return {
            "model": snapshot(self._model),
            "outer": self._outer,
            "mean": self._mean,
            "taken": self._taken,
            "noise": self._generator.get_state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state."""
        self._model.load_state_dict(state["model"])
        for own, saved in ((self._outer, state["outer"]), (self._mean, state["mean"])):
            for tensor, value in zip(own, saved, strict=True):
                tensor.copy_(value)
        self._taken = state["taken"]
        self._generator.set_state(state["noise"])
