"""Random networks that have in common with a given one what strangers of one training have.

Networks that were trained apart on the same data are more alike, once aligned, than random ones:
their weights lie where inputs and outputs vary, and have singular values that fall as steeply. A
*surrogate* keeps just that. Of a matrix W between units that symmetries move and inputs or outputs
that none moves it keeps W'W, the second moment over the inputs; of one between two spaces of units
its singular values; all else is drawn. With orthogonal Q from the uniform measure,

    Q (W'W)^(1/2),        Q S R' for W = U S V'.

A tensor of more axes is Gaussian with these second moments along every axis. Two networks whose
likeness is that of their surrogates have nothing in common beyond such statistics. No permutation,
sign or orthogonal matrix of the units changes what is kept, so that a surrogate of a canonical
network with a given seed is a property of its orbit.
"""

import torch
from torch import Tensor

from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup

# Gains that the canonical form makes one are that up to rounding.
UNIFORM = 1e-4


def moved_axes(group: SymmetryGroup) -> dict[str, set[int]]:
    """The axes of every tensor that some space indexes, wholly or in part."""
    found: dict[str, set[int]] = {}
    for space in group.spaces:
        for leg in space.legs:
            found.setdefault(leg.tensor, set()).update(range(leg.axis, leg.axis + leg.span))
    return found


def surrogate(group: SymmetryGroup, params: Params, seed: int) -> dict[str, Tensor]:
    """Draws a network with the second moments and singular values of another.

    Args:
        group: the architecture's symmetry group.
        params: a canonical network, as it is stored.
        seed: of the draw.

    Returns:
        A network of the same shapes. Tensors that nothing moves, or whose entries are all equal, as
        gains in canonical form, are those of `params`; moved buffers are ones.
    """
    axes = moved_axes(group)
    turning = {leg.tensor for s in group.spaces if s.matrix is not None for leg in s.legs}
    signed = {leg.tensor for s in group.spaces if s.of("flip") for leg in s.legs}
    drawn: dict[str, Tensor] = {}
    for number, (name, tensor) in enumerate(sorted(params.items())):
        if name in group.tied:
            continue
        generator = torch.Generator().manual_seed(len(params) * seed + number)
        moved = axes.get(name, set()) if tensor.is_floating_point() else set()
        if not moved or (name in group.parameters and uniform(tensor)):
            drawn[name] = tensor
        elif name not in group.parameters:
            drawn[name] = torch.ones_like(tensor)
        else:
            wide = tensor.detach().cpu().double()  # a seed means the same on every device
            if tensor.ndim == 1:
                values = _vector(wide, name in turning, name in signed, generator)
            elif tensor.ndim == 2:
                values = _matrix(wide, moved, generator)
            else:
                values = _tensor(wide, moved, generator)
            drawn[name] = values.to(tensor)
    return {name: drawn[group.tied.get(name, name)] for name in params}


def uniform(tensor: Tensor) -> bool:
    """Whether all entries of a tensor are equal up to rounding."""
    least, most = tensor.aminmax()
    return bool(most - least <= UNIFORM * torch.maximum(most.abs(), least.abs()))


def _vector(values: Tensor, turning: bool, signed: bool, generator: torch.Generator) -> Tensor:
    """Its values in another order; signs, and under matrices all but the norm, are drawn too."""
    if turning:
        noise = torch.randn(len(values), generator=generator, dtype=values.dtype)
        turned: Tensor = noise * (values.norm() / noise.norm())
        return turned
    order = torch.randperm(len(values), generator=generator)
    if not signed:
        return values.sort().values[order]
    signs = torch.randint(0, 2, (len(values),), generator=generator) * 2 - 1
    return values.abs().sort().values[order] * signs


def _matrix(matrix: Tensor, moved: set[int], generator: torch.Generator) -> Tensor:
    rows, columns = matrix.shape
    found: Tensor
    if moved == {1}:
        return _matrix(matrix.T, {0}, generator).T
    if moved == {0} and rows >= columns:
        values, vectors = torch.linalg.eigh(matrix.T @ matrix)
        root = vectors * values.clamp_min(0).sqrt() @ vectors.T
        found = _orthonormal(rows, columns, generator) @ root
        return found
    if moved == {0}:  # S V', its signs settled along the axis that stays
        own = torch.linalg.eigh(matrix @ matrix.T).eigenvectors.T @ matrix
        own = own * torch.where(own.pow(3).sum(1, keepdim=True) < 0, -1.0, 1.0)
        found = _orthonormal(rows, rows, generator) @ own
        return found
    least = min(rows, columns)
    small = matrix @ matrix.T if rows < columns else matrix.T @ matrix
    values = torch.linalg.eigvalsh(small).clamp_min(0).sqrt()  # cheaper than singular values
    left, right = (_orthonormal(n, least, generator) for n in (rows, columns))
    found = left * values @ right.T
    return found


def _tensor(tensor: Tensor, moved: set[int], generator: torch.Generator) -> Tensor:
    drawn = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
    for axis in range(tensor.ndim):
        rows = tensor.movedim(axis, 0).flatten(1)
        values, vectors = torch.linalg.eigh(rows @ rows.T)
        frame = _orthonormal(len(rows), len(rows), generator) if axis in moved else vectors
        root = frame * values.clamp_min(0).sqrt() @ frame.T
        drawn = torch.tensordot(root, drawn.movedim(axis, 0), 1).movedim(0, axis)
    found: Tensor = drawn * (tensor.norm() / drawn.norm().clamp_min(1e-300))
    return found


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Orthonormal columns from the uniform measure."""
    noise = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(noise)
    found: Tensor = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
    return found
