"""Sharpness-aware minimisation: the gradient is taken where the loss near by is worst."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from toroids.evaluation.batches import TensorPair
from toroids.landscape.recalibrate import batch_norms
from toroids.settings import Positive
from toroids.solvers.sgd import SGD, Plain, nesterov
from toroids.solvers.training import Method, backward


@dataclass(frozen=True, kw_only=True)
class SAM(SGD):
    """Sharpness-aware minimisation.

    With g the mini-batch gradient at w, the step is that of `SGD` with the gradient at w + e,

        e = rho g / ||g||,    or, adaptive,    e = rho w^2 g / || |w| g ||,

    where products are taken weight by weight; the adaptive ball does not depend on the scale of
    units. The weight decay counts at w, and `clip` limits the second gradient. Batch norms keep the
    statistics of the first one.

    Attributes:
        rho: radius of the ball in which the worst loss is looked for.
        adaptive: whether the ball is scaled by the weights (ASAM); the other settings are those of
            `SGD`.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.SAM(budget=2).train(make_model, data, seed=0)
        >>> found.ended, found.gradient_steps
        ('budget', 8)

    Reference:
        P. Foret et al., 2021, arXiv 2010.01412; J. Kwon et al., ASAM, 2021, arXiv 2102.11600.
    """

    rho: Positive = 0.05
    adaptive: bool = False

    @property
    def gradients(self) -> int:
        """Two: here, and at the worst point near by."""
        return 2

    def _method(self, models: list[nn.Module], data: TensorPair, seed: int) -> Method:
        (model,) = models
        return Sharpness(model, nesterov(model, self), self.clip, self.rho, self.adaptive)


class Sharpness(Plain):
    """One network, whose gradients are taken away from it."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip: float | None,
        rho: float,
        adaptive: bool,
    ) -> None:
        """Trains `model` in place."""
        super().__init__(model, optimizer, clip)
        self._rho, self._adaptive = rho, adaptive
        self._norms = {module for _, module in batch_norms(model)}

    def step(self, batches: tuple[TensorPair, ...]) -> Tensor:
        """Takes the gradient at the worst point near by, and the optimizer's step from here."""
        loss = backward(self._model, batches[0])
        weights = [weight for weight in self._model.parameters() if weight.grad is not None]
        before = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight, offset in zip(weights, self._offsets(weights), strict=True):
                weight.add_(offset)
        momenta = {norm: norm.momentum for norm in self._norms}
        for norm in self._norms:
            norm.momentum = 0.0
        backward(self._model, batches[0], self._clip)
        for norm, momentum in momenta.items():
            norm.momentum = momentum
        with torch.no_grad():
            for weight, old in zip(weights, before, strict=True):
                weight.copy_(old)
        self._optimizer.step()
        return loss

    def _offsets(self, weights: list[nn.Parameter]) -> list[Tensor]:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        sizes = [weight.abs() if self._adaptive else torch.ones(()) for weight in weights]
        scaled = [g * s.to(g) for g, s in zip(gradients, sizes, strict=True)]
        norm = torch.stack([x.norm() for x in scaled]).norm()
        share = torch.where(norm > 0, self._rho / norm, 0.0)
        return [share * x * s.to(x) for x, s in zip(scaled, sizes, strict=True)]
