"""Stochastic gradient descent with Nesterov momentum and a cosine schedule."""

import torch
from torch import nn

from toroids.evaluation.batches import TensorPair
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
    snapshot,
)


def sgd(
    make_model: MakeModel,
    data: TensorPair,
    seed: int,
    budget: int = 60,
    *,
    hold: int = 1,
    batch_size: int = 50,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    device: str | torch.device = "cpu",
) -> Trained:
    """Trains one network by stochastic gradient descent.

    With g the mini-batch gradient of the cross-entropy plus weight_decay w, and mu the momentum,
    v <- mu v + g and w <- w - lr_e (g + mu v) with lr_e = lr (1 + cos(pi epoch / budget)) / 2.

    Args:
        make_model: builds a network initialised by the seed it is given.
        data: inputs (n, ...) and labels (n,).
        seed: of the initialisation and of the mini-batches.
        budget: epochs at most.
        hold: consecutive epochs of zero train error that end the training.
        batch_size: examples per mini-batch.
        lr: learning rate at the start.
        momentum: Nesterov momentum, in [0, 1).
        weight_decay: L2 penalty.
        device: where to train.

    Returns:
        The network after the last epoch.

    Raises:
        DataError: no examples, unequal numbers of inputs and labels, or data that do not fit the
            network.
        ToroidsError: a setting out of range, or outputs that are no longer finite.

    Reference:
        Y. Nesterov, 1983; I. Loshchilov, F. Hutter, SGDR, 2017, arXiv 1608.03983.
    """
    recipe = Recipe(budget, hold, batch_size, lr, momentum, weight_decay)
    (model,), data = prepare(make_model, data, [seed], device)
    history, ended = descend(model, data, seed, recipe)
    return Trained(snapshot(model), tuple(history), ended, steps(history, data, recipe))


def descend(
    model: nn.Module, data: TensorPair, seed: int, recipe: Recipe
) -> tuple[list[Epoch], Ended]:
    """Trains `model` in place by `recipe`.

    Args:
        model: changed in place.
        data: inputs and labels on the model's device.
        seed: of the mini-batches.
        recipe: settings of the training.

    Returns:
        The history, and what ended it.
    """
    optimizer = recipe.optimizer(model)
    generator = torch.Generator().manual_seed(seed)
    watch = Watch(model, data, recipe.hold)
    model.train()
    for epoch in range(recipe.budget):
        lr = recipe.cosine(epoch)
        set_lr(optimizer, lr)
        for batch in minibatches(data, recipe.batch_size, generator):
            backward(model, batch)
            optimizer.step()
        if watch.ended(model.state_dict(), lr):
            return watch.history, "zero error"
    return watch.history, "budget"


def steps(history: list[Epoch], data: TensorPair, recipe: Recipe) -> int:
    """Counts the mini-batch gradients of `history`."""
    return len(history) * -(-len(data[1]) // recipe.batch_size)
