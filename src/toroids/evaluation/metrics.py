"""What is measured of a network's outputs, one error and one loss per example.

A metric is any function of outputs and targets that gives one number per example (which then serves
as error and as loss), a pair (errors, losses), or `Scores`. Built in are classification by the
largest logit, by the k largest (of whole inputs, or of every token of a sequence), the prediction
of the next token where targets are the input tokens themselves, and the squared error.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from toroids.errors import DataError, ToroidsError
from toroids.params import precise, rows
from toroids.result import Result


@dataclass(frozen=True, repr=False)
class Scores(Result):
    """Errors and losses of a batch; 1-D tensors of one entry per example.

    Attributes:
        errors: sum of the errors of every example.
        losses: sum of the losses of every example.
        weights: how much every example counts, as the number of its tokens; 1 where None.
    """

    errors: Tensor
    losses: Tensor
    weights: Tensor | None = None


Scored: TypeAlias = Tensor | tuple[Tensor, Tensor] | Scores
Metric: TypeAlias = Callable[[Tensor, Tensor], Scored]

NAMES = "classification, top-K (as top-5), next-token, squared-error"
# Targets of this value are not counted, as in torch's cross-entropy.
IGNORED = -100
# With fewer classes than this the cross-entropy of many examples is two to five times faster by
# columns, with more it is slower.
FEW = 16


@dataclass(frozen=True)
class Classification:
    """Whether the label is among the `top` largest logits, and the cross-entropy in nats.

    Where every token of a sequence has a label, as the token that follows it, a sequence is one
    example, so that standard errors do not take its tokens for independent.
    """

    top: int = 1

    def __call__(self, outputs: Tensor, targets: Tensor) -> Scores:
        """Scores logits (n, classes) against labels (n,), or (n, length, classes) likewise."""
        if targets.ndim == 2:
            return _of_tokens(outputs, targets, self.top)
        return Scores(_wrong(outputs, targets, self.top), cross_entropy(outputs, targets))

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Raises unless the labels are classes of the logits."""
        check_integers(targets)
        if outputs.ndim not in (2, 3) or targets.shape != outputs.shape[:-1]:
            raise DataError(
                f"the logits have shape {tuple(outputs.shape)} and the labels "
                f"{tuple(targets.shape)}; expected (examples, classes) and (examples,), or of "
                "sequences (examples, length, classes) and (examples, length)."
            )
        if targets.ndim == 2:
            _check_tokens(outputs, targets)
            return
        outside = (targets < 0) | (targets >= outputs.shape[1])
        if bool(outside.any()):
            position = int(outside.nonzero()[0])
            raise DataError(
                f"label {int(targets[position])} (example {position} of its batch) is not one of "
                f"the network's {outputs.shape[1]} classes, 0 to {outputs.shape[1] - 1}; relabel "
                "the data."
            )


