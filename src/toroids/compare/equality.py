"""When weights count as equal: bit by bit, or up to the rounding of the precision they are in."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.params import Params, pieces

# Distances relative to the weights that are rounding: in float64 what ill-conditioned elements
# leave, else so many times the precision; weights in half precision were rounded but once.
LEAST_ROUNDING, ROUNDINGS, HALF_ROUNDINGS = 1e-9, 64, 2
# Of buffers, as a variance, which takes the square of a scale that was rounded with its weights.
BUFFER_ROUNDINGS = 8
NARROW = (torch.bfloat16, torch.float16, torch.float32)


@dataclass(frozen=True)
class Rounding:
    """What is rounding where two networks are compared.

    Attributes:
        kind: the narrowest precision that holds all matrices of one of them exactly.
        aligned: the relative distance of weights that were moved, rounded, and moved back.
    """

    kind: torch.dtype
    aligned: float

    @property
    def name(self) -> str:
        """Of the precision."""
        return str(self.kind).removeprefix("torch.")

    @staticmethod
    def of(stored: Iterable[Params], names: Iterable[str], typed: bool = False) -> "Rounding":
        """That of the narrowest of some networks; as their types say, or as narrow as they are."""
        names = list(names)
        kinds = [
            kind
            for params in stored
            for kind in ([params[n].dtype for n in names] if typed else [held_in(params, names)])
        ]
        kind = max(kinds, key=lambda kind: torch.finfo(kind).eps)
        times = HALF_ROUNDINGS if kind.itemsize < 4 else ROUNDINGS
        return Rounding(kind, max(LEAST_ROUNDING, times * torch.finfo(kind).eps))

    def hides(self, a: Params, b: Params, names: Iterable[str]) -> bool:
        """Whether no weight of two networks differs by more than its own rounding."""
        return all(self._hides(a[n], b[n]) for n in names if _counts(a[n]))

    def _hides(self, x: Tensor, y: Tensor) -> bool:
        finfo = torch.finfo(self.kind)
        for a, b in pieces(x, y.to(x.device)):  # of other networks the first piece tells
            allowed = finfo.eps * torch.maximum(a.abs(), b.abs()) + finfo.tiny * finfo.eps
            if not bool(((a == b) | ((a - b).abs() <= allowed)).all()):  # masks hold infinities
                return False
        return True


def apart(a: Params, b: Params, names: Iterable[str], rounding: Rounding) -> list[str]:
    """Names of the buffers of two aligned networks that are not equal up to rounding.

    Args:
        a: a network as it was aligned to.
        b: another one, moved onto it.
        names: of buffers; integers do not count.
        rounding: of the networks.

    Returns:
        The names of those that differ, relative to their size, by more.
    """
    found = []
    for name in filter(lambda name: _counts(a[name]), names):
        x, y = a[name].double(), b[name].double()
        step = torch.where(x == y, 0.0, x - y).norm()  # a mask holds infinities
        size = max(float(each.nan_to_num(0, 0, 0).norm()) for each in (x, y))
        if float(step) > BUFFER_ROUNDINGS * rounding.aligned * size:
            found.append(name)
    return found


def _counts(tensor: Tensor) -> bool:
    """Whether outputs depend on the values: integers count calls, or are conditions of a group."""
    return tensor.is_floating_point() or tensor.dtype == torch.bool


def held_in(params: Params, names: Iterable[str]) -> torch.dtype:
    """The narrowest floating type that holds weights exactly.

    A network in bfloat16 that was saved in float32 is as coarse as before.

    Args:
        params: weights by name.
        names: of those that are looked at; of them vectors, often all zeros or ones, do not count.

    Returns:
        The widest type of the weights where no other holds all of them.
    """
    matrices = [params[name] for name in names if params[name].ndim > 1]
    matrices = matrices or [params[name] for name in names]
    kinds = [x.dtype for x in matrices]
    own = min(kinds, key=lambda kind: torch.finfo(kind).eps)
    for kind in NARROW:
        if torch.finfo(kind).eps <= torch.finfo(own).eps:
            break
        if all(_holds(kind, x) for x in matrices):
            return kind
    return own


def _holds(kind: torch.dtype, tensor: Tensor) -> bool:
    some = tensor.flatten()[:1000]  # mostly tells at once
    return all(torch.equal(x.to(kind).to(x.dtype), x) for x in (some, tensor))


def equal(a: Params, b: Params, names: Iterable[str] | None = None) -> bool:
    """Whether two networks are equal bit by bit.

    Args:
        a: a network.
        b: another one.
        names: of the tensors that count; all, which must be the same ones, when None.

    Returns:
        Also False where types differ.
    """
    if names is None:
        if a.keys() != b.keys():
            return False
        names = a
    return all(
        a[name] is b[name]
        or (
            a[name].dtype == b[name].dtype
            and a[name].shape == b[name].shape
            and torch.equal(a[name], b[name].to(a[name].device))
        )
        for name in names
    )


def alike(a: Params, b: Params) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two networks in one precision, at least float32, on the first one's device."""
    left, right = dict(a), dict(b)
    for name in left.keys() & right.keys():
        x, y = left[name], right[name]
        if x.is_floating_point() and y.is_floating_point():
            kind = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
            left[name], right[name] = x.to(kind), y.to(device=x.device, dtype=kind)
        else:
            right[name] = y.to(x.device)
    return left, right
