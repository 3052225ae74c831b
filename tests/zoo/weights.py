"""Weights in float64 at which no two parameters of a public architecture are equal by design."""

import torch


def disturbed(model, group):
    """The model's state dict with noise on every entry; tied tensors stay tied."""
    generator = torch.Generator().manual_seed(0)
    params = {}
    for key, tensor in model.state_dict().items():
        key_of = group.tied.get(key, key)
        if key_of in params:
            params[key] = params[key_of]
            continue
        params[key] = tensor
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            params[key] = tensor.double() * (1 + 0.1 * noise) + 0.01 * noise
            if key.endswith("running_var"):
                params[key] = params[key].abs()
    return params
