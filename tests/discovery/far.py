"""Checks a group away from the example, apart from what the library does itself."""

import copy

import torch

import toroids as td

TINY = torch.finfo(torch.float64).tiny


def tensors(output):
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        return [t for value in output.values() for t in tensors(value)]
    return [t for value in output for t in tensors(value)] if output is not None else []


def wide(x):
    return x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x


def called(model, params, inputs):
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    twin = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        lent = {name: tensor.clone() for name, tensor in params.items()}
        return tensors(torch.func.functional_call(twin, lent, tuple(map(wide, inputs))))


def drawn(model, seed, keep=()):
    """Other weights, and other numbers in every buffer of the state dict."""
    generator = torch.Generator().manual_seed(seed)
    params = {}
    for name, tensor in copy.deepcopy(model).double().state_dict().items():
        if name in keep:
            params[name] = tensor
        elif tensor.dtype == torch.bool or (
            not tensor.is_floating_point() and tensor.numel() and tensor.max() <= 1
        ):
            params[name] = (torch.rand(tensor.shape, generator=generator) < 0.6).to(tensor.dtype)
        elif tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            params[name] = tensor + 0.3 * noise
            if name.endswith("running_var"):
                params[name] = params[name].abs() + 0.1
        else:
            params[name] = tensor
    return params


def worst(found, expected):
    """The largest relative deviation of an entry; a mask's huge ones count on their own."""
    largest = 0.0
    for a, b in zip(found, expected, strict=True):
        a, b = a.double(), b.double()
        usual = b[torch.isfinite(b) & (b.abs() < 1e6)].abs()
        size = torch.maximum(b.abs(), usual.mean() if usual.numel() else torch.tensor(TINY))
        same = (a == b) | (a.isnan() & b.isnan())
        shares = torch.where(same, 0.0, (a - b).abs() / size.clamp_min(TINY))
        largest = max(largest, shares.nan_to_num(torch.inf).max().item())
    return largest


def deviation(model, group, inputs, elements=2):
    """By how much random elements change the outputs on any of several inputs."""
    keep = [condition.buffer for condition in group.conditions]
    largest = 0.0
    for seed in range(elements):
        params = drawn(model, seed, keep)
        element = group.random(torch.Generator().manual_seed(seed))
        moved = group.apply(element, params)
        for x in inputs:
            largest = max(largest, worst(called(model, moved, x), called(model, params, x)))
    return largest


def aligned_deviation(model, group, inputs):
    """By how much the canonical form and alignment change what networks compute."""
    keep = [condition.buffer for condition in group.conditions]
    a, b = drawn(model, 10, keep), drawn(model, 11, keep)
    alignment = td.align(group, b, to=a)
    return max(
        max(
            worst(called(model, td.canonicalize(group, a), x), called(model, a, x)),
            worst(called(model, alignment.params, x), called(model, b, x)),
        )
        for x in inputs
    )
