"""What all solvers share: what they return, what a method of training is, and its mini-batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from toroids.errors import DataError, ToroidsError, said
from toroids.evaluation.batches import TensorPair, check_tensors
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import mean_cross_entropy
from toroids.evaluation.running import check_module, select_output
from toroids.params import unusable
from toroids.result import Result

MakeModel: TypeAlias = Callable[[int], nn.Module]
Ended: TypeAlias = Literal["zero error", "budget", "time", "diverged"]


@dataclass(frozen=True)
class Epoch:
    """One line of a training history.

    Attributes:
        phase: what was trained: "train", or "corrupt" for an adversarial start.
        epoch: counted from 1 within the phase.
        lr: learning rate of the epoch.
        error: train error at its end, in [0, 1], on the phase's own data.
        loss: train loss at its end, in nats.
        coupling: strength of the coupling between replicas, or to the outer network of Entropy-SGD;
            0 without.

    See `SGD` for an example.
    """

    phase: str
    epoch: int
    lr: float
    error: float
    loss: float
    coupling: float = 0.0


@dataclass(frozen=True, repr=False)
class Trained(Result):
    """A minimizer that a solver found.

    Attributes:
        params: the network's parameters and buffers by name; of a training that diverged, those
            after the last epoch whose outputs were finite.
        history: one entry per epoch.
        ended: "zero error" when the train error stayed zero as long as asked, "budget" or "time"
            when these were used up, "diverged" when the loss or the outputs were not finite.
        gradient_steps: how many mini-batch gradients were computed, replicas and phases counted.
        note: of a training that diverged, where.

    See `SGD` for an example.
    """

    params: dict[str, Tensor]
    history: tuple[Epoch, ...]
    ended: Ended
    gradient_steps: int
    note: str = ""


class Method(ABC):
    """Networks that are trained, and what one step does to them."""

    @abstractmethod
    def begin(self, epoch: int, lr: float) -> float:
        """Prepares an epoch, counted from 0, with its learning rate; returns its coupling."""

    @abstractmethod
    def step(self, batches: tuple[TensorPair, ...]) -> Tensor:
        """Takes one step; returns the mean loss of the mini-batches, detached."""

    @abstractmethod
    def params(self) -> dict[str, Tensor]:
        """Copies the network that the training is after, as it is now."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors, numbers and texts."""

    @abstractmethod
    def load(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state."""


@dataclass
class Phase:
    """What a loop over epochs did."""

    history: list[Epoch] = field(default_factory=list)
    ended: Ended = "budget"
    steps: int = 0
    note: str = ""
    params: dict[str, Tensor] = field(default_factory=dict)


def trained(*phases: Phase) -> Trained:
    """What the phases of a training found; the last one's network counts."""
    last = phases[-1]
    history = [line for phase in phases for line in phase.history]
    steps = sum(phase.steps for phase in phases)
    return Trained(last.params, tuple(history), last.ended, steps, last.note)


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
        ToroidsError: a seed out of range, a `make_model` that builds no network, or a device that
            is not there.
    """
    if not all(isinstance(seed, int) and 0 <= seed < 2**63 for seed in seeds):
        raise ToroidsError(f"the seeds are {list(seeds)}; pass ints, 0 or more, below 2^63.")
    if isinstance(make_model, nn.Module) or not callable(make_model):
        raise ToroidsError(
            f"make_model is a {type(make_model).__name__}; pass a function that builds a network "
            "from a seed, as lambda seed: td.models.fully_connected([64, 32, 10], seed=seed)."
        )
    inputs, labels = check_tensors(data)
    models = [make_model(seed) for seed in seeds]
    for model in models:
        check_module(model, "what make_model returns")
    try:
        models = [model.to(device) for model in models]
    except (RuntimeError, AssertionError) as error:  # torch raises either where there is no CUDA
        raise ToroidsError(unusable(device, error)) from error
    for model in models:
        Landscape(model, (inputs, labels)).measure(model.state_dict())
        model.train()
    dtype = next(models[0].parameters()).dtype
    inputs = inputs.detach().to(device, dtype if inputs.is_floating_point() else None)
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


def backward(model: nn.Module, batch: TensorPair, clip: float | None = None) -> Tensor:
    """Computes the gradient of the cross-entropy on one mini-batch anew.

    Args:
        model: whose parameters get the gradient.
        batch: inputs and labels.
        clip: the largest norm of the gradient over all weights; no limit when None.

    Returns:
        The mean loss, detached.

    Raises:
        DataError: a single example where a batch norm needs two.
    """
    inputs, labels = batch
    for parameter in model.parameters():
        parameter.grad = None
    try:
        outputs = select_output(model(inputs))
    except ValueError as error:  # torch's own, of a batch norm
        if "more than 1 value per channel" not in said(error):
            raise
        raise DataError(
            f"a mini-batch of {len(labels)} example gives a batch norm a single value per channel; "
            "choose a batch_size that leaves no single example over."
        ) from error
    loss = mean_cross_entropy(outputs, labels)
    torch.autograd.backward(loss)
    if clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    return loss.detach()


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copies the parameters and buffers of `model` by name."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
