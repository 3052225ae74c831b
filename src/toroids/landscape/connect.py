"""Single-bend paths: a third network between two, trained so that the way over it is low.

With a and b the ends and c the bend, the loss

    mean over s in [0, 1] and over e in {a, b} of loss(path from e to c at s)

is lowered in c by stochastic gradients: every step draws an end, a position and a mini-batch. The
segments are straight, or geodesics of a toroid or a hypercube, on which c then stays.

Reference: Garipov et al., Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs, 2018,
arXiv 1802.10026.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from toroids.align.problem import Progress
from toroids.arguments import checked, checked_methods
from toroids.errors import ToroidsError
from toroids.evaluation.batches import Batch, Data, batches, map_inputs
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import Metric
from toroids.evaluation.running import (
    check_params,
    evaluation_mode,
)
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.paths import Join, Line, Polyline
from toroids.geometry.toroid import Toroid
from toroids.landscape.bending import Bending, BitBending
from toroids.landscape.profile import Profile, Temperature, profile
from toroids.landscape.recalibrate import Recalibrator, batch_statistics
from toroids.params import Params, check_alike

# Learning rate of Adam, in units of the root mean square weight of the bend at its start.
RATE = 0.05
# Points of the profiles before and after, on both segments together: 50 on each.
POINTS = 101
# By how much colder than what is best at the first bend: a soft loss leaves a few examples wrong.
# Digits networks of 16 and 32 units end without error in 4 of 4 pairs at 4 and at 16, straight and
# on the toroid, in most steps at 16; at 1 in 4 of 4 and 1 of 4.
COLDER = 4
# Once in so many steps the path is looked at: at a few points, and where nothing is wrong at all.
EVERY, A_FEW = 200, 9


@checked_methods
class Bend(Polyline):
    """A path over a trained bend.

    Attributes:
        bend: the network in the middle, t = 0.5.
        history: the loss of the mini-batch at every step, 1-D.
        ended: "zero error" where no example was wrong at any point of the profile, else "steps".
        temperature: what the outputs were divided by.
        before: profile over the bend as it was at first.
        after: profile over the trained bend.

    See `connect` for an example.
    """

    def __init__(
        self,
        points: Sequence[Params],
        join: Join,
        history: Tensor,
        ended: str,
        temperature: float,
        before: Profile,
        after: Profile,
    ) -> None:
        """Joins the start, the bend and the end."""
        super().__init__(points, join)
        self.bend = self.points[1]
        self.history, self.ended, self.temperature = history, ended, temperature
        self.before, self.after = before, after


@checked
def connect(
    model: nn.Module,
    a: Params,
    b: Params,
    data: Data,
    *,
    toroid: Toroid | Hypercube | None = None,
    steps: int = 2000,
    batch_size: int = 128,
    rate: float = RATE,
    temperature: Temperature = "fit",
    metric: str | Metric = "classification",
    points: int = POINTS,
    evaluation_batch_size: int = 1024,
    output_key: str | int | None = None,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> Bend:
    """Trains the bend of a path of two segments between two networks.

    Args:
        model: gives the architecture; it is left as it was.
        a: the start, best canonical.
        b: the end, best canonical and aligned to `a`.
        data: training data: a pair `(inputs, targets)` or an iterable of such batches, which is
            then gone through batch by batch.
        toroid: where given, the ends must be on it, the segments are its geodesics and the bend
            stays on it; else the segments are straight. On a `Hypercube` the bend is trained
            through latent weights, on points that flip weights in random orders; the profiles are
            of one order.
        steps: mini-batch gradients at most.
        batch_size: examples per mini-batch of a pair.
        rate: learning rate of Adam in units of the bend's root mean square weight; it follows half
            a cosine down to 0.
        temperature: what the outputs are divided by in the loss, or "fit" for a quarter of what
            is best at the first bend: canonical classifiers have logits so small that their loss
            has no slope.
        metric: as in `evaluate`; its loss is lowered.
        points: of the profiles before and after, over the whole path.
        evaluation_batch_size: how many examples of a pair are run at once in these profiles.
        output_key: which entry of a structured output holds the logits.
        generator: source of randomness on the CPU; seeded with 0 when None.
        progress: called with a text, the number of steps done, and of all steps.

    Returns:
        The path, a `Polyline` with the trained bend, its history and its profiles. Batch norms are
        trained by their batches' statistics and recalibrated in the profiles.

    Raises:
        ParamsError: other architectures, weights that are not finite, or ends not on the toroid.
        DataError: as in `evaluate`, or a loss without gradient.
        ToroidsError: no steps, or a rate that is not positive; an unknown temperature, or something
            else than a toroid.

    Example:
        >>> import torch, toroids as td
        >>> a, b = (td.models.fully_connected([4, 8, 3], seed=seed) for seed in (0, 1))
        >>> inputs = torch.randn(64, 4)
        >>> data = (inputs, a(inputs).argmax(dim=1))
        >>> path = td.connect(a, a.state_dict(), b.state_dict(), data, steps=20, points=5)
        >>> len(path.history), path.after.t.tolist()
        (20, [0.0, 0.25, 0.5, 0.75, 1.0])
    """
    if steps < 1 or not 0 < rate < math.inf or batch_size < 1:
        raise ToroidsError(
            f"steps is {steps}, rate {rate} and batch_size {batch_size}; pass positive numbers."
        )
    if toroid is not None and not isinstance(toroid, Toroid | Hypercube):
        raise ToroidsError(
            f"the toroid is a {type(toroid).__name__}; pass td.Toroid(group) or "
            "td.Hypercube(group)."
        )
    if isinstance(temperature, str) and temperature != "fit":
        raise ToroidsError(f"the temperature is {temperature!r}; pass a positive number or 'fit'.")
    check_params(model, a, "the start")
    check_alike(a, b)
    generator = generator or torch.Generator().manual_seed(0)
    data = batches(data, evaluation_batch_size)  # once: a generator can be run through only once
    join: Join = toroid.geodesic if toroid is not None else Line
    middle = dict(join(a, b)(0.5))
    evaluator = Landscape(
        model,
        data,
        metric=metric,
        batch_size=evaluation_batch_size,
        output_key=output_key,
    )
    measured: Callable[[Polyline], Profile] = lambda path: profile(  # noqa: E731
        model,
        path,
        data,
        points,
        temperature=temperature,
        metric=metric,
        batch_size=evaluation_batch_size,
        output_key=output_key,
    )
    before = measured(Polyline([a, middle, b], join))
    scale = (
        evaluator.temperature_at(middle, "fit") / COLDER
        if temperature == "fit"
        else float(temperature)
    )
    training: Bending
    if isinstance(toroid, Hypercube):
        training = BitBending(model, evaluator, toroid, (a, b), middle, rate, steps, scale)
    else:
        training = Bending(model, evaluator, toroid, (a, b), middle, rate, steps, scale)
    drawn = _minibatches(evaluator, middle, batch_size, generator)
    recalibrate = Recalibrator(model, evaluator)
    ended = "steps"
    with evaluation_mode(model), batch_statistics(model):
        for step in range(steps):
            training.step(step, next(drawn), generator)
            if progress is not None:
                progress("connect", step + 1, steps)
            if (step + 1) % EVERY == 0 and _is_zero(
                evaluator, recalibrate, Polyline(training.points, join), points
            ):
                ended = "zero error"
                break
    history = torch.stack(training.losses).double().cpu()
    if not bool(torch.isfinite(history).all()):
        raise ToroidsError(
            f"the loss is NaN or infinite from step {int((~history.isfinite()).nonzero()[0])} on; "
            f"lower the rate, which is {rate}."
        )
    after = measured(Polyline(training.points, join))
    return Bend(training.points, join, history, ended, scale, before, after)


def _minibatches(
    evaluator: Landscape, params: Params, batch_size: int, generator: torch.Generator
) -> Iterator[Batch]:
    """Draws mini-batches without end; what is no pair is gone through batch by batch."""
    while evaluator.repeats:
        for inputs, targets in evaluator.ready(params):
            order = torch.randperm(len(targets), generator=generator).to(targets.device)
            for some in order.tensor_split(max(len(targets) // batch_size, 1)):
                yield map_inputs(lambda x, some=some: x[some], inputs), targets[some]
    while True:
        yield from evaluator.ready(params)


def _is_zero(evaluator: Landscape, recalibrate: Recalibrator, path: Polyline, points: int) -> bool:
    """Whether nothing is wrong at the inner points of the path's profile."""
    return all(
        float(evaluator.scores(recalibrate(path(t))).errors.sum()) == 0
        for count in (A_FEW, points)
        for t in torch.linspace(0, 1, count, dtype=torch.float64)[1:-1].tolist()
    )
