"""Values at which a module is run to check it: other weights, other buffers, other inputs.

A symmetry must hold for every value of what a state dict holds, so nothing keeps the value that it
happens to have: zero biases and unit gains are disturbed, masks are drawn, small weights are
strengthened, so that deep networks do not forget their input.
"""

from collections.abc import Collection, Mapping

import torch
from torch import Generator, Tensor

from toroids.computed import Computed
from toroids.params import Params

# The noise of large tensors, whose entries are not all alike anyway, comes again after so many: a
# prime, which no length of rows divides.
PERIOD = 262139
# Networks of more entries are drawn one tensor at a time, whenever it is asked for, and not kept.
STREAMED = 2**25
# Of networks of more entries than the first, tensors of more than the second keep their numbers
# where the module is called.
KEPT, MATRIX = 2**27, 2**16


def drawn_params(
    params: Params,
    aliases: Mapping[str, Collection[str]],
    parameters: Collection[str],
    generator: torch.Generator,
    *,
    wide: bool = True,
    keep: Collection[str] = (),
) -> Params:
    """Draws parameters and buffers near those of a module.

    Args:
        params: its state dict.
        aliases: all names of every tensor that has several, by the first one.
        parameters: names of parameters; the others are buffers.
        generator: on the CPU.
        wide: whether in float64, else in each tensor's own precision.
        keep: buffers that keep their values.

    Returns:
        New tensors on the CPU, equal ones under the names of one tensor; those of a large network
        are drawn, the same again, whenever they are asked for.
    """
    first = {other: name for name, names in aliases.items() for other in names}

    def value(name: str, source: Generator) -> Tensor:
        tensor = params[name].detach().cpu()
        if name in keep:
            return _like(tensor, wide)
        if name in parameters:
            return _learned(tensor, source, wide)
        return _held(name, tensor, source, wide)

    if entries(params, aliases) > STREAMED:
        seed = int(torch.randint(2**40, (), generator=generator))
        seeds = {name: seed + number for number, name in enumerate(params)}

        def drawn_anew(name: str) -> Tensor:
            source = first.get(name, name)
            return value(source, Generator().manual_seed(seeds[source]))

        return Computed(params, drawn_anew)
    drawn: dict[str, Tensor] = {}
    for name in params:
        source = first.get(name, name)
        if source not in drawn:
            drawn[source] = value(source, generator)
        drawn[name] = drawn[source]
    return {name: drawn[name] for name in params}


def entries(params: Params, aliases: Mapping[str, Collection[str]] | None = None) -> int:
    """How many numbers there are in all tensors together, those of known other names once."""
    known = (aliases or {}).items()
    again = {other for first, names in known for other in names if other != first}
    return sum(tensor.numel() for name, tensor in params.items() if name not in again)


def _like(value: Tensor, wide: bool) -> Tensor:
    return value.double() if wide and value.is_floating_point() else value.clone()


def _learned(value: Tensor, generator: torch.Generator, wide: bool) -> Tensor:
    """Disturbs a parameter by 10 % noise and an offset, and strengthens it where it is small."""
    if not value.is_floating_point():
        return _whole(value, generator)
    other = _near(value, generator, wide)
    strength = _strengthening(other)
    return other if strength == 1 else other.mul_(strength)


def _held(name: str, value: Tensor, generator: torch.Generator, wide: bool) -> Tensor:
    """Draws a buffer: floating ones near their values, of the same sign if they all have one."""
    if not value.is_floating_point():
        return _whole(value, generator)
    other = _near(value, generator, wide)
    positive = name.endswith("running_var") or (value.numel() and bool((value >= 0).all()))
    return other.abs() if positive else other


def _near(value: Tensor, generator: torch.Generator, wide: bool) -> Tensor:
    # small enough that a trained network keeps its character, large enough at 1e-8
    kind = torch.float64 if value.dtype == torch.float64 else torch.float32
    noise = torch.randn(min(value.numel(), PERIOD), generator=generator).to(kind)
    factor, term = 1 + 0.1 * noise, 0.01 * noise
    near = torch.empty(value.shape, dtype=torch.float64 if wide else value.dtype)
    # in parts that stay in a processor's cache
    parts = (torch.split(x.reshape(-1), PERIOD) for x in (value, near))
    for old, new in zip(*parts, strict=True):
        count = len(old)
        new.copy_(torch.addcmul(term[:count], old.to(kind), factor[:count]))
    return near


def _whole(value: Tensor, generator: torch.Generator) -> Tensor:
    """Draws integers and truth values among those that occur; a mask of ones gets zeros too."""
    if value.is_complex() or value.numel() == 0:
        return value.clone()
    low, high = int(value.min()), int(value.max())
    if value.dtype == torch.bool or (low >= 0 and high <= 1):
        bits = torch.rand(value.shape, generator=generator) < 0.5
        return bits.to(value.dtype)
    order = torch.randint(value.numel(), value.shape, generator=generator)
    return value.reshape(-1)[order]


def drawn_inputs(tensors: Collection[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Draws inputs like given ones: of their size and spread, integers among those that occur."""
    drawn = []
    for tensor in tensors:
        value = tensor.detach().cpu()
        if value.is_floating_point():
            spread = value.float().std() if value.numel() > 1 else value.float().abs().mean()
            scale = spread.nan_to_num().clamp_min(0.1)
            noise = torch.randn(value.shape, generator=generator)
            other = value.float() * 0.5 + scale * noise
            positive = value.numel() > 0 and bool((value >= 0).all())
            drawn.append((other.abs() if positive else other).to(value.dtype))
        elif value.dtype == torch.bool or value.numel() == 0 or value.is_complex():
            drawn.append(value.clone())
        else:
            order = torch.randint(value.numel(), value.shape, generator=generator)
            drawn.append(value.reshape(-1)[order])
    return drawn


def redrawn(tensors: Collection[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Draws the integers, truth values and masks among inputs; a mask of ones gets zeros, too."""
    return [
        _whole(x.detach().cpu(), generator).to(x.device)
        if not x.is_floating_point() or bool(((x == 0) | (x == 1)).all())
        else x
        for x in tensors
    ]


def _strengthening(tensor: Tensor) -> float:
    """The factor that brings a matrix's entries up to sqrt(2 / fan-in), at least one."""
    # Where weights are small, as most frameworks draw them, a deep network forgets its input within
    # a few layers: a wrong symmetry of the first ones would move the outputs by next to nothing.
    if tensor.ndim < 2 or tensor.numel() < 2:
        return 1.0
    spread = float(torch.linalg.vector_norm(tensor)) / tensor.numel() ** 0.5
    wanted = (2 * tensor.shape[0] / tensor.numel()) ** 0.5
    return min(max(wanted / spread, 1.0), 10.0) if spread else 1.0


def in_own_precision(params: Params, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drawn values in the types, and on the devices, of a module's own.

    Args:
        params: drawn values.
        like: the module's state dict.

    Returns:
        New tensors under the same names.
    """
    return {name: tensor.to(like[name]) for name, tensor in params.items()}
