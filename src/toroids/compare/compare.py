"""Two networks compared: the same, a copy in disguise, related, or strangers."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from toroids.align.alignment import Alignment, align
from toroids.align.problem import Progress
from toroids.arguments import checked
from toroids.canonical.form import moved_weights
from toroids.compare.layers import Layer, Limits, layers
from toroids.compare.moved import NOTHING, Moved, in_words, moved
from toroids.compare.scale import FalseAlarms, Scale, shipped
from toroids.compare.score import Score, chance, cosine, score
from toroids.compare.verdict import Judgement, Verdict, judge, same
from toroids.errors import ParamsError
from toroids.geometry.toroid import Toroid
from toroids.params import Params, check_finite, check_floating, inner_product
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup

# Aligning random weights takes as long as the networks; what they reach matters where few units
# meet few weights, and is little in large networks.
LARGE = 5_000_000
# Distances relative to the weights that are rounding: in float64 what ill-conditioned elements
# leave, else so many times the precision; weights in half precision were rounded but once.
LEAST_ROUNDING, ROUNDINGS, HALF_ROUNDINGS = 1e-9, 64, 2


@dataclass(frozen=True)
class Comparison:
    """What two networks of one architecture have in common.

    Attributes:
        verdict: "same function", "copy in disguise", "related", "strangers" or "undecided".
        reason: why, in one sentence.
        false_alarms: how often networks trained apart score as high as these.
        score: the mean and the largest cosine of their matrices, aligned.
        chance: the score of random weights; None for equal and for large networks.
        similarity: the cosine of all weights, aligned, in [-1, 1].
        similarity_before: the same as the networks lie, canonical.
        distance: on the toroid, aligned.
        distance_before: the same as the networks lie.
        distances: `distance` by space, "flat" for coordinates that lie on no sphere.
        raw_distance: Euclidean, of the weights as they were handed in.
        layers: the networks layer by layer.
        moved: by space, what was done to the second network's canonical form.
        element: which does that; None where the networks are equal as they are.
        alignment: the canonical networks; None where the networks are equal as they are.
        notes: what the reader should know.
        seconds: wall time.

    See `compare` for an example.
    """

    verdict: Verdict
    reason: str
    false_alarms: FalseAlarms
    score: Score
    chance: Score | None
    similarity: float
    similarity_before: float
    distance: float
    distance_before: float
    distances: Mapping[str, float]
    raw_distance: float
    layers: tuple[Layer, ...]
    moved: tuple[Moved, ...]
    alignment: Alignment | None
    notes: tuple[str, ...]
    seconds: float

    @property
    def element(self) -> Element | None:
        """What moves the second canonical network onto the first."""
        return None if self.alignment is None else self.alignment.element

    @cached_property
    def bound(self) -> float:
        """What `similarity` cannot exceed, whatever the permutations, signs and matrices.

        Computed when first asked for; see `toroids.align.bound`.
        """
        if self.alignment is None:
            return 1.0
        found = self.alignment
        a, b = (
            inner_product(x, x, found.compared.parameters) for x in (found.reference, found.params)
        )
        return min(found.bound / math.sqrt(a * b), 1.0) if a and b else 0.0

    @property
    def done(self) -> str:
        """What was permuted, flipped, rotated and turned, in one line."""
        return in_words(self.moved, False)

    def row(self) -> dict[str, Any]:
        """Writes what was found as plain data, for JSON; the bound is computed."""
        chance = None if self.chance is None else [self.chance.mean, self.chance.peak]
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "false_alarms": {
                "count": self.false_alarms.count,
                "pairs": self.false_alarms.pairs,
                "networks": self.false_alarms.networks,
                "upper": self.false_alarms.upper,
            },
            "score": {"mean": self.score.mean, "peak": self.score.peak},
            "chance": None if chance is None else dict(zip(("mean", "peak"), chance, strict=True)),
            "similarity": self.similarity,
            "similarity_before": self.similarity_before,
            "bound": self.bound,
            "distance": self.distance,
            "distance_before": self.distance_before,
            "distances": dict(self.distances),
            "raw_distance": self.raw_distance,
            "layers": [vars(layer) for layer in self.layers],
            "moved": [vars(each) for each in self.moved],
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


@checked
def compare(
    group: SymmetryGroup,
    a: Params,
    b: Params,
    bias: bool = True,
    *,
    only: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Tells whether two networks are the same, a copy in disguise, related, or strangers.

    Equal weights are told at once. Else both are brought to canonical form and aligned from
    nowhere (`align` with method="fresh"), so that no element of the group on either network, and
    no exchange of the two, changes the score, except by rounding. The scale of the score are
    networks that were trained apart; see the page "Compare two networks" of the documentation for
    what the verdict proves and what it does not.

    Args:
        group: the architecture's symmetry group.
        a: a network, parameters and buffers by name.
        b: another one of the same architecture.
        bias: whether biases are coordinates of the spheres, as in `canonicalize`.
        only: names of parameters, or of modules, that are compared, as in `align`; the rest may
            have other shapes. All when None.
        progress: called with a text, the number of steps done, and of all steps.

    Returns:
        The verdict with its evidence.

    Raises:
        ParamsError: the networks are of different architectures, not finite, or quantised.

    Example:
        >>> import torch, toroids as td
        >>> a = td.models.fully_connected([4, 8, 3], seed=0).double().state_dict()
        >>> group = td.fully_connected_group(a)
        >>> b = group.apply(group.random(torch.Generator().manual_seed(0)), a)
        >>> td.compare(group, a, b).verdict
        'copy in disguise'
        >>> td.compare(group, a, a).verdict
        'same function'
    """
    begun = time.monotonic()
    _check(group, a, b, only is None)
    if _equal(a, b):
        return _of_equal(group, a, begun)
    left, right = _alike(a, b)
    found = align(group, right, to=left, method="fresh", bias=bias, only=only, progress=progress)
    rounding = Rounding.of((a, b), found.compared.parameters)
    compared = _compared(found, (left, right), rounding, bias)
    return replace(compared, seconds=time.monotonic() - begun)


