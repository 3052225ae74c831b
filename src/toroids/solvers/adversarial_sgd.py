"""SGD from an adversarial initialisation: random labels first, the true labels afterwards."""

from dataclasses import replace
from pathlib import Path

import torch

from toroids.arguments import checked
from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.solvers.recipe import Recipe
from toroids.solvers.session import Session
from toroids.solvers.sgd import Plain, nesterov
from toroids.solvers.training import MakeModel, Trained, prepare, trained


@checked
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
    schedule: str = "cosine",
    clip: float | None = None,
    seconds: float | None = None,
    device: str | torch.device = "cpu",
    checkpoint: str | Path | None = None,
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
        schedule: "cosine", "constant" or "step", as in `Recipe`.
        clip: largest norm of the gradient over all weights; no limit when None.
        seconds: wall time after which the training ends; no limit when None.
        device: where to train.
        checkpoint: a file that is written after epochs, and gone on from where it is there.

    Returns:
        The network after the last epoch; the history holds the phases "corrupt" and "train".

    Raises:
        DataError: no examples, unequal numbers of inputs and labels, or data that do not fit the
            network.
        ToroidsError: a setting out of range, or a checkpoint of another training.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.adversarial_sgd(make_model, data, seed=0, budget=2, corrupt_budget=1)
        >>> [epoch.phase for epoch in found.history]
        ['corrupt', 'train', 'train']

    Reference:
        S. Liu, D. Papailiopoulos, D. Achlioptas, Bad global minima exist and SGD can reach them,
        2020, arXiv 1906.02613.
    """
    recipe = Recipe(budget, hold, batch_size, lr, momentum, 0.0, schedule, clip, seconds)
    first = replace(recipe, budget=corrupt_budget, hold=1, lr=corrupt_lr, schedule="constant")
    if copies < 1 or not 0 <= zeroed < 1:
        raise ToroidsError(
            f"copies is {copies} and zeroed is {zeroed}; pass at least 1 copy and 0 <= zeroed < 1."
        )
    (model,), data = prepare(make_model, data, [seed], device)
    own = {"copies": copies, "zeroed": zeroed, "first": first}
    settings = {"solver": "adversarial_sgd", "recipe": recipe, "seed": seed, **own}
    session = Session(settings, data, checkpoint)
    # Streams of their own, apart from the mini-batches of the second phase.
    corrupted = corrupt(data, copies, zeroed, torch.Generator().manual_seed(seed + 1_000_003))
    fitting = Plain(model, nesterov(model, first), clip)
    start = session.run(fitting, model, corrupted, first, [seed + 1_000_007], "corrupt")
    if start.ended in ("diverged", "time"):
        return trained(start)
    method = Plain(model, nesterov(model, recipe), clip)
    return trained(start, session.run(method, model, data, recipe, [seed]))


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
