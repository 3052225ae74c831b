"""Cuts a network whose layers run one after the other into stages that keep what they computed."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from toroids.binary.layers import BinaryLinear, Sign, latents
from toroids.evaluation.running import owners_of
from toroids.landscape.stages import EXACT, UNCHANGED, LinearStage, Stage, is_unit_by_unit
from toroids.params import precise

# Layers of which signs come out where signs go in.
KEEPS_SIGNS = (nn.Flatten, nn.Unflatten, *UNCHANGED)


def is_sequence(model: nn.Module) -> bool:
    """Whether a model runs its layers one after the other, each once and with its own weights."""
    modules = list(_modules(model))
    if modules == [model] or len({*map(id, modules)}) < len(modules):
        return False
    hooks = any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    return not hooks and all(name == first for name, first in owners_of(model).items())


def staged(model: nn.Module, inputs: Tensor) -> list[Stage] | None:
    """Cuts a sequence into stages.

    Args:
        model: a sequence, in evaluation mode.
        inputs: of all examples, (n, ...).

    Returns:
        The stages from the first binary layer on; None if a layer mixes examples.
    """
    modules, stages = list(_modules(model)), list[Stage]()
    x, signs = inputs, False
    while modules:
        module, after = modules.pop(0), list[nn.Module]()
        linear = type(module) is BinaryLinear and x.ndim == 2
        while linear and modules and is_unit_by_unit(modules[0]):
            after.append(modules.pop(0))
        exact = signs or (not stages and _sums_exactly(x))
        for run in (module, *after):
            signs = type(run) is Sign or (signs and type(run) in KEEPS_SIGNS)
        if isinstance(module, BinaryLinear) and linear:
            stage: Stage = LinearStage(module, after, x, exact, signs)
        else:
            stage = Stage(module, x, signs)
            if not _treats_rows_alone(stage):
                return None
        if stages or latents(module):
            stages.append(stage)
        x = stage.outputs
    return stages


def _treats_rows_alone(stage: Stage) -> bool:
    """Tries whether some examples give the outputs that they give among all."""
    examples = len(stage.inputs)
    if len(stage.outputs) != examples or examples == 1:
        return False
    some = torch.arange(0, examples, 2, device=stage.inputs.device)
    outputs, expected = stage.module(stage.inputs[some]), stage.outputs[some]
    return outputs.shape == expected.shape and torch.allclose(outputs, expected, 1e-4, 1e-5)


def _modules(model: nn.Module) -> Iterator[nn.Module]:
    """The layers of a sequence, in the order in which they run."""
    if type(model).forward is not nn.Sequential.forward:
        yield model
        return
    for module in model._modules.values():
        assert module is not None
        yield from _modules(module)


def _sums_exactly(x: Tensor) -> bool:
    """Whether all sums of +- the entries of an example, and one, are integers of float32."""
    return bool((x == x.round()).all()) and bool(precise(x).abs().sum(dim=1).max() < EXACT)