def _check(group: SymmetryGroup, a: Params, b: Params, whole: bool) -> None:
    for params, what in ((a, "the first network"), (b, "the second network")):
        check_floating(params, moved_weights(group), what)
        if whole:
            _check_fits(group, params, what)
        check_finite(params, what)


def _check_fits(group: SymmetryGroup, params: Params, what: str) -> None:
    """Raises where a network is of another architecture, and says how much of it fits."""
    shapes = {name: tuple(tensor.shape) for name, tensor in params.items()}
    wrong = [name for name, shape in group.shapes.items() if shapes.get(name) != tuple(shape)]
    if not wrong:
        return group.check(params, what)
    name = wrong[0]
    has = f"has shape {shapes[name]}" if name in shapes else "is not there"
    fit = [known for known in group.shapes if known not in wrong]
    parts = sorted({known.partition(".")[0] for known in fit})
    advice = "pass networks of one architecture"
    if fit:
        advice += f", or compare what fits with only=, as only={parts[:3]}"
    raise ParamsError(
        f"{what} is of another architecture: {len(fit)} of {len(group.shapes)} tensors fit, but "
        f"`{name}` {has}, expected {tuple(group.shapes[name])}; {advice}."
    )


def _equal(a: Params, b: Params) -> bool:
    return a.keys() == b.keys() and all(
        x is b[name]
        or (x.dtype == b[name].dtype and x.shape == b[name].shape and torch.equal(x, b[name]))
        for name, x in a.items()
    )


def _of_equal(group: SymmetryGroup, params: Params, begun: float) -> Comparison:
    """What there is to say of equal networks, which needs no alignment."""
    perfect = Score(1.0, 1.0)
    judgement = same(False, "", "", shipped().false_alarms("mean", perfect, None))
    held = layers(group, (params, params), params, (params, params), Limits(0.0, 1.0))
    return Comparison(
        verdict=judgement.verdict, reason=judgement.reason, false_alarms=judgement.false_alarms,
        score=perfect, chance=None, similarity=1.0, similarity_before=1.0, distance=0.0,
        distance_before=0.0, distances={}, raw_distance=0.0, layers=held, moved=(),
        alignment=None, notes=(), seconds=time.monotonic() - begun,
    )  # fmt: skip


