"""Batch-norm statistics of a network whose weights were made, not trained.

Between two networks the statistics of neither are those of the activations. They are estimated
anew on training data: one pass in which every batch norm normalises by its batch, so that the norms
behind it see what they will see, while its inputs' mean and variance are added up over all batches.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from toroids.arguments.checked import checked
from toroids.errors import DataError, said
from toroids.evaluation.batches import Data
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import check_params, run
from toroids.params import Params, check_finite, computing, infinite_in, precise

BatchNorm = nn.modules.batchnorm._BatchNorm


class Moments:
    """Mean and variance of channels, added up over batches in float64."""

    def __init__(self) -> None:
        """Begins with nothing."""
        self.count = 0
        self.mean: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, values: Tensor, axis: int) -> None:
        """Adds a batch whose channels lie along `axis`."""
        values = values.detach()
        others = [x for x in range(values.ndim) if x != axis % values.ndim]
        count = math.prod(values.shape[x] for x in others)
        # a batch's own precision is enough: torch adds up in pieces, around the mean
        found = torch.var_mean(values.to(computing(values)), dim=others, correction=0)
        self.join(count, found[1], found[0])

    def join(self, count: int, mean: Tensor, variance: Tensor) -> None:
        """Adds a batch of which the mean and the biased variance are known."""
        mean, squares = precise(mean), precise(variance) * count
        if self.mean is None or self._squares is None:
            self.count, self.mean, self._squares = count, mean, squares
            return
        step, total = mean - self.mean, self.count + count
        self._squares = self._squares + squares + step.square() * (self.count * count / total)
        self.mean, self.count = self.mean + step * (count / total), total

    @property
    def variance(self) -> Tensor:
        """The unbiased variance, as torch's batch norm keeps it."""
        assert self._squares is not None  # something was added
        return self._squares / (self.count - 1)


class Recalibrator:
    """Estimates the batch-norm statistics of many parameter sets on the data of a landscape."""

    def __init__(self, landscape: Landscape) -> None:
        """Finds the batch norms."""
        self._landscape, self._model = landscape, landscape.model
        self.norms = batch_norms(landscape.model)

    @torch.no_grad()
    def __call__(self, params: Params) -> dict[str, Tensor]:
        """Estimates the statistics of `params`, whose names, shapes and values are trusted.

        Args:
            params: parameters and buffers by name.

        Returns:
            The same names, with other statistics.

        Raises:
            DataError: as in `recalibrate`.
        """
        if not self.norms:
            return dict(params)
        moments = {module: Moments() for _, module in self.norms}
        with self._landscape.evaluation_mode(), batch_statistics(self._model):
            hooks = [module.register_forward_hook(_adding(moments[module])) for module in moments]
            try:
                for inputs, _ in self._landscape.ready(params):
                    run(self._model, params, inputs)
            finally:
                for hook in hooks:
                    hook.remove()
        estimated = dict(params)
        for name, module in self.norms:
            found = moments[module]
            if found.mean is None:  # never run in evaluation
                continue
            if found.count < 2:
                raise DataError(
                    f"batch norm `{name}` saw a single value per channel, which has no variance; "
                    "pass at least two examples."
                )
            for key, value in (("running_mean", found.mean), ("running_var", found.variance)):
                full = f"{name}.{key}" if name else key
                estimated[full] = value.to(params[full])
        return estimated


@checked
def recalibrate(
    model: nn.Module, params: Params, data: Data, *, batch_size: int = 4096
) -> dict[str, Tensor]:
    """Estimates the mean and the variance of every batch norm anew.

    Args:
        model: gives the architecture; it is left as it was.
        params: parameters and buffers by name.
        data: a pair `(inputs, targets)` or an iterable of such batches, best the training data;
            targets are not looked at.
        batch_size: how many examples of a pair of tensors are run at once; a batch norm behind
            another sees its inputs normalised by the batch.

    Returns:
        The same names; only the `running_mean` and `running_var` of batch norms have changed.

    Raises:
        ParamsError: `params` is not of the model's architecture or not finite.
        DataError: no examples, or a batch of a single value per channel.

    Example:
        >>> import torch, toroids as td
        >>> model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 3))
        >>> inputs = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> found = td.recalibrate(model, model.state_dict(), (inputs, torch.zeros(2)))
        >>> found["0.running_mean"]
        tensor([ 2., 20.])

    Reference:
        Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018,
        arXiv 1803.05407.
    """
    check_params(model, params)
    estimated = Recalibrator(Landscape(model, data, batch_size=batch_size))(params)
    what = "the recalibrated network, whose inputs hold NaN or infinity,"
    check_finite(estimated, what, infinite_in(params))
    return estimated


def between(landscape: Landscape) -> Callable[[Params], Params]:
    """Tells what is done to a network between others before it is measured.

    Args:
        landscape: says what becomes of statistics, and has the training data.

    Returns:
        What estimates the statistics of a network anew; or `dict` where they stay, or where there
        are none.
    """
    if landscape.statistics == "keep" or not batch_norms(landscape.model):
        return dict
    return Recalibrator(landscape.calibration)


def batch_norms(model: nn.Module) -> Sequence[tuple[str, Any]]:
    """The batch norms that keep statistics, by every name that they have."""
    return [
        (name, module)
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, BatchNorm) and module.running_mean is not None
    ]


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Lets every batch norm normalise by its batch, whose statistics it then keeps alone.

    The rest of the model stays as it is.
    """
    norms = {module for _, module in batch_norms(model)}
    before = {module: (module.training, module.momentum) for module in norms}
    for module in norms:
        module.training, module.momentum = True, 1.0
    try:
        yield
    except ValueError as error:  # torch's own, for one value per channel
        if "more than 1 value per channel" not in said(error):
            raise
        raise DataError(
            "a batch gives a batch norm a single value per channel, which has no variance; pass "
            "batches of at least two examples."
        ) from error
    finally:
        for module, (training, momentum) in before.items():
            module.training, module.momentum = training, momentum


def _adding(moments: Moments) -> Any:
    """Reads off a batch norm, whose momentum is 1, what it has just kept: the batch's own."""

    def hook(norm: Any, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        count = inputs[0].numel() // inputs[0].shape[1]
        # a copy: the next call, of a norm used twice, writes over it
        mean = norm.running_mean.clone()
        moments.join(count, mean, norm.running_var * ((count - 1) / count))

    return hook
