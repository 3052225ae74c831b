"""Removal of what a reader of the outputs cannot see.

Softmax ignores a common shift of the logits, argmax also one positive scale. With (W, b) the
layer that writes the outputs: "logits" subtracts the mean over the classes, W - mean_c W_c and
b - mean_c b_c; "classifier" then divides both by sqrt(||W||^2 + ||b||^2), a sphere of radius one.
"""

from collections.abc import MutableMapping

import torch
from torch import Tensor

from toroids.params import precise
from toroids.symmetry.group import SymmetryGroup


def centre_output(group: SymmetryGroup, params: MutableMapping[str, Tensor]) -> None:
    """Centres the layer that writes the outputs, replacing its tensors in `params`.

    Args:
        group: says what the reader of the outputs cannot see.
        params: checked parameters; gradients flow through.
    """
    if group.output.mode != "values":
        for leg in group.output.legs:
            params[leg.tensor] = _centred(params[leg.tensor], leg.axis)


def _centred(tensor: Tensor, axis: int) -> Tensor:
    exact = precise(tensor)
    # The second subtraction removes the rounding of a mean that is large beside the differences.
    centred = exact - exact.mean(dim=axis, keepdim=True)
    centred = centred - centred.mean(dim=axis, keepdim=True)
    # Equal classes leave the rounding of their mean, which a division by the norm would blow up.
    constant = (tensor == tensor.narrow(axis, 0, 1)).all(dim=axis, keepdim=True)
    return torch.where(constant, torch.zeros_like(centred), centred).to(tensor.dtype)
