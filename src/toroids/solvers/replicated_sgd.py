"""Replicated SGD: coupled networks that settle together where the landscape is wide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from toroids.align.alignment import align
from toroids.canonical.form import canonicalize
from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.evaluation.landscape import Landscape
from toroids.landscape.recalibrate import recalibrate
from toroids.params import Params, average
from toroids.settings import IN_PYTHON, Positive
from toroids.solvers.sgd import SGD, nesterov
from toroids.solvers.stacked import Stacked, can_stack
from toroids.solvers.training import Method, backward, set_lr, snapshot
from toroids.symmetry.group import SymmetryGroup

# Replicas whose squared distances are below this share of their squared weights are at one point.
SAME = 1e-10


@dataclass(frozen=True, kw_only=True)
class ReplicatedSGD(SGD):
    """Several coupled networks, of which the centre counts.

    With y replicas w_a of mean w, each with its own initialisation and mini-batches, every step
    descends

        sum_a [ loss(w_a) + gamma / 2 ||w_a - w||^2 ]

    by the rule of `SGD`, where gamma grows from coupling[0] to coupling[1] as a geometric sequence
    over the epochs of the budget. Replica a is initialised by, and draws its mini-batches from,
    seed + 10007 a. The result is the centre, the statistics of its batch norms estimated anew;
    error and loss of the history are the centre's, and gradient_steps counts all replicas.

    Attributes:
        replicas: number of replicas y, at least 2.
        coupling: gamma in the first and in the last epoch, both positive.
        balanced: whether gamma in the first epoch is instead what makes the coupling as large as
            the loss of the initialised replicas; it grows by the same factor.
        group: of the architecture, with output="values". Where given, every epoch begins with all
            replicas brought to the gauge of least norm and aligned to the first, which changes no
            function but lets the coupling compare like units; momentum begins anew.
        together: whether all replicas are computed as one batch; when None on a GPU, where the
            network has no batch norm, dropout or recurrent layer and no group is given. The other
            settings are those of `SGD`; `clip` limits every replica's gradient.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.ReplicatedSGD(budget=2).train(make_model, data, seed=0)
        >>> found.ended, found.gradient_steps
        ('budget', 12)

    Reference:
        Baldassi et al., Unreasonable effectiveness of learning neural networks, 2016,
        arXiv 1605.06444; Pittorino et al., 2021, arXiv 2006.07897.
    """

    replicas: Annotated[int, Ge(2), Le(1000)] = 3
    coupling: tuple[Positive, Positive] = (0.01, 1.0)
    balanced: bool = False
    group: SymmetryGroup | None = field(default=None, metadata=IN_PYTHON)
    together: bool | None = field(default=None, metadata=IN_PYTHON)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group is not None and self.group.output.mode != "values":
            raise ToroidsError(
                f"the group removes what {self.group.output.mode!r} outputs do not show, so that "
                'training would lose it; pass a group with output="values".'
            )
        if self.together and self.group is not None:
            raise ToroidsError("replicas that are aligned are not computed together; choose one.")

    @property
    def gradients(self) -> int:
        """One for every replica."""
        return self.replicas

    def _seeds(self, seed: int) -> list[int]:
        # A prime above any list of seeds in use: no two networks of a study share a replica.
        return [seed + 10_007 * replica for replica in range(self.replicas)]

    def _method(self, models: list[nn.Module], data: TensorPair, seed: int) -> Method:
        coupling, together = self.coupling, self.together
        if self.balanced:
            start = balance(models, data)
            coupling = start, start * coupling[1] / coupling[0]
        if together is None:
            on_gpu = data[0].device.type == "cuda"
            together = on_gpu and self.group is None and can_stack(models[0])
        if together:
            return Stacked(models, self, coupling)
        return Replicas(models, data, self, coupling, self.group)


class Replicas(Method):
    """Coupled networks, each with its own mini-batches."""

    def __init__(
        self,
        models: list[nn.Module],
        data: TensorPair,
        recipe: SGD,
        coupling: tuple[float, float],
        group: SymmetryGroup | None = None,
    ) -> None:
        """Trains `models` in place."""
        self._models, self._data, self._recipe, self._coupling = models, data, recipe, coupling
        self._group = group
        self._optimizers = [nesterov(model, recipe) for model in models]
        self._gamma = coupling[0]

    def begin(self, epoch: int, lr: float) -> float:
        """Sets the learning rate and the coupling, and aligns the replicas where asked."""
        if self._group is not None:
            realign(self._group, self._models)
            self._optimizers = [nesterov(model, self._recipe) for model in self._models]
        for optimizer in self._optimizers:
            set_lr(optimizer, lr)
        self._gamma = self._recipe.growing(self._coupling, epoch)
        return self._gamma

    def step(self, batches: tuple[TensorPair, ...]) -> Tensor:
        """Takes one coupled step."""
        return step(self._models, self._optimizers, batches, self._gamma, self._recipe.clip)

    def params(self) -> dict[str, Tensor]:
        """The centre."""
        return recalibrate(self._models[0], centre(self._models), self._data)

    def state(self) -> dict[str, Any]:
        """All replicas and what their optimizers remember."""
        return {
            "models": [snapshot(model) for model in self._models],
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state."""
        for model, saved in zip(self._models, state["models"], strict=True):
            model.load_state_dict(saved)
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def realign(group: SymmetryGroup, models: list[nn.Module]) -> None:
    """Brings replicas to the gauge of least norm, the others' units in the order of the first's.

    Args:
        group: of the architecture; it keeps the outputs as they are.
        models: the replicas, changed in place; what they compute is as before.
    """
    reference = snapshot(models[0])
    for number, model in enumerate(models):
        params: Params = snapshot(model)
        if number:
            params = align(group, params, to=reference).params
        model.load_state_dict(dict(canonicalize(group, params, gauge="balanced")))


