"""Curvature of the loss on the toroid: the second derivative in directions that are no symmetries.

Of the Riemannian Hessian, whose products with tangents are in `hessian`, the leading eigenvalues
come from Lanczos' method and the trace from random tangents z: E <z, Hess z> = trace.
Permutations, signs and orthogonal matrices turn the tangents and leave the eigenvalues; rescalings
are gone.

Reference: Lehoucq, Sorensen and Yang, ARPACK users' guide, 1998; Hutchinson, A stochastic estimator
of the trace of the influence matrix for Laplacian smoothing splines, 1990.
"""

import math
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from toroids.arguments.checked import checked
from toroids.canonical.form import canonicalize
from toroids.errors import NotFiniteError, ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import check_params
from toroids.landscape.hessian import Hessian, Vector
from toroids.landscape.manifold import toroid_of
from toroids.landscape.temperature import slope_temperature
from toroids.params import Params, computing
from toroids.result import Result

# Of Lanczos' method; what has not converged by then lies in a dense part of the spectrum.
RESTARTS = 300


@dataclass(frozen=True, repr=False)
class Curvature(Result):
    """Leading eigenvalues of the Hessian of the mean loss on the toroid.

    Attributes:
        eigenvalues: the largest, descending; 1-D float64. Per squared radian on spheres.
        residuals: ||Hess v - lambda v|| of every eigenvector v of length one; some eigenvalue lies
            within this of lambda.
        trace: estimate of the sum of all eigenvalues.
        trace_stderr: its standard error.
        dimension: of the toroid, which is how many eigenvalues there are.
        temperature: what the outputs were divided by.
        converged: whether all eigenvalues asked for were found; else those that were are there.

    See `curvature` for an example.
    """

    eigenvalues: Tensor
    residuals: Tensor
    trace: float
    trace_stderr: float
    dimension: int
    temperature: float
    converged: bool


@checked
def curvature(
    landscape: Landscape,
    params: Params,
    count: int = 5,
    *,
    probes: int = 10,
    generator: torch.Generator | None = None,
) -> Curvature:
    """Computes the leading eigenvalues of the loss's Hessian where symmetries are removed.

    Invariance: that of g.p equals that of p, for every element g of the group. It is measured at
    the canonical form of `params`. Piecewise linear networks have no curvature across their kinks,
    which is ignored.

    Args:
        landscape: on the toroid, whose mean loss counts, which torch must differentiate twice; its
            data are the same every time, and memory holds the second derivatives of one batch. Its
            temperature when None is "fit" where the canonical form has lost the scale of the
            outputs (`output="classifier"`), elsewhere 1.
        params: parameters and buffers by name, raw or canonical.
        count: how many eigenvalues, fewer than the toroid has dimensions.
        probes: random tangents for the trace, at least 2; one product with the Hessian each.
        generator: source of randomness on the CPU; seeded with 0 when None.

    Returns:
        Eigenvalues with their residuals, and the trace. Every step of Lanczos' method takes one
        product with the Hessian, four to five evaluations of all data; usually 20 to 100 do.

    Raises:
        ToroidsError: a landscape that is not on a toroid, a count that is not from 1 to the number
            of dimensions minus 1, fewer than two probes, "fit" where nothing is wrong, or
            operators that torch cannot differentiate twice.
        ParamsError: `params` is not of the architecture or not finite.
        DataError: as in `evaluate`.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([4, 8, 3], seed=0).double()
        >>> group = td.symmetry.fully_connected_group(model.state_dict(), output="classifier")
        >>> inputs = torch.randn(32, 4, dtype=torch.float64)
        >>> data = (inputs, model(inputs).argmax(dim=1))
        >>> landscape = td.Landscape(model, data, on=td.Toroid(group), temperature="tenth")
        >>> found = td.curvature(landscape, model.state_dict(), count=2)
        >>> bool(found.residuals.max() < 1e-6 * found.eigenvalues[0])
        True
    """
    if probes < 2:
        raise ToroidsError(f"probes is {probes}; a standard error needs at least 2.")
    toroid = toroid_of(landscape)
    check_params(landscape.model, params)
    wide = {name: tensor.detach().to(computing(tensor)) for name, tensor in params.items()}
    centre = canonicalize(toroid.given, wide, bias=toroid.bias, batch_norm=toroid.batch_norm)
    dimension = round(sum(float(free.sum()) for free in toroid.freedom(centre).values()))
    if not isinstance(count, Integral) or not 1 <= count < dimension:
        raise ToroidsError(
            f"count is {count}, but the toroid has {dimension} dimensions; pass from 1 to "
            f"{dimension - 1}."
        )
    landscape.measure(centre, 1.0)  # checks the data
    scale = slope_temperature(landscape, centre, "fit")
    hessian = Hessian(landscape, centre, scale)
    generator = generator or torch.Generator().manual_seed(0)
    forms, squares = [], []
    for _ in range(probes):
        tangent = hessian.vector(toroid.random_tangent(centre, generator))
        image = hessian(tangent)
        with np.errstate(over="ignore", invalid="ignore"):  # said below
            forms.append(float(tangent @ image))
            squares.append(float(image @ image))
    if not all(map(math.isfinite, forms + squares)):
        raise NotFiniteError(
            f"the second derivative of the loss is NaN or infinite at temperature {scale:.3g}; "
            "pass a larger temperature, or smaller inputs."
        )
    start = hessian.vector(toroid.random_tangent(centre, generator))
    # the root mean square length of the images is at least every eigenvalue, up to its noise
    eigenvalues, vectors, converged = _leading(hessian, count, 2 * math.sqrt(max(squares)), start)
    residuals = [
        np.linalg.norm(hessian(vector) - value * vector)
        for value, vector in zip(eigenvalues, vectors.T, strict=True)
    ]
    return Curvature(
        eigenvalues=torch.tensor(eigenvalues, dtype=torch.float64),
        residuals=torch.tensor(residuals, dtype=torch.float64),
        trace=float(np.mean(forms)),
        trace_stderr=float(np.std(forms, ddof=1) / math.sqrt(probes)),
        dimension=dimension,
        temperature=scale,
        converged=converged,
    )


def _leading(
    hessian: Hessian, count: int, bound: float, start: Vector
) -> tuple[Vector, Vector, bool]:
    """Finds the largest eigenvalues, descending, and their vectors as columns."""
    if bound == 0:  # ARPACK does not start where everything is zero
        return np.zeros(count), np.zeros((len(start), count)), True

    def shifted(vector: Vector) -> Vector:
        # What is no tangent has no curvature: it goes below all that has, and is never found.
        tangent = hessian.vector(hessian.tangent(vector))
        return hessian(tangent) - bound * (vector.reshape(-1) - tangent)

    operator = LinearOperator((len(start), len(start)), matvec=shifted, dtype=np.float64)
    try:
        values, vectors = eigsh(
            operator, count, which="LA", v0=start, maxiter=RESTARTS, tol=hessian.tolerance
        )
        converged = True
    except ArpackNoConvergence as error:
        values, vectors, converged = error.eigenvalues, error.eigenvectors, False
    order = np.argsort(-values)
    return values[order], vectors[:, order], converged
