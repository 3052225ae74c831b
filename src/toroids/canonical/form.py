"""The canonical form: the representative of a network in which continuous symmetries are fixed."""

from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

import torch
from torch import Tensor

from toroids.arguments.checked import checked
from toroids.canonical.balanced import balanced_gauge
from toroids.canonical.batch_norm import folding
from toroids.canonical.degenerate import degenerate_units
from toroids.canonical.output import centre_output
from toroids.canonical.plan import Plan
from toroids.canonical.shifts import remove_shifts
from toroids.canonical.signs import fix_signs, signs_of
from toroids.canonical.sphere import sphere_gauge
from toroids.canonical.streams import centre_streams, open_gains
from toroids.checkpoint import store
from toroids.errors import ToroidsError
from toroids.params import Params, check_finite, check_floating, computing
from toroids.symmetry.group import SymmetryGroup

GAUGES = ("sphere", "balanced")


class CanonicalParams(Mapping[str, Tensor]):
    """Parameters in canonical form, by name.

    Attributes:
        notes: degenerate units and other things that could not be fixed.

    See `canonicalize` for an example.
    """

    @checked
    def __init__(self, tensors: Params, notes: tuple[str, ...]) -> None:
        """Wraps `tensors`."""
        self._tensors = dict(tensors)
        self.notes = notes

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"CanonicalParams({len(self)} tensors, notes={list(self.notes)})"


@checked
def canonicalize(
    group: SymmetryGroup,
    params: Params,
    gauge: str = "sphere",
    bias: bool = True,
    batch_norm: str = "keep",
    *,
    scratch: str | Path | None = None,
) -> CanonicalParams:
    """Brings a network to its canonical form, by default a point on the toroid.

    Invariance: canonicalize(g.p) = canonicalize(p) for every rescaling g, and the network computes
    the same function up to what `group.output` says that its reader cannot see.

    Args:
        group: the architecture's symmetry group.
        params: parameters and buffers by name; gradients flow through the sphere gauge, to which
            the matrices of attention heads are constants.
        gauge: "sphere", unit norm of every hidden unit's incoming vector: a point on the toroid;
            or "balanced", the least norm of all networks that compute the same function, found
            by Newton's method to 1e-13 of the log-scales. What has no least norm, as filters
            before a norm, keeps unit norm; a classifier's outputs keep the scale of "sphere".
        bias: whether a unit's bias is a coordinate of its sphere; else it is a flat coordinate.
        batch_norm: "keep", the filter before a norm gets unit norm, its statistics and weight
            compensate, exactly in evaluation mode; or "fold", the norm becomes part of the map
            before it, and keeps statistics and a weight that do nothing.
        scratch: a folder on a disk for the result, which is then mapped from files that take no
            memory, on the CPU and without gradients; they go when the result does. In memory
            when None.

    Returns:
        The same names, shapes, dtypes and devices, with `.notes` on degenerate units (zero,
        duplicate, antipodal) and on what could not be fixed.

    Raises:
        ParamsError: `params` is not of this architecture or is not finite, or its canonical form
            is too large for its precision.
        ToroidsError: an unknown gauge or batch_norm.

    Example:
        >>> import toroids as td
        >>> model = td.models.fully_connected([4, 8, 3], seed=0).double()
        >>> group = td.symmetry.fully_connected_group(model.state_dict(), output="classifier")
        >>> canonical = td.canonicalize(group, model.state_dict())
        >>> row = canonical["hidden1.weight"].square().sum(dim=1)
        >>> row = row + canonical["hidden1.bias"].square()
        >>> bool((row - 1).abs().max() < 1e-12)
        True

    Reference:
        Pittorino et al., Deep Networks on Toroids, 2022, arXiv 2202.03038.
    """
    if gauge not in GAUGES:
        raise ToroidsError(f"there is no gauge {gauge!r}; choose from {GAUGES}.")
    folded = folding(group, batch_norm)
    check_floating(params, moved_weights(group))
    group.check(params)
    plan = Plan(group, bias)
    # half precision is computed in float32, and rounded once
    fixed = store(params, scratch)
    _convert(fixed, {name: computing(tensor) for name, tensor in params.items()})
    centre_output(group, fixed)
    remove_shifts(plan, fixed)
    notes = open_gains(group, fixed)
    centre_streams(group, fixed)
    if folded:
        folded.fold(fixed)
        plan = Plan(folded.group, bias)
        remove_shifts(plan, fixed)  # the means of two norms whose outputs add up
        notes += folded.notes
    for name in group.binary:
        fixed[name] = signs_of(name, fixed[name])
    notes += sphere_gauge(plan, fixed)
    fix_signs(plan, fixed)
    notes += degenerate_units(plan, fixed)
    if gauge == "balanced":
        notes += balanced_gauge(plan, fixed)
        fix_signs(plan, fixed)
    _convert(fixed, {name: tensor.dtype for name, tensor in params.items()})
    what = "the canonical form, which leaves the range of its precision,"
    check_finite(fixed, what, group.masks)
    return CanonicalParams(fixed, (*plan.notes, *notes))


def moved_weights(group: SymmetryGroup) -> list[str]:
    """Names of the parameters that some action of a group touches."""
    legs = [leg for space in group.spaces for leg in space.legs] + list(group.output.legs)
    return sorted({leg.tensor for leg in legs} & set(group.parameters))


def _convert(params: MutableMapping[str, Tensor], kinds: Mapping[str, torch.dtype]) -> None:
    for name, kind in kinds.items():
        if params[name].dtype != kind:
            params[name] = params[name].to(kind)
