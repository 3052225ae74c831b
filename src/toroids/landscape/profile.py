"""Error and loss along a path between two networks, and the barriers read off them."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.arguments.checked import checked
from toroids.arguments.kinds import takes
from toroids.errors import NotFiniteError, ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import Scores
from toroids.evaluation.running import check_params
from toroids.evaluation.summary import Evaluation, summarise
from toroids.geometry.paths import Path
from toroids.landscape.recalibrate import between
from toroids.params import Params
from toroids.progress import Progress
from toroids.result import Result

# Refinement ends where two points are closer than this, as on a step of the error.
CLOSEST = 1e-4


@dataclass(frozen=True, repr=False)
class Profile(Result):
    """Error and loss at points of a path; 1-D float64 tensors of equal length.

    Attributes:
        t: positions in [0, 1], ascending.
        error: mean error, for classification the fraction of examples that are wrong; NaN where
            the outputs are not finite.
        loss: mean loss, for classification the cross-entropy in nats.
        error_stderr: standard error of `error` over the examples.
        loss_stderr: standard error of `loss` over the examples.
        barrier_stderr: standard error of `barrier` over the examples, for the point and the end
            that were found; that they were chosen among many is not counted. Of differences on the
            same examples where the data comes in the same order for every point.
        notes: what is to be known: points that are not finite, ends that are not the checkpoints.

    See `profile` for an example.
    """

    t: Tensor
    error: Tensor
    loss: Tensor
    error_stderr: Tensor
    loss_stderr: Tensor
    barrier_stderr: float = math.nan
    notes: tuple[str, ...] = ()

    also = ("barrier", "barrier_over_chord", "loss_barrier_over_chord")

    @property
    def barrier(self) -> float:
        """The largest error on the path minus the larger error of its two ends; at least 0."""
        return float(self.error.max() - torch.maximum(self.error[0], self.error[-1]))

    @property
    def barrier_over_chord(self) -> float:
        """The largest excess of the error over the straight interpolation of its ends."""
        return float(self.over_chord.max())

    @property
    def mean_barrier(self) -> float:
        """The mean over t of the excess over the straight interpolation of the ends."""
        return float(torch.trapezoid(self.over_chord, self.t))

    @property
    def over_chord(self) -> Tensor:
        """By how much the error exceeds the straight interpolation of its ends; like `t`."""
        return _over_chord(self.error, self.t)

    @property
    def loss_over_chord(self) -> Tensor:
        """By how much the loss exceeds the straight interpolation of its ends; like `t`."""
        return _over_chord(self.loss, self.t)

    @property
    def loss_barrier_over_chord(self) -> float:
        """The largest excess of the loss over the straight interpolation of its ends, in nats."""
        return float(self.loss_over_chord.max())

    @property
    def highest(self) -> float:
        """The position of the largest error."""
        return float(self.t[self.error.argmax()])


def _over_chord(curve: Tensor, t: Tensor) -> Tensor:
    return curve - (curve[0] * (1 - t) + curve[-1] * t)


@checked
def profile(
    landscape: Landscape,
    path: Path,
    points: int = 25,
    *,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Measures error and loss along `path`.

    Args:
        landscape: model, data and metric. Statistics of batch norms are estimated anew between the
            ends, unless it keeps them; the ends keep their own, and a note says if that matters.
            With its temperature "fit" the outputs are divided by what is best at every point, as
            canonical classifiers need where their loss is looked at.
        path: a function of t in [0, 1] that gives parameters.
        points: how many equally spaced positions, both ends included.
        tolerance: adds points beside the largest error until both its neighbours are within this
            error of it, so that a smooth barrier is known to about that; None adds none.
        progress: called with a text, the number of points done, and of all points.

    Returns:
        The curves, and the barriers on them.

    Raises:
        ToroidsError: fewer than two points, a tolerance that is not positive, or a path that is no
            function.
        ParamsError: an end of the path is not of the model's architecture or not finite.
        DataError: as in `evaluate`; outputs that are not finite between the ends become NaN.

    Example:
        >>> import torch, toroids as td
        >>> a = td.models.fully_connected([2, 3, 2], seed=0)
        >>> b = td.models.fully_connected([2, 3, 2], seed=1)
        >>> data = (torch.randn(8, 2), torch.zeros(8, dtype=torch.long))
        >>> line = td.geometry.Line(a.state_dict(), b.state_dict())
        >>> curve = td.profile(td.Landscape(a, data), line, points=5)
        >>> curve.t.tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]

    Reference:
        Frankle et al., Linear Mode Connectivity and the Lottery Ticket Hypothesis, 2020,
        arXiv 1912.05671, for `barrier`; Entezari et al., 2022, arXiv 2110.06296, for
        `barrier_over_chord`.
    """
    if points < 2:
        raise ToroidsError(f"a profile needs at least 2 points, its two ends; got {points}.")
    if not takes(path, 1):
        raise ToroidsError(
            f"the path is a {type(path).__name__}; pass a function of t in [0, 1], as "
            "td.geometry.Line(a, b) or toroid.geodesic(a, b)."
        )
    if tolerance is not None and not tolerance > 0:
        raise ToroidsError(f"the tolerance is {tolerance}; pass a positive error, or None.")
    check_params(landscape.model, path(0.0), "the path's start")
    check_params(landscape.model, path(1.0), "the path's end")
    measured = _Measured(landscape, path)
    for number, t in enumerate(torch.linspace(0, 1, points, dtype=torch.float64).tolist()):
        if progress is not None:
            progress("profile", number, points)
        measured.at(t)
    while tolerance is not None and (missing := measured.beside_the_largest(tolerance)):
        for t in missing:
            if progress is not None:
                progress("profile", len(measured.scores), 0)
            measured.at(t)
    return measured.profile()


