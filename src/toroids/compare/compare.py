"""Two networks compared: the same, a copy in disguise, related, or strangers."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from toroids.align.alignment import Alignment, align
from toroids.align.trunk import shared_names
from toroids.arguments.checked import checked
from toroids.canonical.form import canonicalize
from toroids.compare.checks import check_network
from toroids.compare.common import common_part
from toroids.compare.equality import Rounding, alike, apart, equal
from toroids.compare.layers import Layer, Limits, layers, modules
from toroids.compare.moved import NOTHING, Moved, in_words, moved
from toroids.compare.outputs import Outputs, outputs
from toroids.compare.refit import refitted
from toroids.compare.scale import FalseAlarms, shipped
from toroids.compare.score import Cosines, Score, beyond, chance, cosines, counted
from toroids.compare.surrogate import moved_axes
from toroids.compare.verdict import NUMBERS, Judgement, Verdict, but_for, judge, same
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.geometry.toroid import Toroid
from toroids.params import Params, inner_product, products
from toroids.progress import Progress
from toroids.result import Result
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup

# Aligning surrogates takes as long as the networks: of large ones that are more alike than this,
# where no strangers of any architecture come near, chance is not measured; nor of those that are
# so far below what strangers have beyond chance that no chance but a negative one lifts them there.
LARGE, SURE, MARGIN = 5_000_000, 0.9, 0.05
PERFECT = Score(1.0, 1.0)


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """What two networks of one architecture have in common.

    Attributes:
        verdict: "same function", "copy in disguise", "related", "strangers" or "undecided".
        reason: why, in one sentence.
        false_alarms: how often networks trained apart score as high as these.
        score: the mean and the largest cosine of their matrices, aligned.
        chance: the score of their surrogates, random networks with their second moments and
            singular values; None where it was not needed: for equal networks, copies, and large
            networks that are very much alike or not at all.
        beyond: what of the score is beyond chance, by which the verdict is given; None likewise.
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
        outputs: what the networks make of data; None where there are none.
        notes: what the reader should know.
        seconds: wall time.

    See `compare` for an example.
    """

    verdict: Verdict
    reason: str
    false_alarms: FalseAlarms
    score: Score
    chance: Score | None
    beyond: Score | None
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
    outputs: Outputs | None = None

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
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "false_alarms": {
                "count": self.false_alarms.count,
                "pairs": self.false_alarms.pairs,
                "networks": self.false_alarms.networks,
                "upper": self.false_alarms.upper,
            },
            "score": vars(self.score),
            "chance": None if self.chance is None else vars(self.chance),
            "beyond": None if self.beyond is None else vars(self.beyond),
            "similarity": self.similarity,
            "similarity_before": self.similarity_before,
            "bound": self.bound,
            "distance": self.distance,
            "distance_before": self.distance_before,
            "distances": dict(self.distances),
            "raw_distance": self.raw_distance,
            "layers": [vars(layer) for layer in self.layers],
            "moved": [vars(each) for each in self.moved],
            "outputs": None if self.outputs is None else _plain(self.outputs),
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
    landscape: Landscape | None = None,
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
        only: names of parameters, or of modules, that are compared; the rest may have other shapes
            or be missing, and axes that no symmetry moves other lengths, of which the first entries
            are compared. All when None.
        landscape: the model and data, `Landscape(model, (inputs, targets))`, on which the outputs
            of both networks are compared besides. None where there are none, or with `only`.
        progress: called with a text, the number of steps done, and of all steps.

    Returns:
        The verdict with its evidence.

    Raises:
        ParamsError: the networks are of different architectures, not finite, or quantised.
        ToroidsError: `only` and `landscape` together.
        DataError: data that the model cannot run on.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([4, 8, 3], seed=0).double()
        >>> a, group = model.state_dict(), td.discover(model, torch.randn(2, 4).double())
        >>> b = group.apply(group.random(torch.Generator().manual_seed(0)), a)
        >>> td.compare(group, a, b).verdict
        'copy in disguise'
        >>> td.compare(group, a, a).verdict
        'same function'
        >>> data = torch.randn(50, 4), torch.randint(3, (50,))
        >>> outputs = td.compare(group, a, b, landscape=td.Landscape(model, data)).outputs
        >>> outputs.deviation < 1e-12, outputs.agreement
        (True, 1.0)
    """
    begun = time.monotonic()
    if only is not None and landscape is not None:
        raise ToroidsError(
            "only= compares parts, and landscape= runs whole networks; leave one of them out."
        )
    for params, what in ((a, "the first network"), (b, "the second network")):
        check_network(group, params, what, only is None)
    notes: tuple[str, ...] = ()
    if only is not None:
        group, a, b, notes = common_part(group, a, b, shared_names(group, only))
    found = _found(group, a, b, bias, progress)
    if landscape is not None:
        found = replace(found, outputs=outputs(landscape, *alike(a, b), group.output.mode))
    return replace(found, notes=(*notes, *found.notes), seconds=time.monotonic() - begun)


