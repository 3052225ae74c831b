"""How a training runs: budget, mini-batches, learning rate; the same for all that are compared."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from toroids.arguments.checked import checked_methods
from toroids.settings import Count, Positive, Rate, Seconds, check_settings

# The step schedule divides the rate by ten after these shares of the budget.
DROPS = (0.5, 0.75)
Schedule: TypeAlias = Literal["cosine", "constant", "step"]


@checked_methods
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What all solvers that descend gradients share, so that the same settings compare them.

    Attributes:
        budget: epochs at most.
        hold: consecutive epochs of zero train error that end the training.
        batch_size: examples per mini-batch.
        lr: learning rate at the start.
        schedule: "cosine", half a cosine down to 0 over the budget; "constant"; or "step", a tenth
            after half and a hundredth after three quarters of the budget.
        clip: largest norm of the gradient over all weights; no limit when None.
        seconds: wall time after which the training ends with the epoch it is in; None for no limit.

    Example:
        >>> import toroids as td
        >>> recipe = td.solvers.Recipe(budget=4, lr=0.1, schedule="step")
        >>> [round(recipe.rate(epoch), 4) for epoch in range(4)]
        [0.1, 0.1, 0.01, 0.001]
    """

    budget: Count = 60
    hold: Count = 1
    batch_size: Count = 50
    lr: Rate = 0.1
    schedule: Schedule = "cosine"
    clip: Positive | None = None
    seconds: Seconds | None = None

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def gradients(self) -> int:
        """How many mini-batch gradients one step computes."""
        return 1

    def rate(self, epoch: int) -> float:
        """Learning rate of `epoch`, counted from 0; a cosine is lr (1 + cos(pi e / budget)) / 2."""
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.budget))
        drops = sum(epoch >= share * self.budget for share in DROPS)
        return self.lr * 0.1**drops if self.schedule == "step" else self.lr

    def growing(self, ends: tuple[float, float], epoch: int) -> float:
        """A strength in `epoch`, counted from 0: geometric from one end to the other."""
        first, last = ends
        return float(first * (last / first) ** (epoch / max(self.budget - 1, 1)))
