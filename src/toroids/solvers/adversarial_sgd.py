"""SGD from an adversarial initialisation: random labels first, the true labels afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import nn

from toroids.arguments.checked import checked_methods
from toroids.evaluation.batches import TensorPair
from toroids.evaluation.passes import Passes
from toroids.settings import Count, Rate, Share
from toroids.solvers.recipe import Recipe
from toroids.solvers.session import Session
from toroids.solvers.sgd import SGD
from toroids.solvers.solver import Descent
from toroids.solvers.training import Method, Phase


@checked_methods
@dataclass(frozen=True, kw_only=True)
class AdversarialSGD(Descent):
    """SGD from a start that fits random labels: a sharp minimum.

    First the network fits `copies` corrupted copies of the inputs, in which every pixel is set to
    zero with probability `zeroed`, with labels drawn uniformly from the classes, at a constant
    learning rate until no error is left or `corrupt_budget` epochs are used. Then it is trained on
    the true data exactly as by `SGD`, without regularisation. The history holds the phases
    "corrupt" and "train".

    Attributes:
        momentum: Nesterov momentum, in [0, 1).
        copies: corrupted copies of every input.
        zeroed: probability that a pixel of a copy is set to zero, in [0, 1).
        corrupt_budget: epochs at most on the corrupted copies.
        corrupt_lr: constant learning rate on the corrupted copies; the other settings, of the
            training on the true labels, are those of `Recipe`.

    Example:
        >>> import toroids as td
        >>> data = td.data.digits(train=100).train
        >>> make_model = lambda seed: td.models.fully_connected([64, 8, 10], seed=seed)
        >>> solver = td.solvers.AdversarialSGD(budget=2, corrupt_budget=1)
        >>> [epoch.phase for epoch in solver.train(make_model, data, seed=0).history]
        ['corrupt', 'train', 'train']

    Reference:
        S. Liu, D. Papailiopoulos, D. Achlioptas, Bad global minima exist and SGD can reach them,
        2020, arXiv 1906.02613.
    """

    momentum: Share = 0.9
    copies: Count = 4
    zeroed: Share = 0.3
    corrupt_budget: Count = 200
    corrupt_lr: Rate = 0.05

    @property
    def first(self) -> SGD:
        """What fits the random labels."""
        return replace(
            self.second, budget=self.corrupt_budget, hold=1, lr=self.corrupt_lr, schedule="constant"
        )

    @property
    def second(self) -> SGD:
        """What trains on the true labels."""
        shared = {field.name: getattr(self, field.name) for field in fields(Recipe)}
        return SGD(**shared, momentum=self.momentum)

    def passes(self, examples: int) -> Passes:
        """Counts the passes of both phases; an epoch of the first one is on all copies."""
        first, second = self.first.passes(self.copies * examples), self.second.passes(examples)
        forward = self.copies * first.forward + second.forward
        return Passes(first.steps + second.steps, self.batch_size, forward, self.seconds)

    def _phases(
        self, session: Session, models: list[nn.Module], data: TensorPair, seeds: Sequence[int]
    ) -> list[Phase]:
        # Streams of their own, apart from the mini-batches of the second phase.
        (model,), (seed,), first, second = models, seeds, self.first, self.second
        generator = torch.Generator().manual_seed(seed + 1_000_003)
        corrupted = corrupt(data, self.copies, self.zeroed, generator)
        fitting = first._method(models, corrupted, seed)
        start = session.run(fitting, model, corrupted, first, [seed + 1_000_007], "corrupt")
        if start.ended in ("diverged", "time"):
            return [start]
        return [start, *second._phases(session, models, data, seeds)]

    def _method(self, models: list[nn.Module], data: TensorPair, seed: int) -> Method:
        return self.second._method(models, data, seed)


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
