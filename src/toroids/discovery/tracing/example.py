"""The inputs of a module as a flat list of tensors, whose axes can be given other sizes."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from toroids.errors import ToroidsError

Inputs: TypeAlias = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]
Axis: TypeAlias = tuple[int, int]  # the number of a tensor among the inputs, and of one of its axes
PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)


@dataclass(frozen=True, eq=False)
class Example:
    """Inputs of one call.

    Attributes:
        tensors: all tensors, in order.
        names: what the module calls each of them.
        spec: how positional and keyword arguments are made of leaves.
        leaves: everything, with the number of a tensor in its place.
        settings: names and values of numbers, flags and texts, which stay as they are.
    """

    tensors: tuple[Tensor, ...]
    names: tuple[str, ...]
    spec: pytree.TreeSpec
    leaves: tuple[Any, ...]
    settings: tuple[tuple[str, Any], ...]

    def arguments(self, tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments with other tensors."""
        leaves = [tensors[x.number] if isinstance(x, _Slot) else x for x in self.leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return tuple(args), dict(kwargs)

    @property
    def axes(self) -> list[Axis]:
        """All axes of all tensors."""
        return [(i, axis) for i, x in enumerate(self.tensors) for axis in range(x.ndim)]

    def size(self, axis: Axis) -> int:
        """The length of an axis."""
        return int(self.tensors[axis[0]].shape[axis[1]])

    def resized(self, sizes: Mapping[Axis, int]) -> "Example":
        """Cuts axes, or continues them with what they hold already."""
        tensors = list(self.tensors)
        for (number, axis), size in sizes.items():
            x = tensors[number]
            if x.shape[axis] == 0:
                tensors[number] = x.new_zeros([*x.shape[:axis], size, *x.shape[axis + 1 :]])
            elif x.shape[axis] != size:
                order = torch.arange(size, device=x.device) % x.shape[axis]
                tensors[number] = x.index_select(axis, order)
        return replace(self, tensors=tuple(tensors))

    def is_like(self, other: "Example") -> bool:
        """Whether another example has as many tensors of as many axes, under the same names."""
        return self.spec == other.spec and self.axes_per_tensor == other.axes_per_tensor

    @property
    def entries(self) -> int:
        """How many numbers its tensors have."""
        return sum(tensor.numel() for tensor in self.tensors)

    @property
    def axes_per_tensor(self) -> list[int]:
        """How many axes every tensor has."""
        return [tensor.ndim for tensor in self.tensors]

    @property
    def sizes(self) -> str:
        """The shapes of its tensors, as they are shown."""
        return shown_sizes(self.tensors)

    def in_precision_of(self, model: nn.Module) -> "Example":
        """The example with its floating tensors in the type of a module's first parameter."""
        floats = (p.dtype for p in model.parameters() if p.is_floating_point())
        kind = next(floats, None)
        return self.with_tensors([x.to(kind) if x.is_floating_point() else x for x in self.tensors])

    def with_tensors(self, tensors: Sequence[Tensor]) -> "Example":
        """The same call on other tensors."""
        return replace(self, tensors=tuple(tensors))


def shown_sizes(tensors: Sequence[Tensor]) -> str:
    """The shapes of tensors, as they are shown."""
    return ", ".join(str(tuple(x.shape)) for x in tensors)


@dataclass(frozen=True)
class _Slot:
    """The place of a tensor among the leaves."""

    number: int


def split_inputs(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs as positional and keyword arguments.

    Returns:
        Both.

    Raises:
        ToroidsError: they are neither a tensor, a tuple nor a mapping.
    """
    if isinstance(inputs, Tensor):
        return (inputs,), {}
    if isinstance(inputs, tuple | list):
        return tuple(inputs), {}
    if isinstance(inputs, Mapping):
        return (), {str(name): value for name, value in inputs.items()}
    raise ToroidsError(
        f"the inputs are a {type(inputs).__name__}; pass a tensor, a tuple of positional "
        "arguments or a dictionary of keyword arguments."
    )


def example_of(model: nn.Module, inputs: Inputs) -> Example:
    """Flattens the inputs of a module.

    Args:
        model: whose forward names them.
        inputs: a tensor, a tuple of positional or a mapping of keyword arguments.

    Returns:
        The example; its tensors lie where the inputs do.

    Raises:
        ToroidsError: they hold something else than tensors, numbers and texts, or themselves.
    """
    args, kwargs = split_inputs(inputs)
    try:
        found, spec = pytree.tree_flatten_with_path((args, kwargs))
    except RecursionError as error:
        raise ToroidsError(
            "the inputs hold a list or a dictionary that holds itself, or too many in each other; "
            "pass tensors, numbers, texts, and lists, tuples or dictionaries of them."
        ) from error
    called = _argument_names(model, len(args))
    tensors: list[Tensor] = []
    names: list[str] = []
    leaves: list[Any] = []
    settings: list[tuple[str, Any]] = []
    for path, value in found:
        name = _name(path, called)
        if isinstance(value, Tensor):
            _check_tensor(name, value)
            leaves.append(_Slot(len(tensors)))
            tensors.append(value.detach())
            names.append(name)
        elif isinstance(value, PLAIN):
            leaves.append(value)
            if value is not None:
                settings.append((name, value))
        else:
            raise ToroidsError(
                f"the input `{name}` is a {type(value).__name__}; pass tensors, numbers, texts, "
                "and lists, tuples or dictionaries of them."
            )
    return Example(tuple(tensors), tuple(names), spec, tuple(leaves), tuple(settings))


def _check_tensor(name: str, value: Tensor) -> None:
    nested = value.is_nested  # as lists of tensors of unlike lengths; they have no shape to tell
    if nested or value.layout != torch.strided or value.is_quantized or value.is_meta:
        kind = "on the meta device" if value.is_meta else f"{value.layout}, {value.dtype}"
        kind = "a nested tensor" if nested else kind
        raise ToroidsError(f"the input `{name}` is {kind}; pass a dense tensor that holds numbers.")


def parameters_of(model: nn.Module) -> list[inspect.Parameter]:
    """The arguments of a forward that have names; none where they are not told, as from C."""
    try:
        found = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _argument_names(model: nn.Module, count: int) -> list[str]:
    """Names of the positional arguments of a forward; numbers where they have none."""
    named = [p.name for p in parameters_of(model) if p.kind is not p.KEYWORD_ONLY][:count]
    return [*named, *(str(i) for i in range(len(named), count))]


def _name(path: Sequence[Any], called: Sequence[str]) -> str:
    top, *below = path[1:]
    position = getattr(top, "idx", None)
    first = called[position] if position is not None else str(getattr(top, "key", top))
    parts = [str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in below]
    return ".".join([first, *parts])
