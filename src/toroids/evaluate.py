"""Error and loss of a network on data, with the network's parameters passed as data.

The module only lends its architecture: its own weights, buffers and mode are as before afterwards.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from toroids.errors import DataError, ParamsError
from toroids.params import Params, check_finite, check_shapes, precise

Batch: TypeAlias = tuple[Tensor, Tensor]
Data: TypeAlias = Batch | Iterable[Batch]


@dataclass(frozen=True)
class Evaluation:
    """Classification error and cross-entropy of one network on one data set.

    Attributes:
        error: fraction of examples whose largest logit is not the label, in [0, 1].
        loss: mean cross-entropy, in nats.
        error_stderr: binomial standard error of `error`, sqrt(e (1 - e) / n).
        loss_stderr: standard error of `loss` over the examples.
        examples: how many examples, n.
    """

    error: float
    loss: float
    error_stderr: float
    loss_stderr: float
    examples: int


def evaluate(
    model: nn.Module,
    params: Params,
    data: Data,
    *,
    batch_size: int = 4096,
    output_key: str | int | None = None,
) -> Evaluation:
    """Computes the classification error and the cross-entropy of `params` on `data`.

    Args:
        model: gives the architecture; it is run in evaluation mode and left as it was.
        params: parameters and buffers by name, as `model.state_dict()` gives them; they say on
            which device and in which precision the network runs.
        data: a pair `(inputs, labels)` of shapes (n, ...) and (n,), or an iterable of such batches.
        batch_size: how many examples of a pair of tensors are run at once.
        output_key: which entry of a tuple, a dict or a ModelOutput holds the logits.

    Returns:
        Error, loss and their standard errors.

    Raises:
        ParamsError: names or shapes that are not the model's; NaN or infinite weights.
        DataError: no examples, labels that are not classes of the network, inputs that the model
            cannot run on, or outputs that are not finite.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([2, 3, 2], seed=0)
        >>> inputs, labels = torch.randn(8, 2), torch.zeros(8, dtype=torch.long)
        >>> evaluation = td.evaluate(model, model.state_dict(), (inputs, labels))
        >>> evaluation.examples
        8
    """
    check_params(model, params)
    return Evaluator(model, data, batch_size=batch_size, output_key=output_key)(params)


def check_params(model: nn.Module, params: Params, what: str = "the parameters") -> None:
    """Raises unless `params` has the names and shapes of `model` and is finite.

    Args:
        model: gives the architecture.
        params: parameters and buffers by name.
        what: how the message calls them.

    Raises:
        ParamsError: names the tensor that is missing, unknown, misshapen or not finite.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    check_shapes(params, shapes, what, "the model")
    check_finite(params, what)