def balance(models: list[nn.Module], data: TensorPair) -> float:
    """Computes the gamma at which the coupling is as large as the loss.

    Args:
        models: the replicas as they were initialised.
        data: inputs and labels.

    Returns:
        The gamma for which gamma / 2 sum_a ||w_a - w||^2 is the sum of the losses.

    Raises:
        ToroidsError: all replicas are at one point, up to rounding.
    """
    losses = sum(Landscape(model, data).measure(model.state_dict()).loss for model in models)
    spread, size = 0.0, 0.0
    with torch.no_grad():
        for same in zip(*map(_weights, models), strict=True):
            stacked = torch.stack(same).double()
            spread += float((stacked - stacked.mean(dim=0)).square().sum())
            size += float(stacked.square().sum())
    if spread <= SAME * size:
        raise ToroidsError("all replicas start at the same weights; pass balanced=False.")
    return 2 * losses / spread


def step(
    models: list[nn.Module],
    optimizers: list[torch.optim.SGD],
    batches: tuple[TensorPair, ...],
    gamma: float,
    clip: float | None = None,
) -> Tensor:
    """Takes one coupled step: every replica's gradient plus gamma times its offset from the mean.

    Args:
        models: the replicas, changed in place.
        optimizers: one per replica.
        batches: one mini-batch per replica.
        gamma: the coupling.
        clip: the largest norm of a replica's gradient of the loss; no limit when None.

    Returns:
        The mean loss of the mini-batches, detached.
    """
    with torch.no_grad():
        means = [torch.stack(same).mean(dim=0) for same in zip(*map(_weights, models), strict=True)]
    losses = []
    for model, optimizer, batch in zip(models, optimizers, batches, strict=True):
        losses.append(backward(model, batch, clip))
        with torch.no_grad():
            for weight, mean in zip(_weights(model), means, strict=True):
                if weight.grad is not None:
                    weight.grad.add_(weight - mean, alpha=gamma)
        optimizer.step()
    return torch.stack(losses).mean()


def _weights(model: nn.Module) -> list[Tensor]:
    return list(model.parameters())


def centre(models: list[nn.Module]) -> dict[str, Tensor]:
    """Averages the floating tensors of the replicas; integer buffers are the first replica's."""
    return average([model.state_dict() for model in models])
