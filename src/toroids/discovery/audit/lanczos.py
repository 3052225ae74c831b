"""How many eigenvalues of a large matrix are not small, from products with it alone.

Reference: Ubaru, Chen, Saad, Fast estimation of tr(f(A)) via stochastic Lanczos quadrature (2017).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from toroids.discovery.audit.tangents import pulled

# The estimate counts eigenvalues of J^T J above this share of the largest.
ESTIMATE_TOLERANCE = 1e-8
STEP = 1e-5  # of central differences along a vector of length one: an error of about 1e-10


def estimated_rank(
    outputs: Callable[[Tensor], Tensor], start: Tensor, probes: int = 8, steps: int = 60
) -> tuple[float, float]:
    """Counts the eigenvalues of J^T J that are not small.

    Args:
        outputs: a vector as a function of a vector.
        start: where its Jacobian J is meant.
        probes: random starts.
        steps: products for each.

    Returns:
        The count, and its standard error.
    """
    vector = start.clone().requires_grad_()
    values = outputs(vector)

    def product(x: Tensor) -> Tensor:
        with torch.no_grad():  # central differences: not every operator has second slopes
            pushed = (outputs(start + STEP * x) - outputs(start - STEP * x)) / (2 * STEP)
        return pulled(values, vector, pushed)

    generator = torch.Generator().manual_seed(0)
    counts = []
    for _ in range(probes):
        probe = torch.randn(len(start), dtype=torch.float64, generator=generator)
        ritz, shares = _lanczos(product, probe / probe.norm(), steps)
        counts.append(float(shares[ritz > ESTIMATE_TOLERANCE * ritz.max()].sum()) * len(start))
    found = torch.tensor(counts, dtype=torch.float64)
    return float(found.mean()), float(found.std() / probes**0.5)


def _lanczos(
    product: Callable[[Tensor], Tensor], start: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Ritz values and the share of `start` in each, with full reorthogonalisation."""
    basis, diagonal, beside = [start], [], []
    for _ in range(min(steps, len(start))):
        w = product(basis[-1])
        diagonal.append(torch.dot(w, basis[-1]))
        stacked = torch.stack(basis)
        for _ in range(2):
            w = w - stacked.T @ (stacked @ w)
        norm = w.norm()
        if norm < 1e-12 * diagonal[0].abs():
            break
        beside.append(norm)
        basis.append(w / norm)
    size = len(diagonal)
    off = torch.stack(beside[: size - 1]) if size > 1 else torch.zeros(0, dtype=torch.float64)
    matrix = torch.diag(torch.stack(diagonal)) + torch.diag(off, 1) + torch.diag(off, -1)
    ritz, vectors = torch.linalg.eigh(matrix)
    return ritz, vectors[0].square()
