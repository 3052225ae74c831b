"""Means over examples, and their standard errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from toroids.errors import DataError
from toroids.evaluation.metrics import Scores
from toroids.params import precise


@dataclass(frozen=True)
class Evaluation:
    """Error and loss of one network on one data set.

    Attributes:
        error: mean error; for classification the fraction of examples whose largest logit is not
            the label, in [0, 1].
        loss: mean loss; for classification the cross-entropy, in nats.
        error_stderr: standard error of `error` over the examples, for a fraction the binomial
            sqrt(e (1 - e) / n).
        loss_stderr: standard error of `loss` over the examples.
        examples: how many examples, n.

    See `evaluate` for an example.
    """

    error: float
    loss: float
    error_stderr: float
    loss_stderr: float
    examples: int


def joined(parts: Sequence[Scores]) -> Scores:
    """Joins the scores of batches.

    Args:
        parts: of every batch, weights given.

    Returns:
        All of them in float64.

    Raises:
        DataError: there are none.
    """
    if not parts:
        raise DataError("the data holds no examples; pass at least one.")
    names = ("errors", "losses", "weights")
    return Scores(*(torch.cat([precise(getattr(part, name)) for part in parts]) for name in names))


def summarise(scores: Scores) -> Evaluation:
    """Computes weighted means and their standard errors over the examples.

    With e_i the errors and w_i the weights, r = sum e / sum w has to first order the standard error
    sqrt(sum (e_i - r w_i)^2) / sum w.

    Args:
        scores: of all examples, in float64.

    Returns:
        The means.

    Raises:
        DataError: nothing counts.
    """
    assert scores.weights is not None  # `score` fills it in
    total = scores.weights.sum()
    if not bool(total > 0):
        raise DataError("the data holds no examples that count; pass at least one.")
    means = [values.sum() / total for values in (scores.errors, scores.losses)]
    spreads = [
        (values - mean * scores.weights).square().sum().sqrt() / total
        for values, mean in zip((scores.errors, scores.losses), means, strict=True)
    ]
    error, loss, error_stderr, loss_stderr = torch.stack([*means, *spreads]).tolist()
    return Evaluation(error, loss, error_stderr, loss_stderr, len(scores.errors))
