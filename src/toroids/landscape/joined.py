"""The ways of joining two aligned networks, which tell what each removed symmetry contributes."""

from collections.abc import Callable, Sequence

from toroids.align.alignment import Alignment
from toroids.canonical.form import CanonicalParams, canonicalize
from toroids.geometry.paths import Line, Path
from toroids.geometry.toroid import Toroid
from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup

WAYS = ("raw", "normalised", "aligned", "balanced", "both", "geodesic")


def joined(
    group: SymmetryGroup,
    alignment: Alignment,
    a: Params,
    b: Params,
    ways: Sequence[str] = WAYS,
    bias: bool = True,
) -> dict[str, Path]:
    """Joins two networks in up to six ways.

    Args:
        group: the architecture's symmetry group.
        alignment: of `b` to `a`, batch norms kept.
        a: the network that stays, as it came.
        b: the network that was moved, as it came.
        ways: the names of those that are wanted.
        bias: as it was in the alignment.

    Returns:
        By name: "raw", the straight line between the two as they came; "normalised", between their
        canonical forms; "aligned", between `a` and the units of `b` moved but not rescaled;
        "balanced", aligned and of least norm among all rescaled; "both", canonical and aligned;
        "geodesic", the same on the toroid.

    Raises:
        ParamsError: two units are antipodal, so that there is no geodesic.
    """
    start, end = alignment.reference, alignment.params
    makers: dict[str, Callable[[], Path]] = {
        "raw": lambda: Line(a, b),
        "normalised": lambda: Line(start, canonicalize(group, b, bias=bias)),
        "aligned": lambda: Line(a, group.apply(alignment.element, b)),
        "balanced": lambda: Line(*_balanced(group, (start, end), bias)),
        "both": lambda: Line(start, end),
        "geodesic": lambda: Toroid(group, bias).geodesic(start, end),
    }
    return {way: makers[way]() for way in ways}


def _balanced(group: SymmetryGroup, ends: Sequence[Params], bias: bool) -> list[CanonicalParams]:
    """The least norm by scales alone: signs and matrices stay as the alignment chose them."""
    scales = group.restricted({"rescale"})
    return [canonicalize(scales, end, gauge="balanced", bias=bias) for end in ends]
