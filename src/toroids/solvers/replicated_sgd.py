"""Replicated SGD: coupled networks that settle together where the landscape is wide."""

import math

import torch
from torch import Tensor, nn

from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.solvers.sgd import steps
from toroids.solvers.training import (
    Ended,
    Epoch,
    MakeModel,
    Recipe,
    Trained,
    Watch,
    backward,
    minibatches,
    prepare,
    set_lr,
)


def replicated_sgd(
    make_model: MakeModel,
    data: TensorPair,
    seed: int,
    budget: int = 60,
    *,
    replicas: int = 3,
    coupling: tuple[float, float] = (0.01, 1.0),
    hold: int = 1,
    batch_size: int = 50,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    device: str | torch.device = "cpu",
) -> Trained:
    """Trains several coupled networks and returns their centre.

    With y replicas w_a of mean w, each with its own initialisation and mini-batches, every step
    descends

        sum_a [ loss(w_a) + gamma / 2 ||w_a - w||^2 ]

    by `sgd`'s rule, where gamma grows from coupling[0] to coupling[1] as a geometric sequence over
    the epochs of the budget.

    Args:
        make_model: builds a network initialised by the seed it is given.
        data: inputs (n, ...) and labels (n,).
        seed: replica a is initialised by, and draws its mini-batches from, seed + 10007 a.
        budget: epochs at most, for every replica.
        replicas: number of replicas y, at least 2.
        coupling: gamma in the first and in the last epoch, both positive.
        hold: consecutive epochs of zero train error of the centre that end the training.
        batch_size: examples per mini-batch.
        lr: learning rate at the start.
        momentum: Nesterov momentum, in [0, 1).
        weight_decay: L2 penalty.
        device: where to train.

    Returns:
        The centre after the last epoch; error and loss of the history are the centre's, and
        gradient_steps counts all replicas.

    Raises:
        DataError: no examples, unequal numbers of inputs and labels, or data that do not fit the
            network.
        ToroidsError: a setting out of range, or outputs that are no longer finite.

    Reference:
        Baldassi et al., Unreasonable effectiveness of learning neural networks, 2016,
        arXiv 1605.06444; Pittorino et al., 2021, arXiv 2006.07897.
    """
    recipe = Recipe(budget, hold, batch_size, lr, momentum, weight_decay)
    if replicas < 2 or len(coupling) != 2 or not all(0 < gamma < math.inf for gamma in coupling):
        raise ToroidsError(
            f"replicas is {replicas} and coupling is {coupling}; pass at least 2 replicas and two "
            "positive couplings."
        )
    # A prime above any list of seeds in use: no two networks of a study share a replica.
    seeds = [seed + 10_007 * replica for replica in range(replicas)]
    models, data = prepare(make_model, data, seeds, device)
    generators = [torch.Generator().manual_seed(own) for own in seeds]
    history, ended = _descend(models, data, generators, recipe, coupling)
    return Trained(centre(models), tuple(history), ended, replicas * steps(history, data, recipe))


def _descend(
    models: list[nn.Module],
    data: TensorPair,
    generators: list[torch.Generator],
    recipe: Recipe,
    coupling: tuple[float, float],
) -> tuple[list[Epoch], Ended]:
    optimizers = [recipe.optimizer(model) for model in models]
    watch = Watch(models[0], data, recipe.hold)
    for model in models:
        model.train()
    first, last = coupling
    for epoch in range(recipe.budget):
        lr = recipe.cosine(epoch)
        gamma = first * (last / first) ** (epoch / max(recipe.budget - 1, 1))
        for optimizer in optimizers:
            set_lr(optimizer, lr)
        streams = [minibatches(data, recipe.batch_size, generator) for generator in generators]
        for batches in zip(*streams, strict=True):
            step(models, optimizers, batches, gamma)
        if watch.ended(centre(models), lr, gamma):
            return watch.history, "zero error"
    return watch.history, "budget"


def step(
    models: list[nn.Module],
    optimizers: list[torch.optim.SGD],
    batches: tuple[TensorPair, ...],
    gamma: float,
) -> None:
    """Takes one coupled step: every replica's gradient plus gamma times its offset from the mean.

    Args:
        models: the replicas, changed in place.
        optimizers: one per replica.
        batches: one mini-batch per replica.
        gamma: the coupling.
    """
    with torch.no_grad():
        means = [torch.stack(same).mean(dim=0) for same in zip(*map(_weights, models), strict=True)]
    for model, optimizer, batch in zip(models, optimizers, batches, strict=True):
        backward(model, batch)
        with torch.no_grad():
            for weight, mean in zip(_weights(model), means, strict=True):
                if weight.grad is not None:
                    weight.grad.add_(weight - mean, alpha=gamma)
        optimizer.step()


def _weights(model: nn.Module) -> list[Tensor]:
    return list(model.parameters())


def centre(models: list[nn.Module]) -> dict[str, Tensor]:
    """Averages the floating tensors of the replicas; integer buffers are the first replica's."""
    states = [model.state_dict() for model in models]
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in states[0].items()
    }
