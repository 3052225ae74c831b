"""The matrices that act on the units of a space: random ones, checked ones, and their products."""

import warnings

import torch
from torch import Tensor

from toroids.errors import ToroidsError
from toroids.symmetry.space import Space

# How far a matrix may be from orthogonal: float32 leaves about 1e-6 times the root of its size.
ORTHOGONAL = 1e-4
# Matrices of more rows are not multiplied in full where that takes long: they are looked for rows
# of few entries, and checked on so many random vectors.
LARGE, FEW, PROBES = 512, 8, 8
# Types of which PyTorch multiplies sparse matrices, and by how many columns at once.
SPARSE, COLUMNS = (torch.float32, torch.float64), 256
# Units that `sparse_rotation` turns together.
TOGETHER = 4


def random_matrix(space: Space, generator: torch.Generator | None) -> Tensor | None:
    """Matrices of condition at most 10, or orthogonal ones, as the space allows.

    Returns:
        Shape (copies, size, size), in float64; None where no matrix acts.
    """
    if space.of("mix"):
        left, right = (_orthogonal(space.copies, space.size, generator) for _ in range(2))
        shape = (space.copies, space.size)
        spread = torch.rand(shape, dtype=torch.float64, generator=generator) - 0.5
        return left * (10**spread)[:, None, :] @ right
    if not space.of("rotate"):
        return None
    fixes_mean = space.of("rotate")[0].fixes_mean
    return _rotation(space.copies, space.size, fixes_mean, generator)


def sparse_rotation(space: Space, generator: torch.Generator | None) -> Tensor:
    """Orthogonal matrices that turn a few units together, everywhere others.

    They move every unit, and are multiplied with much faster than full ones.

    Returns:
        Shape (copies, size, size), in float64, for a space that rotates.
    """
    fixes_mean = space.of("rotate")[0].fixes_mean
    found = torch.zeros((space.copies, space.size, space.size), dtype=torch.float64)
    for copy in found:
        order = torch.randperm(space.size, generator=generator)
        count = max(space.size // TOGETHER, 1)
        for units in torch.tensor_split(order, count):
            turn = _rotation(1, len(units), fixes_mean, generator)[0]
            copy[units[:, None], units] = turn
    return found


def _orthogonal(count: int, size: int, generator: torch.Generator | None) -> Tensor:
    drawn = torch.randn((count, size, size), dtype=torch.float64, generator=generator)
    q: Tensor = torch.linalg.qr(drawn)[0]
    return q


def _rotation(
    count: int, size: int, fixes_mean: bool, generator: torch.Generator | None
) -> Tensor:  # fmt: skip
    if not fixes_mean:
        return _orthogonal(count, size, generator)
    basis = mean_first(size)
    inner = torch.eye(size, dtype=torch.float64).repeat(count, 1, 1)
    inner[:, 1:, 1:] = _orthogonal(count, size - 1, generator)
    return basis @ inner @ basis.T


def mean_first(size: int) -> Tensor:
    """An orthonormal basis, in columns, whose first vector is constant: (size, size), float64."""
    mean = torch.full((size,), size**-0.5, dtype=torch.float64)
    across = mean.clone()
    across[0] += 1.0  # the reflection that takes the first axis to minus the mean
    reflected = torch.eye(size, dtype=torch.float64) - torch.outer(across, across) / across[0]
    return torch.cat([mean[:, None], reflected[:, 1:]], dim=1)


def check_rotation(space: Space, matrix: Tensor) -> None:
    """Raises unless matrices are orthogonal, and fix the mean where they must.

    Raises:
        ToroidsError: says by how much they are not.
    """
    matrix = matrix.detach()
    probe = torch.eye(space.size, dtype=matrix.dtype, device=matrix.device)
    if space.size > LARGE:  # what fixes a few random vectors is the identity
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn((space.size, PROBES), generator=generator).to(matrix)
    off = float((matrix @ (matrix.transpose(1, 2) @ probe) - probe).abs().max())
    if space.of("rotate")[0].fixes_mean:
        off = max(off, float((matrix.sum(dim=2) - 1).abs().max()))
    if off > ORTHOGONAL:
        also = " that keeps the mean" if space.of("rotate")[0].fixes_mean else ""
        raise ToroidsError(
            f"the element's matrix on `{space.name}` is {off:.1g} from an orthogonal one{also}; "
            "pass an element of this group."
        )


def product(matrix: Tensor, x: Tensor, own: bool = False) -> Tensor:
    """Multiplies (copies, size, size) with (copies, size, entries), quickly if rows are sparse.

    Args:
        matrix: what acts.
        x: what it acts on.
        own: whether nobody else holds `x`, so that the result may lie in its place.

    Returns:
        The product.
    """
    copies, size, _ = matrix.shape
    if copies > 1 or size <= LARGE or matrix.requires_grad or x.dtype not in SPARSE:
        return matrix @ x
    if int((matrix[0] != 0).sum(dim=1).max()) > FEW:
        return matrix @ x
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        sparse = matrix[0].to_sparse_csr()
    in_place = own and not x.requires_grad
    moved = x[0] if in_place else torch.empty(x.shape[1:], dtype=x.dtype, device=x.device)
    # in parts that stay in a processor's cache, whichever way the entries of x lie in memory
    parts = (torch.split(whole, COLUMNS, dim=1) for whole in (x[0], moved))
    for part, into in zip(*parts, strict=True):
        into.copy_(sparse @ part)
    return moved[None]
