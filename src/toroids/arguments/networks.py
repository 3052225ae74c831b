"""Modules and parameters by name, checked where they come in."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from toroids.arguments.shown import shown
from toroids.computed import Computed
from toroids.errors import ParamsError

Params: TypeAlias = Mapping[str, torch.Tensor]


def is_hollow(value: Any) -> bool:
    """Whether a value is a tensor whose entries do not lie in memory one by one."""
    return isinstance(value, torch.Tensor) and hollow_kind(value) != ""


def hollow_kind(tensor: torch.Tensor) -> str:
    """How the entries of a tensor are missing or packed, in a word; nothing where they are not."""
    if tensor.is_meta:
        return "on meta"
    if tensor.is_quantized:
        return "quantized"
    if tensor.is_nested:
        return "nested"
    return "" if tensor.layout == torch.strided else str(tensor.layout).removeprefix("torch.")


def check_module(model: object, what: str = "the model") -> None:
    """Raises unless `model` is a module, not the class of one, whose parameters have shapes.

    Args:
        model: what came as a model.
        what: how the message calls it.

    Raises:
        ParamsError: it is something else, or a lazy module that never ran.
    """
    if not isinstance(model, nn.Module):
        kind = shown(model) if isinstance(model, type) else type(model).__name__
        raise ParamsError(f"{what}: expected a torch.nn.Module, got {kind}; pass an instance.")
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(tensor):
            raise ParamsError(
                f"`{name}` in {what} has no shape yet; run it once, as model(inputs), before."
            )


def passes(check: Callable[[Any], None], value: Any) -> bool:
    """Whether a check that raises a ParamsError lets a value pass."""
    try:
        check(value)
    except ParamsError:
        return False
    return True


def are_params(value: Any) -> bool:
    """Whether tensors by name came."""
    return passes(check_named, value)


def refuse_params(name: str, value: Any) -> None:
    """Raises what says best what came in place of tensors by name."""
    check_named(value, f"the parameters `{name}`" if name != "params" else "the parameters")


def are_networks(value: Any) -> bool:
    """Whether a list of tensors by name came."""
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return listed and all(are_params(each) for each in value)


def refuse_networks(name: str, value: Any) -> None:
    """Raises what says best what came in place of a list of networks."""
    check_several(value, 0, name)
    for number, network in enumerate(value):
        check_named(network, f"number {number} of the {name}")


def check_named(params: object, what: str = "the parameters") -> None:
    """Raises unless `params` holds tensors by name.

    Args:
        params: what came as parameters and buffers.
        what: how the message calls them.

    Raises:
        ParamsError: says what came instead, and how to make parameters of it.
    """
    if not isinstance(params, Mapping):
        advice = "pass tensors by name, as model.state_dict() gives them"
        if isinstance(params, torch.nn.Module):
            advice = "pass its .state_dict()"
        elif isinstance(params, str | Path):
            advice = "pass what td.load_params(path) reads"
        raise ParamsError(f"{what}: expected a state dict, got a {_kind(params)}; {advice}.")
    if isinstance(params, Computed):  # ours; to look at them would compute them all
        return
    for name, tensor in params.items():
        if not isinstance(name, str):
            raise ParamsError(
                f"{what} have the name {shown(name)}; pass tensors by names that are texts, as "
                "model.state_dict() gives them."
            )
        if not isinstance(tensor, torch.Tensor):
            raise ParamsError(
                f"`{name}` in {what} is a {_kind(tensor)}; pass a tensor, as torch.as_tensor "
                "makes of an array."
            )
        if kind := hollow_kind(tensor):
            raise ParamsError(
                f"`{name}` in {what} is {kind}; pass dense tensors that hold their values, as "
                "tensor.to_dense() or tensor.dequantize() makes them."
            )


def check_several(networks: object, least: int, what: str = "networks") -> None:
    """Raises unless several networks came, in order.

    Args:
        networks: what came as a sequence of parameters by name.
        least: how many there must be.
        what: how the message calls them.

    Raises:
        ParamsError: there are fewer, or what came is one network or no sequence.
    """
    if isinstance(networks, Mapping | str) or not isinstance(networks, Sequence):
        raise ParamsError(
            f"the {what} are a {_kind(networks)}; pass a list of state dicts, one per network."
        )
    if len(networks) < least:
        words = {1: "one", 2: "two"}.get(least, str(least))
        raise ParamsError(f"there are {len(networks)} {what}; pass {words} or more.")


def _kind(value: object) -> str:
    return type(value).__name__
