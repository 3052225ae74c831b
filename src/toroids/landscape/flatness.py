"""Local energy: how much the train error grows when a network is disturbed.

    E(sigma) = mean over noise of error(disturbed by sigma) - error(w).

Every noise commutes with permutations, signs and rescalings, so E does not depend on which
representative of a network is measured: E(g.w) = E(w) in distribution. Additive noise of one size
for all weights does not. The kinds of noise are defined in `noise`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.arguments.checked import check_fields, checked
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import check_params
from toroids.evaluation.together import at_once
from toroids.geometry.hypercube import Hypercube
from toroids.landscape.noise import KINDS, Centre, Worst, check_kind
from toroids.landscape.temperature import slope_temperature
from toroids.params import Params
from toroids.progress import Progress
from toroids.result import Result

SIGMAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
# Of flips: a network of which a half is flipped has nothing to do with what it was.
FRACTIONS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Until:
    """As many noise samples as make a local energy as precise as asked.

    Attributes:
        precision: the standard error of the increase, at every sigma, down to which samples are
            drawn.
        least: samples that are drawn in any case, at least 2.
        most: samples at which the drawing ends.

    Raises:
        ToroidsError: a precision that is not positive, or bounds that do not fit.

    See `local_energy` for an example.
    """

    precision: float
    least: int = 32
    most: int = 1000

    def __post_init__(self) -> None:
        check_fields(self)
        if not (self.precision > 0 and self.most >= self.least):
            raise ToroidsError(
                f"the precision is {self.precision} with {self.least} to {self.most} samples; pass "
                "a positive precision and no fewer samples at most than at least."
            )


@dataclass(frozen=True, repr=False)
class LocalEnergy(Result):
    """Increase of the error under noise; 1-D float64 tensors.

    Attributes:
        sigma: relative size of the noise, of flips the fraction of the weights.
        increase: mean error of the disturbed networks minus the error of the network.
        stderr: standard error of `increase` over the noise samples.
        error: error of the undisturbed network.
        samples: how many noise samples were drawn; every sigma has as many.
        kind: of the noise.

    See `local_energy` for an example.
    """

    sigma: Tensor
    increase: Tensor
    stderr: Tensor
    error: float
    samples: int
    kind: str = "multiplicative"


@checked
def local_energy(
    landscape: Landscape,
    params: Params,
    sigmas: Sequence[float] | None = None,
    samples: int | Until = 32,
    *,
    kind: str | Worst | None = None,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> LocalEnergy:
    """Measures how flat the error landscape is around `params`.

    The same noise samples serve every sigma (and, with equally seeded generators, every
    network), so that curves differ by the networks and not by the draw. With z ~ N(0, 1) per
    weight, P the projection on the toroid's tangents at w, and s = 1 / sqrt(d) on a sphere with d
    coordinates, the root mean square of a tensor's flat coordinates on these:

        multiplicative   w (1 + sigma z). Invariant under matrices, phases and shifts only for
                         canonical networks with a toroid: what a matrix or a phase may turn is
                         then disturbed by sigma times its root mean square, and gains that the
                         network reads as 1 + w by (1 + w) sigma z;
        tangent          exp_w(sigma P(s z)), which moves every unit by an angle of about sigma;
        worst            where gradient ascent in a geodesic ball finds the largest loss; the radius
                         is sigma R, with R^2 = E ||P(s z)||^2, and the start is sigma P(s z).
                         R grows as the root of the number of units, and all of it can move the few
                         that hurt most: a tenth of the usual sigmas does much harm;
        flips            w_i -> -w_i for a fraction p = sigma of the n binary weights, so that
                         E(p) is the mean over all networks at the Hamming distance round(p n) / n.
                         They are drawn uniformly without replacement, by one order for all p: the
                         flips of a small p are among those of a large one.

    Args:
        landscape: model, data and metric; on the toroid for "tangent" and "worst", and where
            "multiplicative" noise is to be invariant under all symmetries; on the hypercube for
            "flips". Its temperature when None is "tenth" for classifiers on a toroid, which have
            lost their scale, elsewhere 1. The ascent follows the loss, which depends on it; the
            fraction of wrong examples does not.
        params: parameters and buffers by name; buffers are not disturbed, and by "flips" no real
            parameters. Canonical where the landscape is on a manifold.
        sigmas: relative sizes of the noise, each at least 0; for "flips" fractions in [0, 1]. When
            None 0 to 0.6, and for "flips" 0 to 0.2.
        samples: noise samples per sigma, at least 2; or `Until` a precision is reached.
        kind: "multiplicative", "tangent", "worst" or "flips"; `Worst` sets the ascent. When None
            "flips" on a hypercube, elsewhere "multiplicative".
        generator: source of randomness, seeded with 0 when None: on the CPU, for the same noise on
            every device, or on that of the parameters, which is faster there.
        progress: called with what is done, how many samples, and of how many (0 where a precision
            decides).

    Returns:
        The curve over sigma with its standard error. It can miss a precision where the most
        samples were drawn.

    Raises:
        ToroidsError: no sigma, a negative one, a fraction above 1, fewer than two samples, an
            unknown kind, or one that lacks its toroid or cube.
        ParamsError: `params` is not of the model's architecture, not finite, or not canonical.
        DataError: as in `evaluate`; also when a sigma is so large that outputs overflow.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([2, 8, 3], seed=0).double()
        >>> group = td.symmetry.fully_connected_group(model.state_dict(), output="classifier")
        >>> canonical = td.canonicalize(group, model.state_dict())
        >>> inputs = torch.randn(64, 2, dtype=torch.float64)
        >>> data = (inputs, model(inputs).argmax(dim=1))
        >>> landscape = td.Landscape(model, data, on=td.Toroid(group))
        >>> energy = td.local_energy(landscape, canonical, (0.0, 0.5), kind="tangent")
        >>> bool(energy.increase[1] > energy.increase[0])
        True

        The worst, and as many samples as a precision takes:

        >>> kind = td.landscape.Worst(steps=3)
        >>> worst = td.local_energy(landscape, canonical, (0.05,), 2, kind=kind)
        >>> precise = td.local_energy(landscape, canonical, (0.1,), td.landscape.Until(0.02))
        >>> bool(precise.stderr[0] <= 0.02), worst.kind
        (True, 'worst')

        Binary weights are flipped:

        >>> model = td.models.binary_fully_connected([5, 3, 2])
        >>> group = td.discover(model, torch.ones(1, 5))
        >>> canonical = td.canonicalize(group, model.state_dict())
        >>> data = (torch.randn(8, 5), torch.zeros(8, dtype=torch.long))
        >>> landscape = td.Landscape(model, data, on=td.geometry.Hypercube(group))
        >>> td.local_energy(landscape, canonical, kind="flips").increase[0].item()
        0.0

    Reference:
        Pittorino et al., Entropic gradient descent algorithms and wide flat minima, 2021,
        arXiv 2006.07897; Baldassi et al., Unreasonable Effectiveness of Learning Neural Networks,
        2016, arXiv 1605.06444, for flips.
    """
    if kind is None:
        kind = "flips" if isinstance(landscape.on, Hypercube) else "multiplicative"
    kind, steps = ("worst", kind.steps) if isinstance(kind, Worst) else (kind, Worst().steps)
    until = samples if isinstance(samples, Until) else Until(math.inf, samples, samples)
    if sigmas is None:
        sigmas = FRACTIONS if kind == "flips" else SIGMAS
    if isinstance(sigmas, int | float | str):
        raise ToroidsError(f"sigmas is {sigmas!r}; pass several, or one as ({sigmas},).")
    sigmas = [float(sigma) for sigma in sigmas]
    _check_request(sigmas, until)
    check_params(landscape.model, params)
    check_kind(kind, landscape, params)
    if kind == "flips" and max(sigmas) > 1:
        raise ToroidsError(
            f"sigmas are {sigmas}; with kind='flips' they are fractions of the binary weights, "
            "pass values in [0, 1]."
        )
    scale = slope_temperature(landscape, params, "tenth")
    centre = Centre(landscape, params, scale, steps)
    error = landscape.measure(params, scale).error
    generator = generator or torch.Generator().manual_seed(0)
    rows: list[list[float]] = []
    while len(rows) < until.least or (
        len(rows) < until.most and _stderr(rows).max().item() > until.precision
    ):
        # as many samples as are measured at once, but never more than are asked for
        wanted = (until.least if len(rows) < until.least else until.most) - len(rows)
        drawn = range(min(max(at_once(params) // len(sigmas), 1), wanted))
        disturbed = [KINDS[kind](centre, generator) for _ in drawn]
        errors = centre.errors([at(sigma) for at in disturbed for sigma in sigmas])
        by_sample = torch.tensor(errors, dtype=torch.float64).view(len(drawn), len(sigmas))
        rows += (by_sample - error).tolist()
        if progress is not None:
            progress("local energy", len(rows), until.least if until.least == until.most else 0)
    return LocalEnergy(
        sigma=torch.tensor(sigmas, dtype=torch.float64),
        increase=torch.tensor(rows, dtype=torch.float64).mean(dim=0),
        stderr=_stderr(rows),
        error=error,
        samples=len(rows),
        kind=kind,
    )


def _check_request(sigmas: Sequence[float], until: Until) -> None:
    if not sigmas or not all(sigma >= 0 and math.isfinite(sigma) for sigma in sigmas):
        raise ToroidsError(f"sigmas are {sigmas}; pass one or more finite values >= 0.")
    if until.least < 2:
        raise ToroidsError(f"samples is {until.least}; a standard error needs at least 2.")


def _stderr(rows: Sequence[Sequence[float]]) -> Tensor:
    spread = torch.tensor(rows, dtype=torch.float64).std(dim=0)
    return spread / math.sqrt(len(rows))
