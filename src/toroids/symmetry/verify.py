"""Numerical proof that the elements of a group leave a module's function as it is."""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from toroids.errors import DataError
from toroids.evaluate import evaluation_mode, select_output
from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup


def verify(
    group: SymmetryGroup,
    model: nn.Module,
    inputs: Tensor,
    trials: int = 3,
    generator: torch.Generator | None = None,
) -> float:
    """Measures by how much random elements of `group` change the outputs of `model`.

    Each trial draws an element, moves the parameters of a float64 copy of the model with it and
    compares: max |f(g.p) - f(p)| / max |f(p)|. The copy's parameters are first disturbed by 10 %
    noise plus an offset, so that zero biases hide nothing. The user's model is not touched.

    Args:
        group: the group to check.
        model: the module whose function it must preserve; run in evaluation mode.
        inputs: one batch as the model expects it; floating inputs are run in float64.
        trials: number of random elements.
        generator: source of randomness on the CPU; seeded with 0 when None.

    Returns:
        The worst relative deviation; a sound group gives about 1e-14, and anything above 1e-8 is
        a wrong symmetry. NaN if an output is not finite.

    Raises:
        ParamsError: the group is of another architecture.
        DataError: `trials` is not positive.
    """
    if trials < 1:
        raise DataError(f"trials is {trials}; pass at least 1.")
    generator = generator or torch.Generator().manual_seed(0)
    twin = copy.deepcopy(model).cpu().double()
    params = _disturbed(twin.state_dict(), generator)
    group.check(params, "the model")
    inputs = inputs.detach().cpu()
    if inputs.is_floating_point():
        inputs = inputs.double()
    with torch.no_grad(), evaluation_mode(twin):
        before = _outputs(twin, params, inputs)
        scale = before.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
        deviations = []
        for _ in range(trials):
            after = _outputs(twin, group.apply(group.random(generator), params), inputs)
            deviations.append((after - before).abs().max() / scale)
    return torch.stack(deviations).max().item()


def _disturbed(params: Params, generator: torch.Generator) -> dict[str, Tensor]:
    disturbed = {}
    for name, tensor in params.items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator)
            tensor = tensor * (1 + 0.1 * noise) + 0.01 * noise
        disturbed[name] = tensor
    return disturbed


def _outputs(model: nn.Module, params: Params, inputs: Tensor) -> Tensor:
    return select_output(functional_call(model, dict(params), (inputs,), tie_weights=False))