def _found(
    group: SymmetryGroup,
    a: Params,
    b: Params,
    bias: bool,
    progress: Progress | None,
) -> Comparison:
    """What the weights of two networks have in common, the cheap tests first."""
    if equal(a, b):
        return _of_same(group, a, b, None, bias)
    typed, rounding = (Rounding.of((a, b), group.parameters, typed) for typed in (True, False))
    left, right = alike(a, b)
    if rounding.hides(left, right, group.shapes):
        return _of_same(group, left, right, rounding, bias)
    found = align(group, right, to=left, method="fresh", bias=bias, progress=progress)
    return _compared(found, (left, right), (typed, rounding), bias, progress)


def _of_same(
    group: SymmetryGroup, a: Params, b: Params, rounding: Rounding | None, bias: bool
) -> Comparison:
    """What there is to say of weights that are equal, to rounding or bit by bit: no alignment."""
    names = group.parameters
    alarms = shipped().false_alarms("mean", PERFECT, False)
    judgement = same(False, "", rounding.name if rounding else "", alarms)
    distance, reached, likeness = 0.0, PERFECT, 1.0
    if rounding is None:
        b = a
    else:
        one, other = (canonicalize(group, x, bias=bias) for x in (a, b))
        distance = Toroid(group, bias).distance(one, other)
        likeness = products(one, other, names).cosine
        reached = Score.of(cosines(group, one, other, {n: [n] for n in counted(group)}))
    limits = Limits(2 * torch.finfo(rounding.kind).eps if rounding else 0.0, 1.0, 1.0)
    return Comparison(
        verdict=judgement.verdict, reason=judgement.reason, false_alarms=alarms, score=reached,
        chance=None, beyond=None, similarity=likeness, similarity_before=likeness,
        distance=distance, distance_before=distance, distances={},
        raw_distance=_raw(a, b, names)[0],
        layers=layers(group, (a, b), b, [(a, b)], limits), moved=(), alignment=None, notes=(),
        seconds=0.0,
    )  # fmt: skip


def _compared(
    found: Alignment,
    given: tuple[Params, Params],
    roundings: tuple[Rounding, Rounding],
    bias: bool,
    progress: Progress | None,
) -> Comparison:
    """Gathers the evidence on two aligned networks, and judges it."""
    group = found.compared
    names, toroid = group.parameters, Toroid(group, bias)
    reference, start, params = (
        {name: x[name] for name in group.shapes}
        for x in (found.reference, found.start, found.params)
    )
    distances = toroid.distances(reference, params)
    actions, unscaled = moved(group, found.element), _moved_only(found, *given)
    reached = cosines(group, reference, params, {name: [name] for name in counted(group)})
    judgement, change = None, math.hypot(*distances.values()) / (_norm(reference, names) or 1.0)
    rounding = next((x for x in roundings if change <= x.aligned), roundings[-1])
    if change <= rounding.aligned:
        buffers = apart(reference, params, group.shapes.keys() - set(names), rounding)
        judgement = _judged_same(given, unscaled, actions, rounding, names, buffers)
    judgement = judgement or _untold(group, reference, params)
    random = None if judgement else _chance(found, Score.of(reached), bias, progress)
    known = None if random is None else Score.of({name: random[name] for name in reached})
    surplus = None if random is None else beyond(reached, random)
    judgement = judgement or judge(Score.of(reached), known, surplus, shipped(), _held(group))
    limits = (shipped().limit("peak", above).strangers for above in (False, True))
    again = refitted(group, reference, params, rounding.aligned)
    return Comparison(
        verdict=judgement.verdict,
        reason=judgement.reason,
        false_alarms=judgement.false_alarms,
        score=Score.of(reached),
        chance=known,
        beyond=surplus,
        similarity=products(reference, params, names).cosine,
        similarity_before=products(reference, start, names).cosine,
        distance=math.hypot(*distances.values()),
        distance_before=toroid.distance(reference, start),
        distances=distances,
        raw_distance=_raw(*given, names)[0],
        layers=layers(
            group,
            (reference, params),
            start,
            [unscaled] if again is None else [unscaled, (reference, again)],
            Limits(rounding.aligned, *limits),
            random,
        ),
        moved=actions,
        alignment=found,
        notes=found.params.notes,
        seconds=0.0,
    )