@dataclass(frozen=True)
class NextToken:
    """Whether the next token has the largest logit, and its cross-entropy in nats per token.

    A sequence is one example, so that standard errors do not take its tokens for independent.
    """

    def __call__(self, outputs: Tensor, targets: Tensor) -> Scores:
        """Scores logits (n, length, vocabulary) against the tokens themselves (n, length)."""
        return _of_tokens(outputs[:, :-1], targets[:, 1:], 1)

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Raises unless the targets are tokens of the vocabulary."""
        check_integers(targets)
        if outputs.ndim != 3 or targets.shape != outputs.shape[:2] or targets.shape[1] < 2:
            raise DataError(
                f"the logits have shape {tuple(outputs.shape)} and the targets "
                f"{tuple(targets.shape)}; expected (examples, length, vocabulary) and (examples, "
                "length), the input tokens themselves, two or more."
            )
        _check_tokens(outputs, targets)


def _of_tokens(logits: Tensor, targets: Tensor, top: int) -> Scores:
    """Sums errors and losses over the tokens of every sequence, but for those ignored."""
    counts = targets != IGNORED
    losses = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED
    ).view(targets.shape)
    wrong = _wrong(logits, targets, top) & counts
    return Scores(wrong.sum(dim=1), precise(losses).sum(dim=1), counts.sum(dim=1))


def _wrong(logits: Tensor, targets: Tensor, top: int) -> Tensor:
    """Where the target is not among the largest logits."""
    if top == 1:
        return logits.argmax(dim=-1) != targets
    best = logits.topk(min(top, logits.shape[-1]), dim=-1).indices
    return (best != targets[..., None]).all(dim=-1)


def _check_tokens(outputs: Tensor, targets: Tensor) -> None:
    outside = ((targets < 0) | (targets >= outputs.shape[2])) & (targets != IGNORED)
    if bool(outside.any()):
        raise DataError(
            f"token {int(targets[outside][0])} is not in the vocabulary of {outputs.shape[2]}; "
            f"pass tokens from 0 on, {IGNORED} for those that do not count."
        )


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Computes the mean cross-entropy in nats, what solvers descend on.

    Args:
        logits: of shape (n, classes) or (n, length, classes).
        labels: of shape (n,) or (n, length).

    Returns:
        A number.
    """
    if labels.ndim == 1:
        return F.cross_entropy(logits, labels)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Computes the cross-entropy of every example, in nats.

    Args:
        logits: of shape (n, classes).
        labels: of shape (n,).

    Returns:
        Shape (n,).
    """
    if logits.shape[1] < FEW:
        # By columns: examples fill the processor's vectors where so few classes do not.
        columns = logits.T.contiguous()[None]
        return F.cross_entropy(columns, labels[None], reduction="none")[0]
    return F.cross_entropy(logits, labels, reduction="none")


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Sums the squared differences of every example's outputs and targets, for regression."""
    if outputs.shape != targets.shape:
        raise DataError(
            f"the outputs have shape {tuple(outputs.shape)} and the targets "
            f"{tuple(targets.shape)}; expected equal shapes."
        )
    return rows((outputs - targets).square()).sum(dim=1)


def check_integers(targets: Tensor) -> None:
    """Raises unless the targets are class numbers."""
    if targets.is_floating_point() or targets.is_complex():
        raise DataError(f"the labels have dtype {targets.dtype}; pass class numbers as integers.")


def check_differentiable(loss: Tensor) -> None:
    """Raises unless torch can differentiate what a metric gave."""
    if not loss.requires_grad:
        raise DataError(
            "the metric's loss has no gradient; return a pair (errors, losses) with losses that "
            "torch can differentiate."
        )


def metric_named(metric: str | Metric) -> Metric:
    """Finds a built-in metric by its name.

    Args:
        metric: a name, or a metric.

    Returns:
        The metric; what is no name is handed back.

    Raises:
        ToroidsError: there is no metric of that name.
    """
    if not isinstance(metric, str):
        if not callable(metric):
            raise ToroidsError(
                f"the metric is a {type(metric).__name__}; choose from {NAMES}, or pass a function "
                "of outputs and targets."
            )
        return metric
    if top := re.fullmatch(r"top-([1-9]\d*)", metric):
        return Classification(int(top[1]))
    named: dict[str, Metric] = {
        "classification": Classification(),
        "next-token": NextToken(),
        "squared-error": squared_error,
    }
    if metric not in named:
        raise ToroidsError(f"there is no metric {metric!r}; choose from {NAMES}.")
    return named[metric]


def score(metric: Metric, outputs: Tensor, targets: Tensor) -> Scores:
    """Applies a metric and checks what it gives.

    Args:
        metric: a function of outputs and targets.
        outputs: of a network, for a batch.
        targets: of the same batch.

    Returns:
        Its scores, weights always given.

    Raises:
        DataError: it is not one number per example.
    """
    found = metric(outputs, targets)
    if isinstance(found, Tensor):
        found = Scores(found, found)
    elif not isinstance(found, Scores):
        try:
            found = Scores(*found)
        except TypeError:
            raise DataError(
                f"the metric returned a {type(found).__name__}; return one number per example, or "
                "a pair (errors, losses) of these."
            ) from None
    for what in ("errors", "losses", "weights"):
        value = getattr(found, what)
        if value is None and what == "weights":
            continue
        if not isinstance(value, Tensor) or tuple(value.shape) != (len(targets),):
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise DataError(
                f"the metric returned {what} of shape {shape} for {len(targets)} examples; return "
                "one number per example."
            )
    if found.weights is None:
        return Scores(found.errors, found.losses, torch.ones_like(found.losses))
    return found
