"""Which entries of a network are binary, and one flat position for each of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor, nn

from toroids.binary.layers import latents
from toroids.errors import ParamsError, ToroidsError
from toroids.params import Params


@dataclass(frozen=True)
class BinaryWeights:
    """The binary tensors of a network, as if they were one vector of -1 and +1.

    Attributes:
        names: of the binary weights and binary biases, in the order of the state dict; tensors that
            are tied have the first of their names.
        shapes: of the same tensors.
        tied: other names of these tensors, and which of them they are.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    tied: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(model: nn.Module) -> "BinaryWeights":
        """Finds the binary tensors of a model.

        Args:
            model: with binary layers.

        Returns:
            Their names and shapes.

        Raises:
            ToroidsError: it has none.

        Example:
            >>> import torch, toroids as td
            >>> weights = BinaryWeights.of(td.models.binary_fully_connected([4, 3, 2]))
            >>> weights.names, weights.entries
            (('hidden1.weight', 'hidden1.bias', 'output.weight'), 21)
            >>> {name: at.tolist() for name, at in weights.split(torch.tensor([2, 20, 13])).items()}
            {'hidden1.weight': [2], 'hidden1.bias': [1], 'output.weight': [5]}
        """
        binary = {id(latent) for latent in latents(model)}
        found = {n: tuple(p.shape) for n, p in model.named_parameters() if id(p) in binary}
        if not found:
            raise ToroidsError(
                "the model has no binary weights; pass one with BinaryLinear or BinaryConv2d."
            )
        return BinaryWeights(tuple(found), tuple(found.values()))

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many entries every tensor has."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def offsets(self) -> tuple[int, ...]:
        """The flat position of the first entry of every tensor."""
        return tuple(accumulate(self.sizes[:-1], initial=0))

    @property
    def entries(self) -> int:
        """How many entries there are in all."""
        return sum(self.sizes)

    def flat(self, params: Params) -> Tensor:
        """Joins the binary tensors of `params` to one vector (entries,)."""
        return torch.cat([params[name].detach().reshape(-1) for name in self.names])

    def tensors(self, flat: Tensor, like: Params) -> dict[str, Tensor]:
        """Cuts a vector (entries,) into tensors, tied names included, of the types in `like`."""
        parts = zip(self.names, self.shapes, torch.split(flat, list(self.sizes)), strict=True)
        found = {name: x.view(shape).to(like[name].dtype) for name, shape, x in parts}
        return found | {name: found[first] for name, first in self.tied.items()}

    def split(self, positions: Tensor | Sequence[int] | int) -> dict[str, Tensor]:
        """Finds the tensors that flat positions lie in.

        Args:
            positions: in 0 ... entries - 1.

        Returns:
            For every tensor that has any the positions in it, counted row by row, in the given
            order.

        Raises:
            ToroidsError: a position out of range.
        """
        at = check_positions(positions, self.entries, "the binary weights")
        owner = torch.bucketize(at, torch.tensor(self.offsets, device=at.device), right=True) - 1
        parts = ((owner == number, name) for number, name in enumerate(self.names))
        offsets = dict(zip(self.names, self.offsets, strict=True))
        return {name: at[mine] - offsets[name] for mine, name in parts if bool(mine.any())}

    def check(self, params: Params, what: str = "the parameters") -> None:
        """Raises unless the binary tensors of `params` consist of -1 and +1.

        Args:
            params: parameters by name.
            what: how the message calls them.

        Raises:
            ParamsError: names the first tensor with another entry.
        """
        for name in (*self.names, *self.tied):
            other = params[name].abs() != 1
            if bool(other.any()):
                position = int(other.reshape(-1).nonzero()[0])
                value = float(params[name].reshape(-1)[position])
                raise ParamsError(
                    f"`{name}` in {what} holds {value:.6g} at {position}, expected -1 or +1; pass "
                    "what canonicalize returns."
                )


def check_positions(positions: Tensor | Sequence[int] | int, entries: int, what: str) -> Tensor:
    """Returns positions as a vector of integers if all are in range.

    Args:
        positions: integers.
        entries: how many there are.
        what: how the message calls the tensor.

    Returns:
        Shape (k,), int64.

    Raises:
        ToroidsError: they are no integers, or out of range.
    """
    at = torch.as_tensor(positions)
    if at.numel() and (at.is_floating_point() or at.is_complex() or at.dtype == torch.bool):
        raise ToroidsError(f"the positions in {what} are of type {at.dtype}; pass integers.")
    at = at.reshape(-1).long()
    if at.numel():
        low, high = torch.stack(at.aminmax()).tolist()
        if low < 0 or high >= entries:
            raise ToroidsError(
                f"position {low if low < 0 else high} is not in {what}; pass 0 to {entries - 1}."
            )
    return at