def _alike(a: Params, b: Params) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two networks in one precision, at least float32, on the first one's device."""
    left, right = dict(a), dict(b)
    for name in left.keys() & right.keys():
        x, y = left[name], right[name]
        if x.is_floating_point() and y.is_floating_point():
            kind = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
            left[name], right[name] = x.to(kind), y.to(device=x.device, dtype=kind)
        else:
            right[name] = y.to(x.device)
    return left, right


def _compared(
    found: Alignment, given: tuple[Params, Params], precision: "Rounding", bias: bool
) -> Comparison:
    """Gathers the evidence on two aligned networks, and judges it; seconds are for the caller."""
    group = found.compared
    names, toroid, scale = group.parameters, Toroid(group, bias), shipped()
    reference, start, params = (
        {name: x[name] for name in group.shapes}
        for x in (found.reference, found.start, found.params)
    )
    distances = toroid.distances(reference, params)
    raw, size = _raw(*given, names)
    reached, actions = score(group, reference, params), moved(group, found.element)
    unscaled = _moved_only(found, *given)
    by_chance, judgement = None, None
    if math.hypot(*distances.values()) <= precision.aligned * _norm(reference, names):
        still = _raw(*unscaled, names)[0]
        done = in_words(actions, still > precision.aligned * size)
        judgement = _judged_same(done, raw, size, precision, scale)
    if judgement is None:
        if sum(reference[name].numel() for name in names) <= LARGE:
            by_chance = chance(group, reference)
        judgement = judge(reached, by_chance, scale)
    strange = scale.limit("peak", False).strangers
    return Comparison(
        verdict=judgement.verdict,
        reason=judgement.reason,
        false_alarms=judgement.false_alarms,
        score=reached,
        chance=by_chance,
        similarity=cosine(reference, params, names),
        similarity_before=cosine(reference, start, names),
        distance=math.hypot(*distances.values()),
        distance_before=toroid.distance(reference, start),
        distances=distances,
        raw_distance=raw,
        layers=layers(
            group, (reference, params), start, unscaled, Limits(precision.aligned, strange)
        ),
        moved=actions,
        alignment=found,
        notes=found.params.notes,
        seconds=0.0,
    )


@dataclass(frozen=True)
class Rounding:
    """Relative distances that are rounding.

    Attributes:
        name: of the narrowest precision of the weights.
        stored: of weights that were rounded once.
        aligned: of weights that were moved, rounded, and moved back.
    """

    name: str
    stored: float
    aligned: float

    @staticmethod
    def of(stored: Sequence[Params], names: Sequence[str]) -> "Rounding":
        """That of the narrowest weights of two networks."""
        kinds = {params[name].dtype for params in stored for name in names}
        kind = max((k for k in kinds if k.is_floating_point), key=lambda k: torch.finfo(k).eps)
        eps = torch.finfo(kind).eps
        times = HALF_ROUNDINGS if kind.itemsize < 4 else ROUNDINGS
        return Rounding(str(kind).removeprefix("torch."), eps, max(LEAST_ROUNDING, times * eps))


def _judged_same(
    done: str, raw: float, size: float, rounding: Rounding, scale: Scale
) -> Judgement | None:
    """The verdict on networks at no distance; None where a change as small as rounding is one."""
    alarms = scale.false_alarms("mean", Score(1.0, 1.0), None)
    if raw <= rounding.stored * size:
        return same(False, "", rounding.name, alarms)
    if raw <= rounding.aligned * size and done == NOTHING:
        return None
    return same(True, done, rounding.name, alarms)


def _moved_only(found: Alignment, a: Params, b: Params) -> tuple[Params, Params]:
    """Both networks with the scales they came with, the second one permuted, flipped and turned."""
    own = {name: x.to(found.reference[name]) for name, x in a.items()}
    moved_only = {name: x.to(found.params[name]) for name, x in b.items()}
    found.group.apply_(found.element, moved_only)
    return own, moved_only


def _raw(a: Params, b: Params, names: Sequence[str]) -> tuple[float, float]:
    """The distance of two networks as they were handed in, and the norm of the first."""
    step = {n: b[n].double() - a[n].double() for n in names}
    return _norm(step, names), _norm(a, names)


def _norm(params: Params, names: Sequence[str]) -> float:
    return math.sqrt(inner_product(params, params, names))