def _chance(
    found: Alignment, reached: Score, bias: bool, progress: Progress | None
) -> Cosines | None:
    """What surrogates reach, by layer and by matrix; None where it costs and does not decide."""
    group = found.compared
    size = sum(found.params[name].numel() for name in group.parameters)
    if size > LARGE and (reached.mean > SURE or _surely_strange(reached)):
        return None
    parts = {**modules(group), **{name: [name] for name in counted(group)}}
    return chance(found, bias, parts, progress)


def _surely_strange(reached: Score) -> bool:
    """Whether a score is below the limit of strangers whatever is chance of it."""
    return all(  # (c - s) / (1 - s) is at most c where chance s is not negative
        getattr(reached, which) < shipped().limit(which, True).strangers - MARGIN
        for which in NUMBERS
    )


def _held(group: SymmetryGroup) -> bool:
    """Whether a matrix has an axis that no symmetry moves, from which units can be told."""
    axes = moved_axes(group)
    return any(
        size > 1 and axis not in axes.get(name, ())
        for name in counted(group)
        for axis, size in enumerate(group.shapes[name])
    )


def _untold(group: SymmetryGroup, a: Params, b: Params) -> Judgement | None:
    """The verdict on networks of which weights tell nothing; None on all others."""
    alarms = shipped().false_alarms("mean", Score(0.0, 0.0), True)
    names = counted(group)
    for params, which in ((a, "first"), (b, "second")):
        if not _norm(params, names):
            reason = f"All weights of the {which} network are zero, which tells nothing."
            return Judgement("undecided", reason, alarms)
    axes = moved_axes(group)
    if not any(group.shapes[name][axis] > 1 for name in names for axis in axes.get(name, ())):
        reason = (
            "No symmetry moves units of these networks: data alone may fix all their weights, and "
            "their likeness tells nothing."
        )
        return Judgement("undecided", reason, alarms)
    return None


def _judged_same(
    given: tuple[Params, Params],
    unscaled: tuple[Params, Params],
    actions: tuple[Moved, ...],
    rounding: Rounding,
    names: Sequence[str],
    buffers: Sequence[str],
) -> Judgement | None:
    """The verdict on networks at no distance; None where a change as small as rounding is one."""
    if buffers:
        return but_for(buffers, rounding.name, shipped().false_alarms("mean", PERFECT, False))
    raw, size = _raw(*given, names)
    done = in_words(actions, _raw(*unscaled, names)[0] > rounding.aligned * size)
    if raw <= rounding.aligned * size and done == NOTHING:
        return None
    alarms = shipped().false_alarms("mean", PERFECT, False)
    return same(True, done, rounding.name, alarms)


def _plain(found: Outputs) -> dict[str, Any]:
    return {**vars(found), "first": vars(found.first), "second": vars(found.second)}


def _moved_only(found: Alignment, a: Params, b: Params) -> tuple[Params, Params]:
    """Both networks with the scales they came with, the second one permuted, flipped and turned."""
    own = {name: x.to(found.reference[name]) for name, x in a.items()}
    moved_only = {name: x.to(found.params[name]) for name, x in b.items()}
    found.group.apply_(found.element, moved_only)
    return own, moved_only


def _raw(a: Params, b: Params, names: Sequence[str]) -> tuple[float, float]:
    """The distance of two networks as they were handed in, and the norm of the first."""
    found = products(a, b, names)
    return math.sqrt(found.step), math.sqrt(found.first)


def _norm(params: Params, names: Sequence[str]) -> float:
    return math.sqrt(inner_product(params, params, names))