class Evaluator:
    """Evaluates many parameter sets of one architecture on the same data.

    What does not depend on the parameters is done once: the data is cut into batches, moved to
    the device and checked on the first call.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        *,
        batch_size: int = 4096,
        output_key: str | int | None = None,
    ) -> None:
        """Prepares `data` for `model`; see `evaluate` for the arguments."""
        self.model = model
        self.output_key = output_key
        self._batches = batches(data, batch_size)
        self._place: tuple[torch.device, torch.dtype] | None = None

    @torch.no_grad()
    def __call__(self, params: Params) -> Evaluation:
        """Computes error and loss of `params`, whose names, shapes and values are trusted."""
        sums, examples = [], 0
        with evaluation_mode(self.model):
            for (inputs, labels), checked in self._ready(*_place(params)):
                logits = self._logits(params, inputs)
                if not checked:
                    _check_labels(logits, labels)
                losses = precise(nn.functional.cross_entropy(logits, labels, reduction="none"))
                wrong = precise((logits.argmax(dim=1) != labels).sum())
                # minus infinity is a mask, anything else that is not finite has no largest logit
                undefined = precise((logits.isnan() | logits.isposinf()).any(dim=1).sum())
                sums.append(torch.stack([wrong, losses.sum(), losses.square().sum(), undefined]))
                examples += len(labels)
        if examples == 0:
            raise DataError("the data holds no examples; pass at least one.")
        wrong, loss, squares, undefined = torch.stack(sums).sum(dim=0).tolist()
        if undefined:
            raise DataError(
                f"the outputs are NaN or infinite on {undefined:.0f} of {examples} examples; look "
                "for NaN in the inputs and for weights, or noise, that overflow the precision."
            )
        return _summarised(wrong, loss, squares, examples)

    def gradient(self, params: Params, scale: float = 1.0) -> tuple[float, dict[str, Tensor]]:
        """Computes the mean cross-entropy and its gradient.

        Args:
            params: parameters and buffers, whose names, shapes and values are trusted.
            scale: what the logits are multiplied by, an inverse temperature.

        Returns:
            The loss in nats, and for every parameter a tensor of its shape. Names that share one
            parameter of the model, as tied weights do, have one gradient, the sum over its uses.

        Raises:
            DataError: no examples, or a loss that is not finite.
        """
        owners = owners_of(self.model)
        leaves = {n: params[n].detach().clone().requires_grad_() for n in set(owners.values())}
        lent = {**params, **{name: leaves[owner] for name, owner in owners.items()}}
        total, examples = 0.0, 0
        with evaluation_mode(self.model), torch.enable_grad():
            for (inputs, labels), checked in self._ready(*_place(params)):
                logits = self._logits(lent, inputs)
                if not checked:
                    _check_labels(logits, labels)
                loss = nn.functional.cross_entropy(scale * logits, labels, reduction="sum")
                loss.backward()  # type: ignore[no-untyped-call]
                total += float(loss.detach())
                examples += len(labels)
        if examples == 0:
            raise DataError("the data holds no examples; pass at least one.")
        if not math.isfinite(total):
            raise DataError(
                f"the loss is {total}; look for NaN in the inputs and for weights that overflow."
            )
        zero = torch.zeros(())
        gradients = {
            name: zero.to(leaf).expand(leaf.shape) if leaf.grad is None else leaf.grad / examples
            for name, leaf in leaves.items()
        }
        return total / examples, {name: gradients[owner] for name, owner in owners.items()}

    def _ready(self, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[Batch, bool]]:
        """Yields every batch on its device, and whether its labels have been checked before."""
        if not isinstance(self._batches, list):  # a loader may give other batches every time
            yield from ((_moved(batch, device, dtype), False) for batch in self._batches)
            return
        checked = self._place == (device, dtype)
        if not checked:
            self._batches = [_moved(batch, device, dtype) for batch in self._batches]
        yield from ((batch, checked) for batch in self._batches)
        self._place = (device, dtype)

    def _logits(self, params: Params, inputs: Tensor) -> Tensor:
        return select_output(run(self.model, params, inputs), self.output_key)


def owners_of(model: nn.Module) -> dict[str, str]:
    """Maps every parameter name to the first name of the same parameter: tied weights share one."""
    first: dict[int, str] = {}
    return {
        name: first.setdefault(id(parameter), name)
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }


def run(model: nn.Module, params: Params, inputs: Tensor) -> Any:
    """Runs a model with other parameters, of which no forward changes any.

    Args:
        model: in evaluation mode.
        params: parameters and buffers by name.
        inputs: a batch on their device.

    Returns:
        What the model returns.

    Raises:
        DataError: the model cannot run on these inputs.
    """
    # A forward that changes its buffers in place must not reach the caller's tensors.
    lent = dict(params)
    for name, _ in model.named_buffers():
        if name in lent:
            lent[name] = lent[name].clone()
    try:
        return functional_call(model, lent, (inputs,), tie_weights=False)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise DataError(
            f"the model cannot run on inputs of shape {tuple(inputs.shape)} and type "
            f"{inputs.dtype}: {str(error).splitlines()[0]}."
        ) from error


def _summarised(wrong: float, loss_sum: float, squares: float, examples: int) -> Evaluation:
    error, loss = wrong / examples, loss_sum / examples
    variance = max(squares / examples - loss**2, 0.0)
    return Evaluation(
        error=error,
        loss=loss,
        error_stderr=math.sqrt(error * (1 - error) / examples),
        loss_stderr=math.sqrt(variance / examples),
        examples=examples,
    )


def select_output(output: Any, key: str | int | None = None) -> Tensor:
    """Picks the logits out of what a model returned.

    Args:
        output: a tensor, or a tuple, dict or ModelOutput that holds one.
        key: the entry to take; without it a tensor is itself and anything else its `logits`
            or its first entry.

    Returns:
        The tensor.

    Raises:
        DataError: the entry is missing or is not a tensor.
    """
    picked = output
    if key is not None or not isinstance(output, Tensor):
        try:
            if key is not None:
                picked = output[key]
            else:
                picked = output["logits"] if hasattr(output, "keys") else output[0]
        except (KeyError, IndexError, TypeError) as error:
            raise DataError(
                f"the model returned a {type(output).__name__} without the entry "
                f"{'logits' if key is None else key!r}; name the logits with output_key."
            ) from error
    if not isinstance(picked, Tensor):
        raise DataError(
            f"the model's output is a {type(picked).__name__}, not a tensor; "
            "name the logits with output_key."
        )
    return picked


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts every submodule in evaluation mode and restores each one's own mode afterwards."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def batches(data: Data, batch_size: int) -> Iterable[Batch]:
    """Cuts a pair of tensors into batches; keeps an iterable that can be run through again.

    Args:
        data: a pair `(inputs, labels)` or an iterable of such pairs.
        batch_size: how many examples of a pair of tensors go into one batch.

    Returns:
        A list for tensors and for one-shot iterators, else `data` itself (a DataLoader draws
        anew, so it is neither copied nor held in memory).

    Raises:
        DataError: no examples, or unequal numbers of inputs and labels.
    """
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}; pass at least 1.")
    if isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], Tensor):
        inputs, labels = check_pair(data)
        if len(inputs) != len(labels):
            raise DataError(
                f"there are {len(inputs)} inputs but {len(labels)} labels; pass one label each."
            )
        if len(inputs) == 0:
            raise DataError("the data holds no examples; pass at least one.")
        return list(
            zip(torch.split(inputs, batch_size), torch.split(labels, batch_size), strict=True)
        )
    if isinstance(data, Tensor) or not isinstance(data, Iterable):
        raise DataError(f"the data is a {type(data).__name__}; {_EXPECTED}.")
    if iter(data) is data:  # a generator can be run through only once
        return list(data)
    return data


_EXPECTED = "expected a pair of tensors (inputs, labels) or an iterable of such pairs"


def check_pair(batch: object) -> Batch:
    """Returns `batch` if it is a pair of tensors with an axis of examples.

    Args:
        batch: what came as one batch.

    Returns:
        Inputs and labels.

    Raises:
        DataError: it is something else.
    """
    if (
        not isinstance(batch, tuple | list)
        or len(batch) != 2
        or not all(isinstance(part, Tensor) and part.ndim for part in batch)
    ):
        raise DataError(f"a batch is a {type(batch).__name__}, not a pair; {_EXPECTED}.")
    return batch[0], batch[1]


def _place(params: Params) -> tuple[torch.device, torch.dtype]:
    for tensor in params.values():
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    raise ParamsError("the parameters hold no floating-point tensor; pass a model's state dict.")


def _moved(batch: Batch, device: torch.device, dtype: torch.dtype) -> Batch:
    inputs, labels = check_pair(batch)
    if labels.is_floating_point() or labels.is_complex():
        raise DataError(f"the labels have dtype {labels.dtype}; pass class numbers as integers.")
    return (
        inputs.to(device, dtype if inputs.is_floating_point() else None, non_blocking=True),
        labels.to(device, torch.long, non_blocking=True),
    )


def _check_labels(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise DataError(
            f"the logits have shape {tuple(logits.shape)} and the labels {tuple(labels.shape)}; "
            "expected (examples, classes) and (examples,)."
        )
    outside = (labels < 0) | (labels >= logits.shape[1])
    if bool(outside.any()):
        position = int(outside.nonzero()[0])
        raise DataError(
            f"label {int(labels[position])} (example {position} of its batch) is not one of the "
            f"network's {logits.shape[1]} classes, 0 to {logits.shape[1] - 1}; relabel the data."
        )
