"""How a training runs: budget, mini-batches, learning rate; the same for all that are compared."""

import math
from dataclasses import dataclass

from toroids.arguments import check_fields, check_seconds, checked_methods
from toroids.errors import ToroidsError

SCHEDULES = ("cosine", "constant", "step")
# The step schedule divides the rate by ten after these shares of the budget.
DROPS = (0.5, 0.75)


@checked_methods
@dataclass(frozen=True)
class Recipe:
    """How the final training runs; the same for every solver of a comparison.

    Attributes:
        budget: epochs at most.
        hold: consecutive epochs of zero train error that end the training.
        batch_size: examples per mini-batch.
        lr: learning rate at the start.
        momentum: Nesterov momentum, in [0, 1).
        weight_decay: L2 penalty on the gradient.
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

    budget: int = 60
    hold: int = 1
    batch_size: int = 50
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    clip: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("budget", "hold", "batch_size"):
            value = getattr(self, name)
            if value < 1:
                raise ToroidsError(f"{name} is {value!r}; pass a whole number, at least 1.")
        if not 0 < self.lr < math.inf:
            raise ToroidsError(f"lr is {self.lr}; pass a positive learning rate.")
        if not 0 <= self.momentum < 1:
            raise ToroidsError(f"momentum is {self.momentum}; pass 0 or more and less than 1.")
        if not 0 <= self.weight_decay < math.inf:
            raise ToroidsError(f"weight_decay is {self.weight_decay}; pass 0 or more.")
        if self.schedule not in SCHEDULES:
            raise ToroidsError(f"there is no schedule {self.schedule!r}; choose from {SCHEDULES}.")
        if self.clip is not None and not self.clip > 0:
            raise ToroidsError(f"clip is {self.clip}; pass a positive number, or None.")
        check_seconds(self.seconds, f"seconds is {self.seconds}")

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
