"""Sharpness-aware minimisation: the gradient is taken where the loss near by is worst."""

from pathlib import Path

import torch
from torch import Tensor, nn

from toroids.arguments import checked
from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.landscape.recalibrate import batch_norms
from toroids.solvers.recipe import Recipe
from toroids.solvers.session import Session
from toroids.solvers.sgd import Plain, nesterov
from toroids.solvers.training import MakeModel, Trained, backward, prepare, trained


@checked
def sam(
    make_model: MakeModel,
    data: TensorPair,
    seed: int,
    budget: int = 60,
    *,
    rho: float = 0.05,
    adaptive: bool = False,
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
    """Trains one network by sharpness-aware minimisation.

    With g the mini-batch gradient at w, the step is that of `sgd` with the gradient at w + e,

        e = rho g / ||g||,    or, adaptive,    e = rho w^2 g / || |w| g ||,

    where products are taken weight by weight; the adaptive ball does not depend on the scale of
    units. The weight decay counts at w.

    Args:
        make_model: builds a network initialised by the seed it is given.
        data: inputs (n, ...) and labels (n,).
        seed: of the initialisation and of the mini-batches.
        budget: epochs at most, each of which computes two gradients per mini-batch.
        rho: radius of the ball in which the worst loss is looked for.
        adaptive: whether the ball is scaled by the weights (ASAM).
        hold: consecutive epochs of zero train error that end the training.
        batch_size: examples per mini-batch.
        lr: learning rate at the start.
        momentum: Nesterov momentum, in [0, 1).
        weight_decay: L2 penalty.
        schedule: "cosine", "constant" or "step", as in `Recipe`.
        clip: largest norm of the second gradient over all weights; no limit when None.
        seconds: wall time after which the training ends; no limit when None.
        device: where to train.
        checkpoint: a file that is written after epochs, and gone on from where it is there.

    Returns:
        The network after the last epoch. Batch norms keep the statistics of the first gradient.

    Raises:
        DataError: no examples, unequal numbers of inputs and labels, or data that do not fit the
            network.
        ToroidsError: a setting out of range, or a checkpoint of another training.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.sam(make_model, data, seed=0, budget=2)
        >>> found.ended, found.gradient_steps
        ('budget', 8)

    Reference:
        P. Foret et al., 2021, arXiv 2010.01412; J. Kwon et al., ASAM, 2021, arXiv 2102.11600.
    """
    if not rho > 0:
        raise ToroidsError(f"rho is {rho}; pass a positive radius.")
    recipe = Recipe(budget, hold, batch_size, lr, momentum, weight_decay, schedule, clip, seconds)
    (model,), data = prepare(make_model, data, [seed], device)
    settings = {"solver": "sam", "recipe": recipe, "seed": seed, "rho": rho, "adaptive": adaptive}
    session = Session(settings, data, checkpoint)
    method = Sharpness(model, nesterov(model, recipe), clip, rho, adaptive)
    return trained(session.run(method, model, data, recipe, [seed]))


class Sharpness(Plain):
    """One network, whose gradients are taken away from it."""

    gradients = 2

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
