"""Weights of any size that take next to no memory: a few numbers, again and again.

A module whose parameters are on the meta device has shapes but no numbers. It is given some, so
that it can be called and traced like any other: every large tensor shows the same pages of memory
one behind the other. Where the system cannot do that, they take the memory that they show.
"""

import contextlib
import copy
import math
import os
import weakref
from functools import cache
from mmap import ALLOCATIONGRANULARITY
from typing import Any, TypeAlias
from zlib import crc32

import torch
from torch import Tensor, nn

from toroids.checkpoint.mapping import forget, repeated
from toroids.computed import Computed
from toroids.params import Params

# Bytes that large tensors show, again and again where they have more; those of fewer bytes than
# `SMALL` have numbers of their own.
PAGES, SMALL = 2**24, 2**20
# The shape, the type, minus the logarithm of the spread, and where in the pages it begins.
Recipe: TypeAlias = tuple[tuple[int, ...], torch.dtype, int, int]
# For the copies made here, how their large tensors are made once more, by name.
_RECIPES: "weakref.WeakKeyDictionary[nn.Module, dict[str, Recipe]]" = weakref.WeakKeyDictionary()
# And which of their buffers hold whole numbers that nobody knows.
_UNKNOWN: "weakref.WeakKeyDictionary[nn.Module, frozenset[str]]" = weakref.WeakKeyDictionary()


def with_weights(model: nn.Module) -> nn.Module:
    """A copy of a module in which tensors on the meta device have numbers.

    Args:
        model: left as it was.

    Returns:
        The module itself if none of its tensors are on the meta device.
    """
    held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    kept = model.state_dict().keys()  # the numbers of other buffers are asked for
    meta = {name: x for name, x in held.items() if x.is_meta and name in kept}
    if not meta:
        return model
    generator = torch.Generator().manual_seed(0)
    twin = copy.deepcopy(model, {id(x): _given(name, x, generator) for name, x in meta.items()})
    recipes = {id(x): _recipe(name, x) for name, x in meta.items() if _is_large(x)}
    _UNKNOWN[twin] = frozenset(name for name, x in meta.items() if not x.is_floating_point())
    _RECIPES[twin] = {
        name: recipes[id(x)]
        for name, x in model.named_parameters(remove_duplicate=False)
        if id(x) in recipes
    }
    for name, module in twin.named_modules():
        own = [n for n, _ in module.named_parameters(name, recurse=False, remove_duplicate=False)]
        large = [twin.get_parameter(n) for n in own if n in _RECIPES[twin]]
        if large:
            module.register_forward_hook(_Forget(large))
    return twin


def unknown_in(model: nn.Module) -> frozenset[str]:
    """Names of the buffers of a copy made here whose whole numbers nothing may read."""
    return _UNKNOWN.get(model, frozenset())


class _Forget:
    """A hook by which a module gives back the pages of its weights when it has been called."""

    def __init__(self, weights: list[nn.Parameter]) -> None:
        self._weights = weights

    def __call__(self, *_: Any) -> None:
        for weight in self._weights:
            forget(weight)


def anew(model: nn.Module, params: Params) -> Params:
    """Tensors of a module by name; large ones of a copy made here are made anew at each use.

    Args:
        model: a module.
        params: its tensors by name.

    Returns:
        The same by name, so that what has been used can be given back.
    """
    recipes = _RECIPES.get(model)
    if recipes is None:
        return params
    own = dict(model.named_parameters(remove_duplicate=False))
    # not what stands in for the module's own numbers
    shown = {name for name in recipes if params[name].data_ptr() == own[name].data_ptr()}
    return Computed(
        params, lambda name: _repeated(*recipes[name]) if name in shown else params[name]
    )


def _is_large(x: Tensor) -> bool:
    return x.numel() * x.element_size() > SMALL and x.ndim > 1 and isinstance(x, nn.Parameter)


def _recipe(name: str, x: Tensor) -> Recipe:
    spread = math.ceil(math.log2(x.numel() / x.shape[0]) / 2)
    # elsewhere in every layer: equal ones one behind the other blow up what is along one direction
    begin = crc32(name.encode()) % (PAGES // ALLOCATIONGRANULARITY) * ALLOCATIONGRANULARITY
    return tuple(x.shape), x.dtype, spread, begin


def _given(name: str, old: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers in place of none: gains near one, small biases, matrices that keep lengths."""
    if not old.is_floating_point():  # which nothing may read: see `explore`
        value = torch.zeros(old.shape, dtype=old.dtype)
    elif _is_large(old):
        value = _repeated(*_recipe(name, old))
    else:
        noise = torch.randn(old.shape, generator=generator)
        if old.ndim > 1:
            noise = noise * (old.shape[0] / old.numel()) ** 0.5
        else:
            noise = 0.1 * noise if name.endswith("bias") else (1 + 0.1 * noise).abs()
        value = noise.to(old.dtype)
    if isinstance(old, nn.Parameter):
        return nn.Parameter(value, requires_grad=old.requires_grad)
    return value


def _repeated(shape: tuple[int, ...], dtype: torch.dtype, spread: int, begin: int) -> Tensor:
    """A tensor of normal numbers that shows the same pages again and again."""
    with contextlib.suppress(AttributeError, OSError):  # only Linux has it, and not without end
        return repeated(_pages(dtype, spread), PAGES, dtype, shape, begin)
    generator = torch.Generator().manual_seed(spread + begin)
    return (torch.randn(shape, generator=generator) * 2.0**-spread).to(dtype)


@cache
def _pages(dtype: torch.dtype, spread: int) -> int:
    """A file in memory with normal numbers of a standard deviation of 2^-spread."""
    generator = torch.Generator().manual_seed(spread)
    numbers = torch.randn(PAGES // dtype.itemsize, generator=generator) * 2.0**-spread
    handle = os.memfd_create("weights")
    os.write(handle, numbers.to(dtype).view(torch.uint8).numpy().data)
    return handle
