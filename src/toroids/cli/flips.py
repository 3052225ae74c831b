"""What `toroids profile` and `section` measure where weights are binary: flips of their signs."""

from collections.abc import Sequence

from toroids.align.alignment import align
from toroids.cli.loaded import Loaded
from toroids.errors import ConfigError
from toroids.evaluation.landscape import Landscape
from toroids.landscape.greedy_order import Greedy
from toroids.landscape.median import MedianSection
from toroids.landscape.orders import FlipProfile, flip_profile
from toroids.params import Params
from toroids.progress import Progress

FLIPS = ("flips_raw", "flips", "flips_greedy")
SEVERAL = 8  # orders of flips, where no number is asked for
BLOCKS = 100  # of a greedy order


def flip_curves(
    loaded: Loaded,
    landscape: Landscape,
    ways: Sequence[str],
    counts: tuple[int, int],
    method: str,
    progress: Progress,
) -> dict[str, FlipProfile]:
    """Measures two networks along orders of flips.

    Args:
        loaded: both of them.
        landscape: on their hypercube.
        ways: which of `FLIPS`: in random orders before and after alignment, or in greedy ones.
        counts: random orders, and points of a profile; in a greedy order at least two in every
            block, where the error rises and falls.
        method: of the alignment.
        progress: told what is done.

    Returns:
        A profile by name, in the order of `ways`.
    """
    (orders, points), (a, b) = counts, loaded.networks
    alignment = align(loaded.group, b, to=a, method=method, progress=progress)
    start, end = alignment.reference, alignment.params
    asked: dict[str, tuple[Params, int | Greedy, int]] = {
        "flips_raw": (alignment.start, orders, points),
        "flips": (end, orders, points),
        "flips_greedy": (end, Greedy(orders, BLOCKS), max(points, 2 * BLOCKS + 1)),
    }
    return {way: flip_profile(landscape, start, *asked[way], progress=progress) for way in ways}


def curve_lines(name: str, curve: FlipProfile) -> list[str]:
    """What is printed of one profile."""
    count = len(curve.barriers)
    found = f"1 {curve.order} order"
    if count > 1:
        found = f"standard error {curve.barrier_stderr:.1g} over {count} {curve.order} orders"
        found += f", the lowest {curve.barriers.min():.4g}"
    return [
        f"{name}: barrier {curve.barrier:.4g} ({found}); {len(curve.t)} points",
        *(f"{name}: {note}" for note in curve.notes),
    ]


def median_lines(names: Sequence[str], section: MedianSection) -> list[str]:
    """What is printed of a section."""
    found = zip(names, section.errors.tolist(), section.legs.tolist(), strict=True)
    return [
        f"median: error {section.median_error:.4g}",
        *(f"{name}: error {e:.4g}, {leg:.4g} of the weights away" for name, e, leg in found),
        *section.notes,
    ]


def check_tolerance(tolerance: float | None) -> None:
    """Raises where points are to be refined: between two corners there is nothing.

    Args:
        tolerance: as it was asked for.

    Raises:
        ConfigError: there is one.
    """
    if tolerance is not None:
        raise ConfigError("binary weights flip in whole steps; leave --tolerance out.")


def check_ways(ways: Sequence[str], known: Sequence[str], where: str = "") -> None:
    """Raises unless all ways of joining networks are known.

    Args:
        ways: their names.
        known: those that there are.
        where: for which weights, in words.

    Raises:
        ConfigError: one is not.
    """
    for name in ways:
        if name not in known:
            raise ConfigError(f"there is no way {name!r}{where}; choose from {tuple(known)}.")
