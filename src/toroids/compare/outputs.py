"""Do two networks compute the same function on data: how far their outputs are apart."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.errors import DataError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.summary import Evaluation
from toroids.params import Params, precise
from toroids.symmetry.space import OutputMode


@dataclass(frozen=True)
class Outputs:
    """What two networks make of the same data.

    Attributes:
        examples: how many there are.
        deviation: ||f - g|| / sqrt(||f|| ||g||) over all outputs f and g, less what the reader of
            the outputs cannot see: 0 for the same function, about sqrt(2) for unrelated ones.
        agreement: the share of outputs, one per example or token, whose largest entry is the same;
            None where they have one entry only.
        first: error and loss of the first network.
        second: those of the second.

    See `compare` for an example.
    """

    examples: int
    deviation: float
    agreement: float | None
    first: Evaluation
    second: Evaluation

    def __str__(self) -> str:
        agree = ""
        if self.agreement is not None:
            agree = f"; the largest is the same in {100 * self.agreement:.2f} %"
        return (
            f"differ by {100 * self.deviation:.3g} % on {self.examples} examples{agree}; errors "
            f"{self.first.error:.4f} and {self.second.error:.4f}"
        )


@torch.no_grad()
def outputs(landscape: Landscape, a: Params, b: Params, mode: OutputMode) -> Outputs:
    """Compares the outputs of two networks on data.

    Args:
        landscape: the model and the data.
        a: parameters and buffers by name.
        b: those of another network, on the same device and in the same precision.
        mode: what the reader of the outputs cannot see: of "logits" a number that is added to all
            of an example, of a "classifier" besides a positive factor.

    Returns:
        How far they are apart.

    Raises:
        ParamsError: parameters that are not the model's.
        DataError: no examples, or data that the model cannot run on.
    """
    first, second = landscape(a), landscape(b)
    products = torch.zeros(4, dtype=torch.float64)
    examples, same, rows, entries = 0, 0.0, 0, 0
    for inputs, targets in landscape.ready(a):
        f, g = (_seen(landscape.output(params, inputs), mode) for params in (a, b))
        pairs = ((f, f), (g, g), (f, g), (f - g, f - g))
        products += torch.stack([(x * y).sum().double().cpu() for x, y in pairs])
        entries = f.shape[-1]
        same += float((f.argmax(-1) == g.argmax(-1)).sum())
        rows += f[..., 0].numel()
        examples += len(targets)
    if not examples:
        raise DataError("the data holds no examples; pass at least one.")
    agreement = same / rows if entries > 1 else None
    return Outputs(examples, _deviation(products, mode), agreement, first, second)


def _seen(values: Tensor, mode: OutputMode) -> Tensor:
    values = precise(values.detach())
    values = torch.where(values.isfinite(), values, 0.0)  # minus infinity is a mask
    values = values[..., None] if values.ndim < 2 else values
    return values if mode == "values" else values - values.mean(-1, keepdim=True)


def _deviation(products: Tensor, mode: OutputMode) -> float:
    ff, gg, fg, step = products.tolist()
    size = (ff * gg) ** 0.5
    if not size:  # one of them gives zeros only
        return 1.0 if ff or gg else 0.0
    if mode == "classifier":  # its scale is not seen: both are taken to one norm
        return float(max(2 - 2 * fg / size, 0.0) ** 0.5)
    return float((step / size) ** 0.5)
