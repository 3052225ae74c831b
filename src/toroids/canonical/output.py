"""Removal of what a reader of the outputs cannot see.

Softmax ignores a common shift of the logits, argmax also one positive scale. With (W, b) the
layer that writes the outputs: "logits" subtracts the mean over the classes, W - mean_c W_c and
b - mean_c b_c; "classifier" then divides both by sqrt(||W||^2 + ||b||^2), a sphere of radius one.
"""

import torch

from toroids.canonical.spheres import output_sphere
from toroids.params import Params, precise
from toroids.symmetry.group import SymmetryGroup


def remove_output(group: SymmetryGroup, params: Params) -> dict[str, torch.Tensor]:
    """Centres, and for a classifier normalises, the layer that writes the outputs.

    Args:
        group: says what the reader of the outputs cannot see.
        params: checked parameters; gradients flow through.

    Returns:
        The parameters; a classifier whose classes all get the same logit keeps its scale.
    """
    fixed = dict(params)
    if group.output.mode == "values":
        return fixed
    for leg in group.output.legs:
        fixed[leg.tensor] = _centred(fixed[leg.tensor], leg.axis)
    sphere = output_sphere(group)
    if sphere is not None:
        norm = sphere.norms(fixed)
        for name in sphere.axes:
            tensor = fixed[name]
            fixed[name] = (precise(tensor) / torch.where(norm == 0, 1.0, norm)).to(tensor.dtype)
    return fixed


def _centred(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    exact = precise(tensor)
    # The second subtraction removes the rounding of a mean that is large beside the differences.
    centred = exact - exact.mean(dim=axis, keepdim=True)
    centred = centred - centred.mean(dim=axis, keepdim=True)
    # Equal classes leave the rounding of their mean, which a division by the norm would blow up.
    constant = (tensor == tensor.narrow(axis, 0, 1)).all(dim=axis, keepdim=True)
    return torch.where(constant, torch.zeros_like(centred), centred).to(tensor.dtype)