class _Measured:
    """The points of a path that have been evaluated."""

    def __init__(self, landscape: Landscape, path: Path) -> None:
        self._landscape, self._path = landscape, path
        self._ready = between(landscape)
        self.scores: dict[float, Scores | None] = {}
        self.notes: list[str] = []

    def at(self, t: float) -> None:
        """Evaluates one point."""
        params = self._path(t)
        inner = 0 < t < 1
        try:
            params = self._ready(params) if inner else params
            self.scores[t] = self._landscape.scores(params)
        except NotFiniteError as error:
            if not inner:
                raise
            self.scores[t] = None
            self.notes.append(f"at t = {t:.6g} {error}")
        if not inner:
            self._check_end(t, params)

    def _check_end(self, t: float, params: Params) -> None:
        """Notes an end that is not the checkpoint, or whose own statistics are not the data's."""
        name = "start" if t == 0 else "end"
        end = getattr(self._path, "a" if t == 0 else "b", None)
        if end is not None and not all(torch.equal(params[k], end[k]) for k in params):
            self.notes.append(f"the path's {name} is not exactly the network given")
        own = self.scores[t]
        if self._ready is dict or own is None:
            return
        own_, anew = summarise(own), self._landscape.measure(self._ready(params))
        if abs(own_.error - anew.error) > 2 * math.hypot(own_.error_stderr, anew.error_stderr):
            self.notes.append(
                f"the {name}'s own batch-norm statistics give an error of {own_.error:.4g}, those "
                f"of the training data {anew.error:.4g}"
            )

    def beside_the_largest(self, tolerance: float) -> list[float]:
        """Positions that are missing beside the largest error."""
        known = {t: summarise(s).error for t, s in self.scores.items() if s is not None}
        order = sorted(self.scores)
        highest = max(known, key=known.__getitem__)
        place = order.index(highest)
        missing = []
        for other in (order[place - 1] if place else None, *order[place + 1 : place + 2]):
            if other is None or other not in known or abs(other - highest) < 2 * CLOSEST:
                continue
            if known[highest] - known[other] > tolerance:
                missing.append((highest + other) / 2)
        return missing

    def profile(self) -> Profile:
        """What was measured, in the order of t."""
        order = sorted(self.scores)
        nan = math.nan
        evaluations = [
            Evaluation(nan, nan, nan, nan, 0) if scores is None else summarise(scores)
            for scores in (self.scores[t] for t in order)
        ]

        def curve(name: str) -> Tensor:
            return torch.tensor([getattr(e, name) for e in evaluations], dtype=torch.float64)

        error = curve("error")
        return Profile(
            torch.tensor(order, dtype=torch.float64),
            error,
            curve("loss"),
            curve("error_stderr"),
            curve("loss_stderr"),
            self._barrier_stderr(error, order),
            tuple(self.notes),
        )

    def _barrier_stderr(self, error: Tensor, order: list[float]) -> float:
        end = 0 if error[0] >= error[-1] else len(order) - 1
        top, bottom = self.scores[order[int(error.argmax())]], self.scores[order[end]]
        if top is None or bottom is None:
            return math.nan
        if not self._landscape.repeats:
            return math.hypot(summarise(top).error_stderr, summarise(bottom).error_stderr)
        difference = Scores(top.errors - bottom.errors, top.losses, top.weights)
        return summarise(difference).error_stderr
