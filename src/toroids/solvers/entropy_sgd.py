"""Entropy-SGD: a local average of the network, by Langevin dynamics, is what descends."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toroids.arguments import checked
from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.landscape.recalibrate import recalibrate
from toroids.solvers.recipe import Recipe
from toroids.solvers.session import Session
from toroids.solvers.training import (
    MakeModel,
    Method,
    Trained,
    backward,
    prepare,
    snapshot,
    trained,
)


@checked
def entropy_sgd(
    make_model: MakeModel,
    data: TensorPair,
    seed: int,
    budget: int = 60,
    *,
    inner_steps: int = 5,
    scope: tuple[float, float] = (0.01, 1.0),
    noise: float = 1e-4,
    averaging: float = 0.75,
    outer: float = 1.0,
    hold: int = 1,
    batch_size: int = 50,
    lr: float = 0.1,
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    clip: float | None = None,
    seconds: float | None = None,
    device: str | torch.device = "cpu",
    checkpoint: str | Path | None = None,
) -> Trained:
    """Trains one network by Entropy-SGD.

    Around the outer network w, an inner one x takes `inner_steps` steps of Langevin dynamics, each
    on its own mini-batch with gradient g at x,

        x <- x - lr_e [g + gamma (x - w)] + sqrt(lr_e) noise z,    z ~ N(0, 1) per weight,
        m <- averaging m + (1 - averaging) x,

    where x and m begin at w; then w <- w - outer (w - m), the step to the inner mean for outer = 1.
    gamma grows from scope[0] to scope[1] as a geometric sequence over the epochs of the budget.

    Args:
        make_model: builds a network initialised by the seed it is given.
        data: inputs (n, ...) and labels (n,).
        seed: of the initialisation, the mini-batches and the noise.
        budget: epochs at most, counted in gradients of inner steps.
        inner_steps: steps of the inner network per step of the outer one.
        scope: gamma in the first and in the last epoch, both positive.
        noise: size of the Langevin noise.
        averaging: share of the mean that is kept at an inner step, in [0, 1).
        outer: size of the outer step, in (0, 1].
        hold: consecutive epochs of zero train error that end the training.
        batch_size: examples per mini-batch.
        lr: learning rate at the start.
        weight_decay: L2 penalty, on the inner network.
        schedule: "cosine", "constant" or "step", as in `Recipe`.
        clip: largest norm of the gradient over all weights; no limit when None.
        seconds: wall time after which the training ends; no limit when None.
        device: where to train.
        checkpoint: a file that is written after epochs, and gone on from where it is there.

    Returns:
        The outer network, the statistics of its batch norms estimated anew.

    Raises:
        DataError: no examples, unequal numbers of inputs and labels, or data that do not fit the
            network.
        ToroidsError: a setting out of range, or a checkpoint of another training.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.entropy_sgd(make_model, data, seed=0, budget=2)
        >>> found.ended, found.gradient_steps
        ('budget', 4)

    Reference:
        P. Chaudhari et al., Entropy-SGD: Biasing Gradient Descent Into Wide Valleys, 2017,
        arXiv 1611.01838; F. Pittorino et al., 2021, arXiv 2006.07897.
    """
    two = isinstance(scope, Sequence) and len(scope) == 2
    if not two or not all(0 < gamma < math.inf for gamma in scope) or inner_steps < 1:
        raise ToroidsError(
            f"inner_steps is {inner_steps} and scope is {scope}; pass at least 1 and two positive "
            "strengths."
        )
    if not 0 <= averaging < 1 or not 0 < outer <= 1 or not 0 <= noise < math.inf:
        raise ToroidsError(
            f"averaging is {averaging}, outer {outer} and noise {noise}; pass 0 <= averaging < 1, "
            "0 < outer <= 1 and noise >= 0."
        )
    recipe = Recipe(budget, hold, batch_size, lr, 0.0, weight_decay, schedule, clip, seconds)
    (model,), data = prepare(make_model, data, [seed], device)
    own = {"inner": inner_steps, "scope": scope, "noise": noise, "averaging": averaging}
    settings = {"solver": "entropy_sgd", "recipe": recipe, "seed": seed, "outer": outer, **own}
    session = Session(settings, data, checkpoint)
    method = Entropy(model, data, recipe, scope, inner_steps, noise, averaging, outer, seed)
    return trained(session.run(method, model, data, recipe, [seed]))


class Entropy(Method):
    """The inner network, which is the model itself, its mean, and the outer network."""

    def __init__(
        self,
        model: nn.Module,
        data: TensorPair,
        recipe: Recipe,
        scope: tuple[float, float],
        inner_steps: int,
        noise: float,
        averaging: float,
        outer: float,
        seed: int,
    ) -> None:
        """Trains `model` in place."""
        self._model, self._data, self._recipe, self._scope = model, data, recipe, scope
        self._inner, self._noise = inner_steps, noise
        self._averaging, self._step_size = averaging, outer
        self._weights = list(model.parameters())
        self._names = [name for name, _ in model.named_parameters()]
        self._outer = [weight.detach().clone() for weight in self._weights]
        self._mean = [weight.detach().clone() for weight in self._weights]
        self._taken, self._lr, self._gamma = 0, recipe.lr, scope[0]
        # a stream of its own, apart from the mini-batches
        self._generator = torch.Generator().manual_seed(seed + 1_000_003)

    def begin(self, epoch: int, lr: float) -> float:
        """Sets the learning rate and the scope."""
        self._lr = lr
        self._gamma = self._recipe.growing(self._scope, epoch)
        return self._gamma

    @torch.no_grad()
    def step(self, batches: tuple[TensorPair, ...]) -> Tensor:
        """Takes one inner step, and after `inner_steps` of them an outer one."""
        with torch.enable_grad():
            loss = backward(self._model, batches[0], self._recipe.clip)
        kept, spread = self._averaging, math.sqrt(self._lr) * self._noise
        for x, w, m in zip(self._weights, self._outer, self._mean, strict=True):
            if x.grad is not None:
                gradient = x.grad + self._gamma * (x - w) + self._recipe.weight_decay * x
                z = torch.randn(x.shape, generator=self._generator).to(x) if spread else 0.0
                x.sub_(self._lr * gradient).add_(spread * z)
            m.mul_(kept).add_((1 - kept) * x)
        self._taken += 1
        if self._taken == self._inner:
            self._taken = 0
            for x, w, m in zip(self._weights, self._outer, self._mean, strict=True):
                w.lerp_(m, self._step_size)
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
