"""Measures two networks: how far apart they are, and what lies between them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any

from toroids.align.alignment import Alignment, align
from toroids.align.loss import LABELS, STEPS
from toroids.design.draw import drawn
from toroids.design.task import Task
from toroids.errors import ParamsError
from toroids.evaluation.passes import Passes
from toroids.geometry.manifold import manifold_of
from toroids.landscape.between import Between
from toroids.landscape.joined import WAYS
from toroids.landscape.orders import FlipProfile
from toroids.landscape.parts import PARTS
from toroids.landscape.profile import Profile
from toroids.params import Params
from toroids.statistics.measured import Curve, Layer, Moments, OfPair, Pair
from toroids.statistics.row import plain
from toroids.study.perform.architecture import Architecture, Network
from toroids.study.perform.kind import Kind, Lines, along, of_pair
from toroids.study.perform.setting import Setting
from toroids.symmetry.group import SymmetryGroup

# A step of an alignment by the loss, its share of the start and of judging, in trainings' steps.
LEARNED_STEPS = 3 * STEPS


def pair(setting: Setting, networks: Sequence[Params]) -> Pair:
    """Measures distances before and after alignment and, where they are asked for, profiles.

    Args:
        setting: data, architecture, group, method of alignment; points of the profiles.
        networks: the network that stays, and the one that is aligned to it.

    Returns:
        Before (canonical, not aligned) and after alignment: distances on the toroid and mean
        angles, both in radians, or of binary networks the fraction of weights that differ, also by
        layer; the alignment's similarities; profiles by path, on the training examples; notes on
        paths that there are none of.
    """
    a, b = networks
    alignment = align(setting.group, b, to=a, method=setting["alignment"])
    curves, notes = {}, []
    if setting["profiles"] is not None:
        between = Between(setting.landscape, alignment, a, b, **setting["profiles"])
        for way in between.ways:
            try:
                curves[way] = curve_of(between.profile(way))
            except ParamsError as error:  # two antipodal units: no geodesic is the shortest
                notes.append(f"no {way}: {error}")
    return Pair(
        **setting.labels(),
        method=alignment.method,
        similarity=similarity(alignment),
        **distances(alignment, setting.group),
        profiles=curves,
        notes=notes,
    )


def similarity(alignment: Alignment) -> Moments:
    """The alignment's similarities."""
    return Moments(before=plain(alignment.similarity_before), after=plain(alignment.similarity))


def distances(alignment: Alignment, group: SymmetryGroup) -> dict[str, Any]:
    """The fields of a pair that say how far apart two networks are, by measure and by layer."""
    a, manifold = alignment.reference, manifold_of(group)
    both = (alignment.start, alignment.params)
    measures, layers = (
        [plain(measured(a, b)) for b in both]
        for measured in (manifold.measures, manifold.distances)
    )

    def moments(found: list[dict[str, float | None]]) -> dict[str, Moments]:
        return {name: Moments(before=found[0][name], after=found[1][name]) for name in found[1]}

    by_space = moments(layers).items()
    return {
        **moments(measures),
        "layers": [Layer(space=name, **vars(distance)) for name, distance in by_space],
    }


def curve_of(curve: Profile | FlipProfile) -> Curve:
    """Takes of a profile what a row holds of it."""
    names = ("t", "error", "error_stderr", "loss", "barrier")
    orders = len(curve.curves) if isinstance(curve, FlipProfile) else None
    return Curve(**{name: plain(getattr(curve, name)) for name in names}, orders=orders)


def _passes(setting: Setting) -> list[Passes]:
    asked = setting["profiles"]
    if asked is None:
        return []
    if setting.binary:
        return [setting.along(flips(asked, corners=2, random=2))]
    if not asked.get("parts"):
        return [setting.along(len(WAYS) * asked["points"])]
    example = setting.data.train[1][0].numel()  # labels
    learned = Passes(steps=LEARNED_STEPS, batch_size=max(1, LABELS // example))
    return [setting.along((len(WAYS) + len(PARTS) + 1) * asked["points"]), learned]


def flips(asked: Mapping[str, int], corners: int, random: int) -> int:
    """Points of some profiles in random orders of flips and of one in a greedy order."""
    greedy = 2 * asked["blocks"] + 1
    return (corners - 1) * (random * asked["orders"] * asked["points"] + greedy)


def _pair(row: Pair) -> Lines:
    moments = {
        f"{measure}_{moment}": value
        for measure, moments in {"similarity": row.similarity, **row.measures}.items()
        for moment, value in plain(moments).items()
    }
    yield of_pair(row) | {"method": row.method} | moments | {"seconds": row.seconds}


def _layers(row: Pair) -> Lines:
    for layer in row.layers:
        yield of_pair(row) | plain(layer)


def barriers(row: OfPair) -> Lines:
    """One line per path."""
    for path, curve in row.profiles.items():
        yield of_pair(row) | {"path": path, "barrier": curve.barrier}


def profiles(row: OfPair) -> Lines:
    """One line per point of a path."""
    for path, curve in row.profiles.items():
        for line in along(curve, ("t", "error", "error_stderr", "loss")):
            yield of_pair(row) | {"path": path} | line


def _plan(architecture: Architecture) -> Iterator[Task]:
    alignment = architecture.config.alignment.method
    asked = architecture.text(profiles=architecture.profiles(), alignment=alignment)
    parts = architecture.profiles() | {"parts": True}
    whole = architecture.text(profiles=parts, alignment=alignment)
    left = architecture.text(profiles=None, alignment=alignment)
    is_profiled = _profiled(architecture)
    by_parts = set(architecture.drawn(2, architecture.config.profiles.parts, "parts"))
    for two in combinations(architecture.networks, 2):
        text = whole if two in by_parts else asked if is_profiled(two) else left
        yield architecture.on("pair", two, text)


def _profiled(architecture: Architecture) -> Callable[[tuple[Network, ...]], bool]:
    """Draws the pairs that are profiled, and tells of each whether it is."""
    profiles = architecture.config.profiles
    within, across = profiles.within, profiles.across
    chosen: set[tuple[Network, ...]] = set()
    if within != "all":
        chosen.update(architecture.drawn(2, within, "within"))
    if across != "all":
        for first, second in combinations(architecture.solvers, 2):
            chosen.update(_across(architecture, first, second, across))

    def is_profiled(pair: tuple[Network, ...]) -> bool:
        count = within if pair[0].solver == pair[1].solver else across
        return count == "all" or pair in chosen

    return is_profiled


def _across(
    architecture: Architecture, first: str, second: str, count: int
) -> Iterator[tuple[Network, ...]]:
    """Draws pairs of networks of two solvers."""
    seeds = architecture.config.seeds
    for rank in drawn(len(seeds) ** 2, count, f"across {first} {second}"):
        a, b = divmod(rank, len(seeds))
        one = Network(architecture.name, first, seeds[a])
        yield one, Network(architecture.name, second, seeds[b])


KIND = Kind(
    "pair",
    "aligning two networks, their distance and barriers",
    Pair,
    lambda asked: comb(asked.count, 2),
    _plan,
    _passes,
    pair,
    {"pairs": _pair, "layers": _layers, "barriers": barriers, "profiles": profiles},
)
