"""Is a module left exactly as it was? Its tensors, modes and attributes."""

import torch


def state(model):
    """What a module is: its tensors, their values, its modes and attributes."""
    tensors = {name: (tensor, tensor.clone()) for name, tensor in model.state_dict().items()}
    return tensors, [(m.training, dict(vars(m))) for m in model.modules()]


def _alike(now, before):
    if now is before:
        return True
    try:
        return type(now) is type(before) and bool(now == before)
    except (RuntimeError, ValueError):  # of tensors
        return False


def changes(model, before):
    """What of a module is not as it was."""
    tensors, modules = before
    now = model.state_dict()
    found = [f"`{n}`" for n in tensors.keys() ^ now.keys()]
    found += [f"`{n}`" for n, (_, value) in tensors.items() if not torch.equal(now[n], value)]
    for module, (training, attributes) in zip(model.modules(), modules, strict=True):
        kind = type(module).__name__
        if module.training != training:
            found.append(f"the mode of {kind}")
        changed = [
            name
            for name in vars(module).keys() | attributes.keys()
            if not _alike(vars(module).get(name), attributes.get(name))
        ]
        found += [f"`{name}` of {kind}" for name in sorted(changed) if name != "training"]
    return found
