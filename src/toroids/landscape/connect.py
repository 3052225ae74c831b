"""Single-bend paths: a third network between two, trained so that the way over it is low.

With a and b the ends and c the bend, the loss

    mean over s in [0, 1] and over e in {a, b} of loss(path from e to c at s)

is lowered in c by stochastic gradients: every step draws an end, a position and a mini-batch. The
segments are straight, or geodesics of a toroid or a hypercube, on which c then stays.

Reference: Garipov et al., Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs, 2018,
arXiv 1802.10026.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from toroids.arguments.checked import checked, checked_methods
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import check_params
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.paths import Join, Line, Polyline
from toroids.landscape.bending import Bending, BendRecipe, BitBending
from toroids.landscape.profile import Profile, profile
from toroids.landscape.recalibrate import batch_statistics, between
from toroids.params import Params, check_alike
from toroids.progress import Progress

# Points of the profiles before and after, on both segments together: 50 on each.
POINTS = 101
RECIPE = BendRecipe()
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
    landscape: Landscape,
    a: Params,
    b: Params,
    recipe: BendRecipe = RECIPE,
    *,
    points: int = POINTS,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> Bend:
    """Trains the bend of a path of two segments between two networks.

    Args:
        landscape: whose loss is lowered on its training data; an iterable of batches is gone
            through batch by batch. Where it is on a manifold, the ends must be on it, the segments
            are its geodesics and the bend stays on it; else the segments are straight. On a
            `Hypercube` the bend is trained through latent weights, on points that flip weights in
            random orders; the profiles are of one order. Its temperature is "fit" when None: the
            bend is then trained at a quarter of what is best at first, since canonical classifiers
            have logits so small that their loss has no slope.
        a: the start, best canonical.
        b: the end, best canonical and aligned to `a`.
        recipe: how many steps, at which rate, on how many examples each.
        points: of the profiles before and after, over the whole path.
        generator: source of randomness on the CPU; seeded with 0 when None.
        progress: called with a text, the number of steps done, and of all steps.

    Returns:
        The path, a `Polyline` with the trained bend, its history and its profiles. Batch norms are
        trained by their batches' statistics and recalibrated in the profiles.

    Raises:
        ParamsError: other architectures, weights that are not finite, or ends not on the toroid.
        DataError: as in `evaluate`, or a loss without gradient.
        ToroidsError: a loss that runs away.

    Example:
        >>> import torch, toroids as td
        >>> a, b = (td.models.fully_connected([4, 8, 3], seed=seed) for seed in (0, 1))
        >>> inputs = torch.randn(64, 4)
        >>> landscape = td.Landscape(a, (inputs, a(inputs).argmax(dim=1)))
        >>> recipe = td.landscape.BendRecipe(steps=20)
        >>> path = td.connect(landscape, a.state_dict(), b.state_dict(), recipe, points=5)
        >>> len(path.history), path.after.t.tolist()
        (20, [0.0, 0.25, 0.5, 0.75, 1.0])
    """
    check_params(landscape.model, a, "the start")
    check_alike(a, b)
    generator = generator or torch.Generator().manual_seed(0)
    if landscape.temperature is None:
        landscape = replace(landscape, temperature="fit")
    known, ready = landscape.calibration, between(landscape)
    join: Join = Line if landscape.on is None else landscape.on.geodesic
    middle = dict(join(a, b)(0.5))
    before = profile(landscape, Polyline([a, middle, b], join), points)
    scale = known.temperature_at(middle)
    if landscape.temperature == "fit":
        scale /= COLDER
    kind = BitBending if isinstance(landscape.on, Hypercube) else Bending
    bending = kind(known, (a, b), middle, recipe, scale)
    drawn = known.minibatches(middle, recipe.minibatch, generator)
    ended, steps = "steps", recipe.steps
    with landscape.evaluation_mode(), batch_statistics(landscape.model):
        for step in range(steps):
            bending.step(step, next(drawn), generator)
            if progress is not None:
                progress("connect", step + 1, steps)
            if (step + 1) % EVERY == 0 and _is_zero(
                known, ready, Polyline(bending.points, join), points
            ):
                ended = "zero error"
                break
    history = torch.stack(bending.losses).double().cpu()
    if not bool(torch.isfinite(history).all()):
        raise ToroidsError(
            f"the loss is NaN or infinite from step {int((~history.isfinite()).nonzero()[0])} on; "
            f"lower the rate, which is {recipe.rate}."
        )
    after = profile(landscape, Polyline(bending.points, join), points)
    return Bend(bending.points, join, history, ended, scale, before, after)


def _is_zero(
    landscape: Landscape, ready: Callable[[Params], Params], path: Polyline, points: int
) -> bool:
    """Whether nothing is wrong at the inner points of the path's profile."""
    return all(
        float(landscape.scores(ready(path(t)), 1.0).errors.sum()) == 0
        for count in (A_FEW, points)
        for t in torch.linspace(0, 1, count, dtype=torch.float64)[1:-1].tolist()
    )
