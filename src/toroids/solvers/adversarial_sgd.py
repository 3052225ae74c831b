"""SGD from an adversarial initialisation: random labels first, the true labels afterwards."""

from dataclasses import replace

import torch
from torch import nn

from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.solvers.sgd import descend, steps
from toroids.solvers.training import (
    Epoch,
    MakeModel,
    Recipe,
    Trained,
    Watch,
    backward,
    minibatches,
    prepare,
    snapshot,
)


def adversarial_sgd(
    make_model: MakeModel,
    data: TensorPair,
    seed: int,
    budget: int = 60,
    *,
    copies: int = 4,
    zeroed: float = 0.3,
    corrupt_budget: int = 200,
    corrupt_lr: float = 0.05,
    hold: int = 1,
    batch_size: int = 50,
    lr: float = 0.1,
    momentum: float = 0.9,
    device: str | torch.device = "cpu",
) -> Trained:
    """Trains one network from a start that fits random labels: a sharp minimum.

    First the network fits `copies` corrupted copies of the inputs, in which every pixel is set to
    zero with probability `zeroed`, with labels drawn uniformly from the classes, at a constant
    learning rate until no error is left or `corrupt_budget` epochs are used. Then it is trained on
    the true data exactly as `sgd` is, without regularisation.

    Args:
        make_model: builds a network initialised by the seed it is given.
        data: inputs (n, ...) and labels (n,).
        seed: of the initialisation, the corruption and the mini-batches.
        budget: epochs at most on the true labels.
        copies: corrupted copies of every input.
        zeroed: probability that a pixel of a copy is set to zero, in [0, 1).
        corrupt_budget: epochs at most on the corrupted copies.
        corrupt_lr: constant learning rate on the corrupted copies.
        hold: consecutive epochs of zero train error that end the training.
        batch_size: examples per mini-batch.
        lr: learning rate at the start of the training on the true labels.
        momentum: Nesterov momentum, in [0, 1).
        device: where to train.

    Returns:
        The network after the last epoch; the history holds the phases "corrupt" and "train".

    Raises:
        DataError: no examples, unequal numbers of inputs and labels, or data that do not fit the
            network.
        ToroidsError: a setting out of range, or outputs that are no longer finite.

    Reference:
        S. Liu, D. Papailiopoulos, D. Achlioptas, Bad global minima exist and SGD can reach them,
        2020, arXiv 1906.02613.
    """
    recipe = Recipe(budget, hold, batch_size, lr, momentum)
    corrupt_recipe = replace(recipe, budget=corrupt_budget, hold=1, lr=corrupt_lr)
    if copies < 1 or not 0 <= zeroed < 1:
        raise ToroidsError(
            f"copies is {copies} and zeroed is {zeroed}; pass at least 1 copy and 0 <= zeroed < 1."
        )
    (model,), data = prepare(make_model, data, [seed], device)
    # A stream of its own, apart from the mini-batches of the second phase.
    generator = torch.Generator().manual_seed(seed + 1_000_003)
    corrupted = corrupt(data, copies, zeroed, generator)
    start = _fit(model, corrupted, corrupt_recipe, generator)
    history, ended = descend(model, data, seed, recipe)
    return Trained(
        snapshot(model),
        (*start, *history),
        ended,
        steps(start, corrupted, corrupt_recipe) + steps(history, data, recipe),
    )


def corrupt(data: TensorPair, copies: int, zeroed: float, generator: torch.Generator) -> TensorPair:
    """Makes corrupted copies of the inputs with random labels.

    Args:
        data: inputs (n, ...) and labels (n,).
        copies: how many of every input.
        zeroed: probability that an entry is set to zero.
        generator: source of randomness on the CPU.

    Returns:
        Inputs (copies n, ...) and labels (copies n,), uniform over 0 to the largest label.
    """
    inputs, labels = data
    inputs = inputs.repeat(copies, *[1] * (inputs.ndim - 1))
    kept = torch.rand(inputs.shape, generator=generator) >= zeroed
    classes = int(labels.max()) + 1
    random_labels = torch.randint(classes, (len(inputs),), generator=generator)
    return inputs * kept.to(inputs), random_labels.to(labels)


def _fit(
    model: nn.Module, data: TensorPair, recipe: Recipe, generator: torch.Generator
) -> list[Epoch]:
    optimizer = recipe.optimizer(model)
    watch = Watch(model, data, recipe.hold, phase="corrupt")
    model.train()
    for _ in range(recipe.budget):
        for batch in minibatches(data, recipe.batch_size, generator):
            backward(model, batch)
            optimizer.step()
        if watch.ended(model.state_dict(), recipe.lr):
            break
    return watch.history
