"""What solvers native to binary weights share: the networks they take, and how they end.

All of these networks are committees: K units, each with weights of -1 and +1, vote with their
signs. They see the same inputs or, in a tree, each its own; a perceptron is a committee of one.
"""

import math
import time

import torch
from torch import Tensor, nn

from toroids.binary.layers import BinaryLinear, Sign
from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.evaluation.landscape import Landscape
from toroids.solvers.training import Ended, Epoch, MakeModel, Trained, prepare

WEIGHT = "hidden.weight"
# The layers of `binary_perceptron`, of `binary_committee` and of its tree, in order.
PERCEPTRON = ("flatten", "hidden", "scale", "vote")
COMMITTEE = ("flatten", "hidden", "sign", "scale", "vote")
TREE = ("flatten", "blocks", "hidden", "sign", "scale", "vote")


class Votes:
    """A committee of binary weights, its examples, and what was found so far.

    Attributes:
        inputs: what the units see, times the labels -1 and +1, over the root of their mean square:
            (P, 1, n) where all units see the same, (P, K, n) in a tree. An example is right where
            most units are positive.
        weights: the weights of -1 and +1 after the last iteration, (K, n).
        history: one line per iteration.
    """

    def __init__(
        self,
        make_model: MakeModel,
        data: TensorPair,
        seed: int,
        seconds: float | None,
        device: str | torch.device,
    ) -> None:
        """Builds the network, which must be one of the three, and prepares the examples.

        Args:
            make_model: builds the network from a seed.
            data: inputs (P, ...) and labels 0 and 1 (P,).
            seed: of the initialisation.
            seconds: wall time; None for no limit.
            device: where to compute.

        Raises:
            DataError: data that do not fit the network.
            ToroidsError: another network, or no such device.
        """
        self._end = math.inf if seconds is None else time.monotonic() + seconds
        (model,), (inputs, labels) = prepare(make_model, data, [seed], device)
        latent = _hidden(model).weight.detach()
        signed = inputs.flatten(1).to(latent.dtype) * (2 * labels - 1)[:, None]
        # in double precision, where the squares of what single precision holds are finite
        size = signed.double().square().mean().sqrt().to(latent.dtype)
        scaled = signed / size if size > 0 else signed
        self.inputs = scaled.view(len(scaled), -1, latent.shape[1])
        self.weights = _signs(latent)
        self.history: list[Epoch] = []
        self._landscape = Landscape(model, (inputs, labels))

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return time.monotonic() >= self._end

    def accept(self, fields: Tensor, coupling: float = 0.0) -> bool:
        """Takes the signs of fields as weights and evaluates the network that they make.

        Args:
            fields: (K, n), of which only the signs count; +1 for zero.
            coupling: for the history.

        Returns:
            Whether every example is right.
        """
        self.weights = _signs(fields)
        found = self._landscape.measure({WEIGHT: self.weights})
        number = len(self.history) + 1
        self.history.append(Epoch("train", number, 0.0, found.error, found.loss, coupling))
        return found.error == 0

    def trained(self, ended: Ended, note: str = "") -> Trained:
        """What was found: the network of the last iteration."""
        return Trained({WEIGHT: self.weights.clone()}, tuple(self.history), ended, 0, note)


def _hidden(model: nn.Module) -> BinaryLinear:
    """Finds the weights, of a network that is one of the three."""
    names = tuple(name for name, _ in model.named_children())
    hidden, sign = getattr(model, "hidden", None), getattr(model, "sign", None)
    # a single entry of the state: neither biases nor a threshold of the vote
    if isinstance(hidden, BinaryLinear) and list(model.state_dict()) == [WEIGHT]:
        units = hidden.weight.shape[0]
        if names == PERCEPTRON and units == 1:
            return hidden
        centred = isinstance(sign, Sign) and sign.threshold == 0
        if names in (COMMITTEE, TREE) and units % 2 == 1 and centred:
            return hidden
    raise ToroidsError(
        f"make_model built a {type(model).__name__} of the layers {', '.join(names) or 'none'}; "
        "this solver takes what td.models.binary_perceptron and td.models.binary_committee build."
    )


def _signs(fields: Tensor) -> Tensor:
    return torch.where(fields < 0, -1.0, 1.0).to(fields.dtype)
