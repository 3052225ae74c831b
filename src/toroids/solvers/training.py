"""What all solvers share: their result, the schedule, the mini-batches and when to end."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from toroids.errors import DataError, ToroidsError
from toroids.evaluation.batches import TensorPair, check_tensors
from toroids.evaluation.evaluator import Evaluator
from toroids.evaluation.running import select_output

MakeModel: TypeAlias = Callable[[int], nn.Module]
Ended: TypeAlias = Literal["zero error", "budget"]


@dataclass(frozen=True)
class Epoch:
    """One line of a training history.

    Attributes:
        phase: what was trained: "train", or "corrupt" for an adversarial start.
        epoch: counted from 1 within the phase.
        lr: learning rate of the epoch.
        error: train error at its end, in [0, 1], on the phase's own data.
        loss: train loss at its end, in nats.
        coupling: strength of the coupling between replicas; 0 without replicas.
    """

    phase: str
    epoch: int
    lr: float
    error: float
    loss: float
    coupling: float = 0.0


@dataclass(frozen=True)
class Trained:
    """A minimizer that a solver found.

    Attributes:
        params: the network's parameters and buffers by name.
        history: one entry per epoch.
        ended: "zero error" when the train error stayed zero as long as asked, else "budget".
        gradient_steps: how many mini-batch gradients were computed, replicas and phases counted.
    """

    params: dict[str, Tensor]
    history: tuple[Epoch, ...]
    ended: Ended
    gradient_steps: int


@dataclass(frozen=True)
class Recipe:
    """How the final training runs; the same for every solver of a comparison.

    Attributes:
        budget: epochs at most.
        hold: consecutive epochs of zero train error that end the training.
        batch_size: examples per mini-batch.
        lr: learning rate at the start; it follows half a cosine down to 0 over the budget.
        momentum: Nesterov momentum, in [0, 1).
        weight_decay: L2 penalty on the gradient.
    """

    budget: int = 60
    hold: int = 1
    batch_size: int = 50
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for name in ("budget", "hold", "batch_size"):
            if getattr(self, name) < 1:
                raise ToroidsError(f"{name} is {getattr(self, name)}; pass at least 1.")
        if not 0 < self.lr < math.inf:
            raise ToroidsError(f"lr is {self.lr}; pass a positive learning rate.")
        if not 0 <= self.momentum < 1:
            raise ToroidsError(f"momentum is {self.momentum}; pass 0 or more and less than 1.")
        if not 0 <= self.weight_decay < math.inf:
            raise ToroidsError(f"weight_decay is {self.weight_decay}; pass 0 or more.")

    def cosine(self, epoch: int) -> float:
        """Learning rate of `epoch`, counted from 0: lr (1 + cos(pi epoch / budget)) / 2."""
        return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.budget))

    def optimizer(self, model: nn.Module) -> torch.optim.SGD:
        """Stochastic gradient descent with this recipe's Nesterov momentum and decay."""
        return torch.optim.SGD(
            model.parameters(),
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.momentum > 0,
            weight_decay=self.weight_decay,
        )


def prepare(
    make_model: MakeModel, data: TensorPair, seeds: Sequence[int], device: str | torch.device
) -> tuple[list[nn.Module], TensorPair]:
    """Builds the networks and brings the data to their device and precision.

    Args:
        make_model: builds a network initialised by the seed it is given.
        data: inputs (n, ...) and labels (n,).
        seeds: one per network, in [0, 2^63).
        device: where to train.

    Returns:
        The networks, and the data, which every one of them has been checked to run on.

    Raises:
        DataError: the data is empty, is no pair of tensors, or does not fit the network.
        ToroidsError: a seed out of range, or a device that is not there.
    """
    if not all(0 <= seed < 2**63 for seed in seeds):
        raise ToroidsError(f"the seeds are {list(seeds)}; pass 0 or more, below 2^63.")
    inputs, labels = check_tensors(data)
    models = [make_model(seed) for seed in seeds]
    try:
        models = [model.to(device) for model in models]
    except (RuntimeError, AssertionError) as error:  # torch raises either where there is no CUDA
        raise ToroidsError(f"device {str(device)!r} cannot be used: {error}") from error
    for model in models:
        Evaluator(model, (inputs, labels))(model.state_dict())
    dtype = next(models[0].parameters()).dtype
    inputs = inputs.to(device, dtype if inputs.is_floating_point() else None)
    return models, (inputs, labels.to(device, torch.long))


def minibatches(
    data: TensorPair, batch_size: int, generator: torch.Generator
) -> Iterator[TensorPair]:
    """Yields the examples once, in an order drawn from `generator` (on the CPU)."""
    inputs, labels = data
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    for positions in torch.split(order, batch_size):
        yield inputs[positions], labels[positions]


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def backward(model: nn.Module, batch: TensorPair) -> None:
    """Computes the gradient of the cross-entropy on one mini-batch anew."""
    inputs, labels = batch
    for parameter in model.parameters():
        parameter.grad = None
    logits = select_output(model(inputs))
    torch.autograd.backward(nn.functional.cross_entropy(logits, labels))


class Watch:
    """Follows the train error, writes the history and says when training has ended."""

    def __init__(self, model: nn.Module, data: TensorPair, hold: int, phase: str = "train") -> None:
        """Watches `data`; training ends after `hold` consecutive epochs of zero error."""
        self._evaluator = Evaluator(model, data)
        self._hold = hold
        self._phase = phase
        self._held = 0
        self.history: list[Epoch] = []

    def ended(self, params: dict[str, Tensor], lr: float, coupling: float = 0.0) -> bool:
        """Records one epoch that left `params`.

        Returns:
            True when zero error was held long enough.

        Raises:
            ToroidsError: the outputs are NaN or infinite.
        """
        epoch = len(self.history) + 1
        try:
            evaluation = self._evaluator(params)
        except DataError as error:  # the same data was evaluated without fault before training
            raise ToroidsError(
                f"training diverged after epoch {epoch} of phase {self._phase!r} at learning rate "
                f"{lr:.3g}: {error} Lower the learning rate."
            ) from error
        self.history.append(
            Epoch(self._phase, epoch, lr, evaluation.error, evaluation.loss, coupling)
        )
        self._held = self._held + 1 if evaluation.error == 0 else 0
        return self._held >= self._hold


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copies the parameters and buffers of `model` by name."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
