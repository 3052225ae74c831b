"""Error and loss of one network on data."""

from torch import nn

from toroids.arguments.checked import checked
from toroids.evaluation.batches import Data
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import Metric
from toroids.evaluation.summary import Evaluation
from toroids.params import Params


@checked
def evaluate(
    model: nn.Module, params: Params, data: Data, metric: str | Metric = "classification"
) -> Evaluation:
    """Computes the error and the loss of `params` on `data`.

    The same as `Landscape(model, data, metric=metric)(params)`, for one network.

    Args:
        model: gives the architecture; it is run in evaluation mode and left as it was.
        params: parameters and buffers by name, as `model.state_dict()` gives them; they say on
            which device and in which precision the network runs.
        data: as in `Landscape`.
        metric: as in `Landscape`.

    Returns:
        Error, loss and their standard errors.

    Raises:
        ParamsError: names or shapes that are not the model's; NaN or infinite weights.
        DataError: no examples, labels that are not classes of the network, inputs that the model
            cannot run on, outputs that are not finite, or a metric that does not give one number
            per example.
        ToroidsError: an unknown metric.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([2, 3, 2], seed=0)
        >>> inputs, labels = torch.randn(8, 2), torch.zeros(8, dtype=torch.long)
        >>> evaluation = td.evaluate(model, model.state_dict(), (inputs, labels))
        >>> evaluation.examples
        8
    """
    return Landscape(model, data, metric=metric)(params)
