"""One step to the canonical form: what brings one family of weights to its goal."""

from collections.abc import MutableMapping

import torch

from toroids.canonical.mix import balance
from toroids.canonical.steps import Mix, Pivot, Scale
from toroids.params import Params, precise, rounding_of
from toroids.symmetry.action import move_space
from toroids.symmetry.choice import identity_permutation
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.space import Space

# Steps that depend on each other in a circle, as matrices on two sides of one linear map, are
# repeated until none moves by more than this, relative to the weights, or than their rounding.
CIRCLE_TOLERANCE = 1e-13
# In so many rounds what they move must become half as much.
PATIENCE = 20


def tolerance(params: Params) -> float:
    """The change, relative to the weights, below which a circle of steps is settled."""
    return max(CIRCLE_TOLERANCE, 16 * rounding_of(params.values()))


def fix(step: Scale, params: MutableMapping[str, torch.Tensor]) -> float:
    """Carries out one step and says how far from its goal the network was."""
    if isinstance(step, Mix):
        return balance(step.space, params)
    if isinstance(step, Pivot):
        logs = step.spheres.norms(step.spheres.as_read(params))
        logs = torch.where(logs == 0, 1.0, logs).log()
        rescale(step, -logs, params)
        return 0.0 if len(logs) == 0 else float(logs.detach().abs().max())
    norm = step.spheres.norms(params)
    norm = torch.where(norm == 0, 1.0, norm)
    for name in step.spheres.tensors:
        params[name] = (precise(params[name]) / norm).to(params[name].dtype)
    return float((norm.detach() - 1).abs())


def rescale(step: Pivot, logs: torch.Tensor, params: MutableMapping[str, torch.Tensor]) -> None:
    """Multiplies the weights of a pivot by exp(logs), and the other legs accordingly."""
    move_space(step.acting, element(step.acting, log_scales=logs), params)


def element(space: Space, **parts: torch.Tensor) -> SpaceElement:
    """An element that permutes nothing; `parts` hold one value per unit, copy after copy."""
    shaped = {name: v.reshape(1, space.copies, space.size) for name, v in parts.items()}
    return SpaceElement(identity_permutation(space), **shaped)
