"""Numerical proof that the elements of a group leave a module's function as it is."""

import copy
from collections.abc import Callable

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
    *,
    generator: torch.Generator | None = None,
    output_key: str | int | None = None,
) -> float:
    """Measures by how much random elements of `group` change the outputs of `model`.

    Each trial draws an element, moves the parameters of a float64 copy of the model with it and
    compares: max |f(g.p) - f(p)| / max |f(p)|. The copy's parameters are first disturbed by 10 %
    noise plus an offset, so that zero biases hide nothing. Tied weights are loaded as the module
    would load them. What `group.output` says of the outputs is measured as well: with the legs
    that write them shifted alike for all classes, the softmax of "logits" must stay; with the legs
    tripled as well, the largest output of a "classifier" (the share of examples where it is another
    counts as deviation). The user's model is not touched.

    Args:
        group: the group to check.
        model: the module whose function it must preserve; run in evaluation mode.
        inputs: one batch as the model expects it; floating inputs are run in float64.
        trials: number of random elements.
        generator: source of randomness on the CPU; seeded with 0 when None.
        output_key: which entry of a structured output holds the logits.

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

    def outputs(of: Params) -> Tensor:
        loaded = _loaded(twin, of)
        output = functional_call(twin, loaded, (inputs,), tie_weights=False)
        return select_output(output, output_key)

    with torch.no_grad(), evaluation_mode(twin):
        before = outputs(params)
        if before.numel() == 0:
            raise DataError(
                "the model gives no outputs on these inputs; pass at least one example."
            )
        deviations = [
            _deviation(outputs(group.apply(group.random(generator), params)), before)
            for _ in range(trials)
        ]
        if group.output.mode != "values":
            deviations.append(_output_deviation(outputs, group, params, before))
    return torch.stack(deviations).max().item()


def _deviation(found: Tensor, expected: Tensor) -> Tensor:
    size = expected.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    return (found - expected).abs().max() / size


def _output_deviation(
    outputs: Callable[[Params], Tensor], group: SymmetryGroup, params: Params, before: Tensor
) -> Tensor:
    """Shifts all classes up and down and, for a classifier, triples them: would a reader see it?"""
    size = 1 + before.abs().max()  # large enough for whatever clips outputs to do so
    seen = []
    for shift in (size, -size):
        if group.output.mode == "logits":
            after = outputs(_with_other_outputs(group, params, 1.0, shift))
            seen.append(_deviation(after.softmax(dim=-1), before.softmax(dim=-1)))
        else:
            after = outputs(_with_other_outputs(group, params, 3.0, shift))
            seen.append((after.argmax(dim=-1) != before.argmax(dim=-1)).double().mean())
    return torch.stack(seen).max()


def _with_other_outputs(
    group: SymmetryGroup, params: Params, scale: float, shift: Tensor
) -> dict[str, Tensor]:
    """Scales the legs that write the outputs and adds the same number to every class."""
    written = {leg.tensor for leg in group.output.legs}
    return {
        name: scale * tensor + shift if name in written else tensor
        for name, tensor in params.items()
    }


def _loaded(model: nn.Module, params: Params) -> dict[str, Tensor]:
    """Gives tied names the value of the last of them, as `model.load_state_dict` would."""
    loaded = dict(params)
    tied: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        tied.setdefault(id(parameter), []).append(name)
    for names in tied.values():
        last = [name for name in params if name in names][-1]
        loaded.update({name: params[last] for name in names})
    return loaded


def _disturbed(params: Params, generator: torch.Generator) -> dict[str, Tensor]:
    disturbed = {}
    for name, tensor in params.items():
        if tensor.is_floating_point():
            # small enough that a trained network keeps its character, large enough to see at 1e-8
            noise = torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator)
            tensor = tensor * (1 + 0.1 * noise) + 0.01 * noise
        disturbed[name] = tensor
    return disturbed
