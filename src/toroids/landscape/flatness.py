"""Local energy: how much the train error grows when all weights are disturbed in proportion.

    E(sigma) = mean over z of error(w (1 + sigma z)) - error(w),    z ~ N(0, 1) per weight.

Multiplicative noise commutes with permutations and rescalings, so E does not depend on which
representative of a network is measured: E(g.w) = E(w) in distribution.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from toroids.errors import ToroidsError
from toroids.evaluation.batches import Data
from toroids.evaluation.evaluator import Evaluator
from toroids.evaluation.running import check_params, owners_of
from toroids.params import Params

SIGMAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class LocalEnergy:
    """Increase of the error under multiplicative weight noise; 1-D float64 tensors.

    Attributes:
        sigma: relative size of the noise.
        increase: mean error of the disturbed networks minus the error of the network.
        stderr: standard error of `increase` over the noise samples.
        error: error of the undisturbed network.
        samples: noise samples per sigma.
    """

    sigma: Tensor
    increase: Tensor
    stderr: Tensor
    error: float
    samples: int


def local_energy(
    model: nn.Module,
    params: Params,
    data: Data,
    sigmas: Sequence[float] = SIGMAS,
    samples: int = 32,
    *,
    generator: torch.Generator | None = None,
    batch_size: int = 4096,
    output_key: str | int | None = None,
) -> LocalEnergy:
    """Measures how flat the error landscape is around `params`.

    The same noise samples serve every sigma (and, with equally seeded generators, every
    network), so that curves differ by the networks and not by the draw.

    Args:
        model: gives the architecture; it is left as it was.
        params: parameters and buffers by name; buffers are not disturbed.
        data: a pair `(inputs, labels)` or an iterable of such batches.
        sigmas: relative sizes of the noise, each at least 0.
        samples: noise samples per sigma, at least 2.
        generator: source of randomness on the CPU; seeded with 0 when None.
        batch_size: how many examples of a pair of tensors are run at once.
        output_key: which entry of a structured output holds the logits.

    Returns:
        The curve over sigma with its standard error.

    Raises:
        ToroidsError: no sigma, a negative one, or fewer than two samples.
        ParamsError: `params` is not of the model's architecture or not finite.
        DataError: as in `evaluate`; also when a sigma is so large that outputs overflow.

    Reference:
        Pittorino et al., Entropic gradient descent algorithms and wide flat minima, 2021,
        arXiv 2006.07897.
    """
    sigmas = [float(sigma) for sigma in sigmas]
    if not sigmas or not all(sigma >= 0 and math.isfinite(sigma) for sigma in sigmas):
        raise ToroidsError(f"sigmas are {sigmas}; pass one or more finite values >= 0.")
    if samples < 2:
        raise ToroidsError(f"samples is {samples}; a standard error needs at least 2.")
    check_params(model, params)
    evaluator = Evaluator(model, data, batch_size=batch_size, output_key=output_key)
    error = evaluator(params).error
    generator = generator or torch.Generator().manual_seed(0)
    owners = owners_of(model)
    increases = torch.empty(len(sigmas), samples, dtype=torch.float64)
    for sample in range(samples):
        noise = {  # drawn on the CPU so that every device and every precision gets the same
            name: torch.randn(params[name].shape, generator=generator).to(params[name])
            for name in dict.fromkeys(owners.values())
        }
        changes = {name: params[name] * noise[owner] for name, owner in owners.items()}
        for position, sigma in enumerate(sigmas):
            point = dict(params)
            for name, change in changes.items():
                point[name] = params[name] + sigma * change
            increases[position, sample] = evaluator(point).error - error
    return LocalEnergy(
        sigma=torch.tensor(list(sigmas), dtype=torch.float64),
        increase=increases.mean(dim=1),
        stderr=increases.std(dim=1) / math.sqrt(samples),
        error=error,
        samples=samples,
    )
