"""Adam, with its decay decoupled (AdamW) or not."""

from dataclasses import dataclass

import torch
from torch import nn

from toroids.binary.layers import clamped
from toroids.evaluation.batches import TensorPair
from toroids.settings import NonNegative, Positive, Rate, Share
from toroids.solvers.sgd import Plain
from toroids.solvers.solver import Descent
from toroids.solvers.training import Method


@dataclass(frozen=True, kw_only=True)
class Adam(Descent):
    """Adam, or AdamW where there is a decoupled decay.

    With g the mini-batch gradient, b1 and b2 the betas, and t the number of steps,

        m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g^2,
        w <- w - lr_e m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps),

    and w shrinks by lr_e weight_decay w before (decoupled), or g grows by weight_decay w.

    Attributes:
        betas: decay of the means of gradients and of their squares, in [0, 1).
        eps: added to the root of the squares.
        weight_decay: decay of the weights.
        decoupled: whether the decay acts on the weights (AdamW), not through the gradient; the
            other settings are those of `Recipe`.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> found = td.solvers.Adam(budget=2).train(make_model, data, seed=0)
        >>> found.ended, found.gradient_steps
        ('budget', 4)

    Reference:
        D. Kingma, J. Ba, 2015, arXiv 1412.6980; I. Loshchilov, F. Hutter, 2019, arXiv 1711.05101.
    """

    lr: Rate = 0.001
    weight_decay: NonNegative = 0.0
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8
    decoupled: bool = True

    def _method(self, models: list[nn.Module], data: TensorPair, seed: int) -> Method:
        (model,) = models
        kind = torch.optim.AdamW if self.decoupled else torch.optim.Adam
        optimizer = kind(
            model.parameters(),
            lr=self.lr,
            betas=(float(self.betas[0]), float(self.betas[1])),  # torch takes no (0, 0.5)
            eps=self.eps,
            weight_decay=self.weight_decay,
        )
        clamped(optimizer, model)
        return Plain(model, optimizer, self.clip)
