"""PyTorch's own database of operators, and a few small samples of each.

The database (`op_db`) needs the package `expecttest`. Nothing of it is imported before it is asked
for, which takes a few seconds.
"""

import functools
import importlib.util
import itertools
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree

MISSING = "PyTorch's database of operators needs the package expecttest"
DTYPES = (torch.float64, torch.float32, torch.complex128, torch.int64, torch.bool)
LOOKED_AT = 200  # samples that a few are chosen of
# Entries of all arguments: what takes a moment, and what is tried where there is nothing smaller.
SMALL, LARGEST = 700, 2500


def is_here() -> bool:
    """Whether the database can be imported."""
    return importlib.util.find_spec("expecttest") is not None


@functools.cache
def operators() -> dict[str, Any]:
    """All operators of the database by name, variants of one operator by a name of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    named = [(".".join(filter(None, (op.name, op.variant_test_name))), op) for op in op_db]
    return dict(sorted(named, key=lambda pair: pair[0].lower()))


@dataclass(frozen=True)
class Sample:
    """One call of an operator: real arguments that parameters can write, and everything else.

    Attributes:
        operator: its name in the database.
        call: the operator.
        leaves: all arguments in one list, tensors and others.
        structure: how the list makes up positional and keyword arguments.
        written: which leaves parameters write: the tensors of the sample's own type.
        dtype: that type; complex numbers are written as pairs of real ones.
        summed: whether of every result only the sum is looked at, as its shape depends on data.
    """

    operator: str
    call: Callable[..., Any]
    leaves: tuple[Any, ...]
    structure: Any
    written: tuple[int, ...]
    dtype: torch.dtype
    summed: bool = False

    @property
    def arguments(self) -> list[Tensor]:
        """What the sample has where parameters write, as real numbers in float64."""
        written = [_real(self.leaves[i]) for i in self.written]
        # parameters are finite; an operator that skips NaN has something to skip in no draw
        return [torch.nan_to_num(a, nan=0.5, posinf=1.0, neginf=-1.0) for a in written]

    @property
    def others(self) -> list[Tensor]:
        """The other tensors: masks, indices, lengths."""
        return [leaf for i, leaf in enumerate(self.leaves) if self._is_other(i)]

    @property
    def has_results(self) -> bool:
        """Whether the call gives tensors that have entries."""
        try:
            return bool(self.run(self.arguments, self.others))
        except Exception:  # on a CPU, or at all
            return False

    def _is_other(self, i: int) -> bool:
        return isinstance(self.leaves[i], Tensor) and i not in self.written

    def run(self, arguments: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
        """Calls the operator on real arguments; its results that have entries, as real numbers."""
        made = self.call_only(arguments, others)
        if self.summed:  # numbers may say which have entries
            return [_real(r).sum() for r in made if isinstance(r, Tensor)]
        return [_real(r) for r in made if _has_entries(r)]

    def call_only(self, arguments: Sequence[Tensor], others: Sequence[Tensor]) -> list[Any]:
        """Calls the operator on real arguments; all that it returns, in one list."""
        given, beside = iter(arguments), iter(others)
        leaves = [
            _typed(next(given), self.dtype) if i in self.written
            else next(beside) if self._is_other(i)
            else leaf
            for i, leaf in enumerate(self.leaves)
        ]  # fmt: skip
        args, kwargs = _pytree.tree_unflatten(leaves, self.structure)
        return _pytree.tree_leaves(self.call(*args, **kwargs))

    def __str__(self) -> str:
        args, kwargs = _pytree.tree_unflatten([_shown(x) for x in self.leaves], self.structure)
        given = [*map(str, args), *(f"{key}={value}" for key, value in kwargs.items())]
        return ", ".join(given).replace("'", "")


def _has_entries(result: Any) -> bool:
    """Whether a result is a tensor that is not known to be empty; some sizes depend on data."""
    return isinstance(result, Tensor) and not any(
        isinstance(n, int) and not n for n in result.shape
    )


def _real(tensor: Tensor) -> Tensor:
    """Real numbers in float64; pairs of them for complex ones."""
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor if tensor.dtype == torch.float64 else tensor.to(torch.float64)


def _typed(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.float64:
        return tensor
    if dtype == torch.bool:
        return tensor > 0.5
    return torch.view_as_complex(tensor) if dtype.is_complex else tensor.to(dtype)


def _shown(leaf: Any) -> str:
    if not isinstance(leaf, Tensor):
        return getattr(leaf, "__name__", None) or str(leaf)
    kind = "" if leaf.is_floating_point() else str(leaf.dtype).removeprefix("torch.")
    return f"{kind}{list(leaf.shape)}"


def samples(name: str, limit: int = 4) -> list[Sample]:
    """A few small samples of an operator that differ in kind; none where it has no usable ones.

    Args:
        name: of the operator in `operators()`.
        limit: how many at most.

    Returns:
        Samples without empty tensors, the first one being the most ordinary.
    """
    info = operators()[name]
    supported = info.supported_dtypes("cpu")
    dtype = next((dtype for dtype in DTYPES if dtype in supported), None)
    if dtype is None:
        return []
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = list(itertools.islice(info.sample_inputs("cpu", dtype), LOOKED_AT))
    found = [_sample(name, info.op, each, dtype) for each in given]
    found = [sample for sample in found if _is_small(sample)]
    few = [sample for sample in found if _entries(sample) <= SMALL]
    return _different(few or found, limit)


def _sample(name: str, call: Callable[..., Any], given: Any, dtype: torch.dtype) -> Sample:
    leaves, structure = _pytree.tree_flatten(((given.input, *given.args), dict(given.kwargs)))
    leaves = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    written = [
        i
        for i, leaf in enumerate(leaves)
        if isinstance(leaf, Tensor) and leaf.dtype == dtype and leaf.layout == torch.strided
    ]
    return Sample(name, call, tuple(leaves), structure, tuple(written), dtype)


def _is_small(sample: Sample) -> bool:
    tensors = [leaf for leaf in sample.leaves if isinstance(leaf, Tensor)]
    return all(t.numel() for t in tensors) and _entries(sample) <= LARGEST


def _different(found: Sequence[Sample], limit: int) -> list[Sample]:
    """Picks the sample that adds most kinds of arguments, again and again; the smaller of two."""
    chosen: list[Sample] = []
    seen: set[Any] = set()
    left = list(found)
    while left and len(chosen) < limit:
        best = max(left, key=lambda sample: (len(_kinds(sample) - seen), _size(sample)))
        if not _kinds(best) - seen:
            break
        if best.has_results:
            chosen.append(best)
            seen |= _kinds(best)
        left = [sample for sample in left if sample is not best]
    return chosen or list(found[:1])


def _entries(sample: Sample) -> int:
    return sum(argument.numel() for argument in sample.arguments)


def _size(sample: Sample) -> int:
    """Larger is better for a first look: many axes, few entries."""
    rank = max((argument.ndim for argument in sample.arguments), default=0)
    return 2 * LARGEST * min(3, rank) - _entries(sample)


def _kinds(sample: Sample) -> set[Any]:
    """What distinguishes one sample from another: ranks, and every argument that is no tensor."""
    args, kwargs = _pytree.tree_unflatten([_kind(leaf) for leaf in sample.leaves], sample.structure)
    named = [*enumerate(args), *kwargs.items()]
    return {(key, str(value)) for key, value in named} | {len(sample.written)}


def _kind(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    return (leaf.dtype, leaf.ndim, 1 in leaf.shape)
