"""Error and loss of one network on data, and the temperature of its outputs."""

import torch
from torch import nn

from toroids.arguments import checked
from toroids.evaluation.batches import Data
from toroids.evaluation.evaluator import Evaluator
from toroids.evaluation.metrics import Metric
from toroids.evaluation.running import check_params
from toroids.evaluation.summary import Evaluation
from toroids.params import Params


@checked
def evaluate(
    model: nn.Module,
    params: Params,
    data: Data,
    *,
    metric: str | Metric = "classification",
    temperature: float = 1.0,
    batch_size: int = 1024,
    output_key: str | int | None = None,
    autocast: torch.dtype | None = None,
) -> Evaluation:
    """Computes the error and the loss of `params` on `data`.

    Args:
        model: gives the architecture; it is run in evaluation mode and left as it was.
        params: parameters and buffers by name, as `model.state_dict()` gives them; they say on
            which device and in which precision the network runs.
        data: a pair `(inputs, targets)` with inputs of shape (n, ...) or a mapping of keyword
            arguments, or an iterable of such batches.
        metric: "classification", "top-K" as "top-5", "next-token" (targets are the input tokens),
            "squared-error", or a function of outputs and targets that gives one number per
            example, or a pair (errors, losses) of these.
        temperature: what the outputs are divided by; see `fit_temperature`.
        batch_size: how many examples of a pair of tensors are run at once.
        output_key: which entry of a tuple, a dict or a ModelOutput holds the logits.
        autocast: bfloat16 or float16 for mixed precision, None for the parameters' own.

    Returns:
        Error, loss and their standard errors.

    Raises:
        ParamsError: names or shapes that are not the model's; NaN or infinite weights.
        DataError: no examples, labels that are not classes of the network, inputs that the model
            cannot run on, outputs that are not finite, or a metric that does not give one number
            per example.
        ToroidsError: an unknown metric, or a temperature that is not positive.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([2, 3, 2], seed=0)
        >>> inputs, labels = torch.randn(8, 2), torch.zeros(8, dtype=torch.long)
        >>> evaluation = td.evaluate(model, model.state_dict(), (inputs, labels))
        >>> evaluation.examples
        8
    """
    check_params(model, params)
    evaluator = Evaluator(
        model,
        data,
        metric=metric,
        batch_size=batch_size,
        output_key=output_key,
        autocast=autocast,
    )
    return evaluator(params, temperature)


@checked
def fit_temperature(
    model: nn.Module,
    params: Params,
    data: Data,
    *,
    metric: str | Metric = "classification",
    batch_size: int = 1024,
    output_key: str | int | None = None,
) -> float:
    """Finds the temperature by which the outputs have to be divided for the lowest loss.

    A canonical classifier has lost the scale of its logits, on which its loss depends; the
    temperature gives it back, on training data.

    Args:
        model: gives the architecture.
        params: parameters and buffers by name.
        data: as in `evaluate`.
        metric: as in `evaluate`; its loss counts.
        batch_size: as in `evaluate`.
        output_key: as in `evaluate`.

    Returns:
        The temperature to about a percent, between 2^-20 (where nothing is wrong) and 2^20.

    Raises:
        ParamsError: as in `evaluate`.
        DataError: as in `evaluate`.
        ToroidsError: as in `evaluate`.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([2, 8, 3], seed=0)
        >>> inputs = torch.randn(64, 2)
        >>> labels = (8 * model(inputs)).softmax(dim=1).multinomial(1).flatten()
        >>> params = model.state_dict()
        >>> found = td.fit_temperature(model, params, (inputs, labels))
        >>> loss = lambda t: td.evaluate(model, params, (inputs, labels), temperature=t).loss
        >>> loss(found) <= min(loss(0.8 * found), loss(1.25 * found))
        True
    """
    check_params(model, params)
    return Evaluator(
        model, data, metric=metric, batch_size=batch_size, output_key=output_key
    ).fit_temperature(params)
