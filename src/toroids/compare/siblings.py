"""Whether networks are aligned as they lie, told from a few rows of every matrix.

Networks that were fine-tuned from one base keep every unit in its place: their matrices point
nearly the same way as they are. Of networks trained apart, and of copies that a symmetry has moved,
rows have nothing in common. A look at some rows tells the two apart before any long work, and reads
next to nothing of files that are mapped.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from toroids.params import Params

# Rows of every matrix that are looked at, and entries of a matrix that is.
ROWS, LEAST = 16, 4096
# The cosine from which on a matrix points the same way; steps of a fine-tune leave more than this.
ALIKE = 0.9


def lie_alike(a: Params, b: Params) -> float | None:
    """The least cosine of corresponding matrices as they lie, if all of them point the same way.

    Args:
        a: a network, by the names of its files or of its state dict.
        b: another one, by names of the same kind.

    Returns:
        The cosine of the least similar matrix, over the rows that were looked at; None where one
        is below 0.9, or nothing is there to compare.

    Example:
        >>> import torch
        >>> a = {"weight": torch.randn(64, 64, generator=torch.Generator().manual_seed(0))}
        >>> lie_alike(a, {"weight": 2 * a["weight"]})
        1.0
        >>> lie_alike(a, {"weight": a["weight"].flip(0)}) is None
        True
    """
    least: float | None = None
    for found in _cosines(a, b):
        if not found >= ALIKE:
            return None
        least = found if least is None else min(least, found)
    return least


def _cosines(a: Params, b: Params) -> Iterator[float]:
    for name in a:
        if name not in b:
            continue
        x, y = a[name], b[name]
        matrix = x.ndim > 1 and x.is_floating_point() and y.is_floating_point()
        if x.shape != y.shape or not matrix or x.numel() < LEAST:
            continue
        u, v = _some(x), _some(y)
        lengths = float(u.norm() * v.norm())
        yield round(float(u @ v) / lengths, 12) if lengths else 1.0


def _some(x: Tensor) -> Tensor:
    """Some rows of a matrix, evenly spread, in float64."""
    rows = torch.linspace(0, len(x) - 1, min(ROWS, len(x)), dtype=torch.float64).long()
    return torch.cat([x[i].detach().cpu().double().reshape(-1) for i in rows.tolist()])
