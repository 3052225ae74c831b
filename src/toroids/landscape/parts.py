"""What kinds of symmetry contribute: networks aligned within ever larger parts of their group."""

from collections.abc import Callable
from functools import partial

from toroids.align.alignment import align
from toroids.evaluation.landscape import Landscape
from toroids.geometry.paths import Path
from toroids.geometry.toroid import Toroid
from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Action

# Every part holds those before it; with the last, rotations of the stream, it is the whole group.
PARTS: dict[str, frozenset[Action]] = {
    "permutations": frozenset({"permute", "flip"}),
    "scales": frozenset({"permute", "flip", "rescale", "shift"}),
    "heads": frozenset({"permute", "flip", "rescale", "shift", "mix", "phase"}),
}
LEARNED = "learned"


def parts_of(group: SymmetryGroup) -> dict[str, SymmetryGroup]:
    """Lists the parts of a group that are less than the whole, each more than those before.

    Args:
        group: the architecture's symmetry group.

    Returns:
        By name: "permutations", with signs; "scales", with shifts; "heads", with matrices within
        heads and with phases. A part that adds nothing is left out.

    Example:
        >>> import torch, toroids as td
        >>> group = td.discover(td.models.fully_connected((4, 3, 2)), torch.randn(1, 4))
        >>> list(parts_of(group))
        ['permutations']
    """
    found: dict[str, SymmetryGroup] = {}
    for name, actions in PARTS.items():
        part = group.restricted(actions)
        if part != group and part not in found.values():
            found[name] = part
    return found


def joined_by_parts(
    group: SymmetryGroup, a: Params, b: Params, landscape: Landscape, method: str = "descent"
) -> dict[str, Callable[[], Path]]:
    """Joins two networks by geodesics, aligned within every part of their group.

    Args:
        group: the architecture's symmetry group.
        a: the network that stays.
        b: the network that is aligned to it.
        landscape: on which the last alignment lowers the loss between the two.
        method: of `align`, within the parts.

    Returns:
        By name of the part what makes the path; "learned", aligned within the whole group by the
        loss. A path may raise `ParamsError` where two units are antipodal.
    """
    return {
        **{name: partial(_geodesic, part, a, b, method) for name, part in parts_of(group).items()},
        LEARNED: partial(_geodesic, group, a, b, "loss", landscape),
    }


def _geodesic(
    group: SymmetryGroup, a: Params, b: Params, method: str, landscape: Landscape | None = None
) -> Path:
    found = align(group, b, to=a, method=method, landscape=landscape)
    return Toroid(group).geodesic(found.reference, found.params)
