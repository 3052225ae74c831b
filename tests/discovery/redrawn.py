"""Other networks of an architecture: parameters and buffers drawn anew, tied ones alike."""

import torch

# How freely buffers are drawn, boldest first, until a module runs: any value that one of their type
# may have; values as theirs; their own.
BOLDNESS = (2, 1, 0)


def ties(model):
    """The first name of every tensor of the state dict that has several, by its other names."""
    first, ties = {}, {}
    for name, tensor in model.state_dict().items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name
        if first.setdefault(key, name) != name:
            ties[name] = first[key]
    return ties


def redrawn(model, generator, kept, boldness):
    """A state dict in which everything but `kept` is drawn anew."""
    tied = ties(model)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    params = {}
    for name, tensor in model.state_dict().items():
        if tied.get(name) in params:
            params[name] = params[tied[name]]
        elif name in kept:
            params[name] = tensor.clone()
        elif name in parameters:
            params[name] = _parameter(tensor, generator)
        else:
            params[name] = _buffer(name, tensor, generator, boldness)
    return params


def _parameter(tensor, generator):
    """Noise on every entry, and weights so large that a network does not forget its input."""
    if not tensor.is_floating_point():
        return tensor.clone()
    noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
    if tensor.ndim < 2:
        return tensor + 0.5 * noise
    wanted = (1.5 * tensor.shape[0] / max(tensor.numel(), 1)) ** 0.5
    size = float(tensor.square().mean().sqrt()) if tensor.numel() else 0.0
    drawn = tensor + 0.5 * (size or wanted) * noise
    return drawn * min(max(wanted / (size or wanted), 1.0), 10.0)


def _buffer(name, tensor, generator, boldness):
    """A buffer of another network: any value that one of its kind may have."""
    if boldness == 0:
        return tensor.clone()
    if tensor.dtype == torch.bool:
        return torch.rand(tensor.shape, generator=generator) < 0.6
    if not tensor.numel() or tensor.is_complex():
        return tensor.clone()
    if not tensor.is_floating_point():
        low, high = int(tensor.min()), max(int(tensor.max()), 1)
        low = min(low, 0) if boldness == 2 else low
        return torch.randint(low, high + 1, tensor.shape, generator=generator).to(tensor.dtype)
    noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
    if name.endswith("running_var"):
        return (tensor.abs() + 0.1) * (0.5 * noise).exp()
    flat = tensor.flatten()
    if tensor.ndim == 1 and len(flat) > 2 and bool((flat.diff() > 0).all()):
        return (tensor + 0.5 * float(flat.diff().mean()) * noise).sort()[0]  # a grid
    if bool((tensor > 0).all()) and boldness == 1:
        return tensor * (0.5 * noise).exp()
    filled = tensor.abs() > 1e3  # what a mask adds to scores
    size = 0.5 * (float(tensor[~filled].square().mean().sqrt()) if bool((~filled).any()) else 1.0)
    return torch.where(filled, tensor, tensor + (size or 0.5) * noise)
