"""What results show of themselves where they are printed, as in a notebook."""

from dataclasses import fields, is_dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

# Characters of what is shown whole.
LONG = 90


class Result:
    """A dataclass that shows one attribute per line, and of what is large how large it is.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, repr=False)
        ... class Curve(Result):
        ...     error: Tensor
        ...     barrier: float
        ...     notes: list[str]
        >>> Curve(torch.tensor([0.25, 0.5, 0.125]), 0.25, [])
        Curve
          error    (3,) tensor, 0.125 to 0.5
          barrier  0.25
          notes    none
    """

    also: ClassVar[tuple[str, ...]] = ()
    """Properties that are shown, too."""

    def __repr__(self) -> str:
        """The name of the class, and a line for every attribute."""
        named = [field.name for field in fields(self) if field.repr]  # type: ignore[arg-type]
        named += self.also
        width = max(map(len, named), default=0)
        lines = [f"  {name:{width}}  {brief(getattr(self, name))}" for name in named]
        return "\n".join([type(self).__name__, *lines])


def brief(value: Any) -> str:
    """A value on one line: numbers and sentences whole, of anything larger what it is.

    Args:
        value: anything.

    Returns:
        The text.
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool | int | str | None):
        return str(value)
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, dict | tuple | list):
        return _several(value)
    text = _inline(value) if is_dataclass(value) and not isinstance(value, Result) else repr(value)
    short = len(text) <= LONG and "\n" not in text and text[:1] != "<"  # no address in memory
    return text if short else type(value).__name__


def _inline(value: Any) -> str:
    kind: Any = type(value)
    if kind.__str__ is not object.__str__:
        return str(value)
    parts = ", ".join(f"{x.name}={brief(getattr(value, x.name))}" for x in fields(value))
    return f"{kind.__name__}({parts})"


def _several(values: Any) -> str:
    if not values:
        return "none"
    parts = [*values.values()] if isinstance(values, dict) else [*values]
    if all(isinstance(part, str) for part in parts) and not isinstance(values, dict):
        return "; ".join(parts)
    if all(isinstance(part, bool | int | float | str | None) for part in parts):
        keys = [f"{key}: " for key in values] if isinstance(values, dict) else [""] * len(parts)
        text = ", ".join(key + brief(part) for key, part in zip(keys, parts, strict=True))
        if len(text) <= LONG:
            return text
    kinds = {"tensor" if isinstance(part, Tensor) else type(part).__name__ for part in parts}
    return f"{len(parts)} x {' or '.join(sorted(kinds))}"


def _tensor(tensor: Tensor) -> str:
    shape = f"{tuple(tensor.shape)} tensor"
    if tensor.is_meta or not tensor.numel() or tensor.is_complex():
        return shape
    if tensor.numel() == 1 and not tensor.ndim:
        return brief(tensor.item())
    known = tensor[~tensor.isnan()]
    if not known.numel() or tensor.dtype == torch.bool:
        return shape
    low, high = (f"{float(x):.6g}" for x in (known.min(), known.max()))
    return f"{shape}, {low} to {high}"
