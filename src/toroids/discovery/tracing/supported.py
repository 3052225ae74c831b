"""Modules that discovery refuses, each with its true cause."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from toroids.errors import ToroidsError

BY_HAND = "or pass a group written by hand"


def check_supported(model: nn.Module) -> None:
    """Raises where a module's weights or code are of a kind that has no traced symmetries.

    Args:
        model: any module.

    Raises:
        ToroidsError: names the part that is not supported, and why.
    """
    for name, module in model.named_modules():
        _check_code(name or type(model).__name__, module)
    held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    state = model.state_dict()
    for name, tensor in held.items():
        _check_tensor(name, tensor, isinstance(tensor, nn.Parameter), name in state)
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ToroidsError(
                f"the state dict holds `{name}`, a {type(value).__name__} and no tensor; discovery "
                "needs all that a network has learned as tensors."
            )
    _check_storage(model)


def _check_code(name: str, module: nn.Module) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        raise ToroidsError(
            f"`{name}` is a scripted module, whose operators cannot be traced; pass the module "
            f"that it was made from, {BY_HAND}."
        )
    if ".quantized" in type(module).__module__ and type(module).__module__.startswith("torch."):
        raise ToroidsError(
            f"`{name}` is a quantized module ({type(module).__name__}): rounded weights keep no "
            "symmetry exactly; pass the network as it was before it was quantized."
        )


def _check_tensor(name: str, tensor: Tensor, learned: bool, kept: bool) -> None:
    if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
        raise ToroidsError(
            f"`{name}` of the model has no shape yet; run the model once on its inputs first."
        )
    if tensor.is_meta and not kept:
        raise ToroidsError(unknown_numbers(name))
    if tensor.is_quantized or tensor.layout != torch.strided:
        kind = "quantized" if tensor.is_quantized else f"stored as {tensor.layout}"
        raise ToroidsError(f"`{name}` is {kind}; pass a model of dense floating-point tensors.")
    if learned and tensor.is_complex():
        raise ToroidsError(
            f"`{name}` is complex ({tensor.dtype}); discovery knows real weights only: keep real "
            f"and imaginary parts in a last axis of size 2 (torch.view_as_complex), {BY_HAND}."
        )
    if learned and tensor.numel() == 0:
        raise ToroidsError(
            f"`{name}` has no entries (shape {tuple(tensor.shape)}); give every layer one unit or "
            "more."
        )


def unknown_numbers(buffer: str) -> str:
    """Why a module is refused that reads numbers which it does not hold."""
    return (
        f"the buffer `{buffer}` is on the meta device, but its numbers decide what the network "
        "computes; build the model with its buffers on the CPU (parameters may stay on the meta "
        "device)."
    )


def _check_storage(model: nn.Module) -> None:
    """Raises where two tensors share memory in different layouts, as a weight and its transpose."""
    places: dict[int, list[tuple[str, Tensor]]] = {}
    for name, tensor in _all_tensors(model):
        if tensor.numel() and not tensor.is_meta:
            places.setdefault(tensor.untyped_storage().data_ptr(), []).append((name, tensor))
    for held in places.values():
        for i, (name, tensor) in enumerate(held):
            for other_name, other in held[i + 1 :]:
                alike = (tensor.shape, tensor.stride()) == (other.shape, other.stride())
                if alike and tensor.data_ptr() == other.data_ptr():
                    continue  # one tensor under two names
                if _overlap(tensor, other):
                    raise ToroidsError(
                        f"`{name}` and `{other_name}` share memory in different layouts (shapes "
                        f"{tuple(tensor.shape)} and {tuple(other.shape)}), so that moving one "
                        "would move the other; keep one tensor, and transpose or slice it in the "
                        "forward pass."
                    )


def _all_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _overlap(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one storage share an entry."""
    if max(_first(a), _first(b)) >= min(_end(a), _end(b)):
        return False
    return bool(np.intersect1d(_entries(a), _entries(b)).size)


def _first(x: Tensor) -> int:
    return int(x.storage_offset()) * x.element_size()


def _end(x: Tensor) -> int:
    reach = sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return _first(x) + (reach + 1) * x.element_size()


def _entries(x: Tensor) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    places = np.full((1,) * x.ndim, x.storage_offset(), np.int64)
    for axis, (size, stride) in enumerate(zip(x.shape, x.stride(), strict=True)):
        shape = [1] * x.ndim
        shape[axis] = size
        places = places + (np.arange(size) * stride).reshape(shape)
    return (places * x.element_size()).ravel()
