"""Adam, with its decay decoupled (AdamW) or not."""

from collections.abc import Sequence
from pathlib import Path

import torch

from toroids.arguments import checked
from toroids.binary.layers import clamped
from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.solvers.recipe import Recipe
from toroids.solvers.session import Session
from toroids.solvers.sgd import Plain
from toroids.solvers.training import MakeModel, Trained, prepare, trained


@checked
def adam(
    make_model: MakeModel,
    data: TensorPair,
    seed: int,
    budget: int = 60,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decoupled: bool = True,
    hold: int = 1,
    batch_size: int = 50,
    lr: float = 0.001,
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    clip: float | None = None,
    seconds: float | None = None,
    device: str | torch.device = "cpu",
    checkpoint: str | Path | None = None,
) -> Trained:
    """Trains one network by Adam, or by AdamW where there is a decoupled decay.

    With g the mini-batch gradient, b1 and b2 the betas, and t the number of steps,

        m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g^2,
        w <- w - lr_e m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps),

    and w shrinks by lr_e weight_decay w before (decoupled), or g grows by weight_decay w.

    Args:
        make_model: builds a network initialised by the seed it is given.
        data: inputs (n, ...) and labels (n,).
        seed: of the initialisation and of the mini-batches.
        budget: epochs at most.
        betas: decay of the means of gradients and of their squares, in [0, 1).
        eps: added to the root of the squares.
        decoupled: whether the decay acts on the weights (AdamW), not through the gradient.
        hold: consecutive epochs of zero train error that end the training.
        batch_size: examples per mini-batch.
        lr: learning rate at the start.
        weight_decay: decay of the weights.
        schedule: "cosine", "constant" or "step", as in `Recipe`.
        clip: largest norm of the gradient over all weights; no limit when None.
        seconds: wall time after which the training ends; no limit when None.
        device: where to train.
        checkpoint: a file that is written after epochs, and gone on from where it is there.

    Returns:
        The network after the last epoch.

    Raises:
        DataError: no examples, unequal numbers of inputs and labels, or data that do not fit the
            network.
        ToroidsError: a setting out of range, or a checkpoint of another training.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.adam(make_model, data, seed=0, budget=2)
        >>> found.ended, found.gradient_steps
        ('budget', 4)

    Reference:
        D. Kingma, J. Ba, 2015, arXiv 1412.6980; I. Loshchilov, F. Hutter, 2019, arXiv 1711.05101.
    """
    two = isinstance(betas, Sequence) and len(betas) == 2
    if not two or not all(0 <= beta < 1 for beta in betas) or not eps > 0:
        raise ToroidsError(
            f"betas are {betas} and eps is {eps}; pass two with 0 <= beta < 1, and eps > 0."
        )
    recipe = Recipe(budget, hold, batch_size, lr, 0.0, weight_decay, schedule, clip, seconds)
    (model,), data = prepare(make_model, data, [seed], device)
    settings = {"solver": "adam", "recipe": recipe, "seed": seed, "betas": betas, "eps": eps}
    session = Session({**settings, "decoupled": decoupled}, data, checkpoint)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = kind(model.parameters(), lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
    clamped(optimizer, model)
    return trained(session.run(Plain(model, optimizer, clip), model, data, recipe, [seed]))
