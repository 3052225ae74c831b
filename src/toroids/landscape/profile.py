"""Error and loss along a path between two networks, and the barrier read off them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from toroids.errors import ToroidsError
from toroids.evaluation.batches import Data
from toroids.evaluation.evaluator import Evaluator
from toroids.evaluation.running import check_params
from toroids.geometry.paths import Path


@dataclass(frozen=True)
class Profile:
    """Error and loss at equally spaced points of a path; 1-D float64 tensors of equal length.

    Attributes:
        t: positions in [0, 1].
        error: fraction of examples that are wrong.
        loss: mean cross-entropy, in nats.
        error_stderr: binomial standard error of `error`.
        loss_stderr: standard error of `loss` over the examples.
    """

    t: Tensor
    error: Tensor
    loss: Tensor
    error_stderr: Tensor
    loss_stderr: Tensor

    @property
    def barrier(self) -> float:
        """The largest error on the path minus the larger error of its two ends; at least 0."""
        return float(self.error.max() - torch.maximum(self.error[0], self.error[-1]))


def profile(
    model: nn.Module,
    path: Path,
    data: Data,
    points: int = 25,
    *,
    batch_size: int = 4096,
    output_key: str | int | None = None,
) -> Profile:
    """Measures error and loss along `path`.

    Args:
        model: gives the architecture; it is left as it was.
        path: a function of t in [0, 1] that gives parameters.
        data: a pair `(inputs, labels)` or an iterable of such batches.
        points: how many equally spaced positions, both ends included.
        batch_size: how many examples of a pair of tensors are run at once.
        output_key: which entry of a structured output holds the logits.

    Returns:
        The curves, and the barrier on them.

    Raises:
        ToroidsError: fewer than two points.
        ParamsError: an end of the path is not of the model's architecture or not finite.
        DataError: as in `evaluate`.

    Example:
        >>> import torch, toroids as td
        >>> a = td.models.fully_connected([2, 3, 2], seed=0)
        >>> b = td.models.fully_connected([2, 3, 2], seed=1)
        >>> data = (torch.randn(8, 2), torch.zeros(8, dtype=torch.long))
        >>> curve = td.profile(a, td.Line(a.state_dict(), b.state_dict()), data, points=5)
        >>> curve.t.tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if points < 2:
        raise ToroidsError(f"a profile needs at least 2 points, its two ends; got {points}.")
    check_params(model, path(0.0), "the path's start")
    check_params(model, path(1.0), "the path's end")
    evaluator = Evaluator(model, data, batch_size=batch_size, output_key=output_key)
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    evaluations = [evaluator(path(position)) for position in t.tolist()]

    def curve(name: str) -> Tensor:
        return torch.tensor([getattr(e, name) for e in evaluations], dtype=torch.float64)

    return Profile(t, curve("error"), curve("loss"), curve("error_stderr"), curve("loss_stderr"))
