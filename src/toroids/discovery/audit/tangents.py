"""Tangents of all continuous symmetries at a point, and slopes in batches."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from toroids.discovery.audit.nulls import null_space, rank_of, unit_rows
from toroids.params import Params
from toroids.symmetry.choice import identity_choice
from toroids.symmetry.element import Element, SpaceElement
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.matrices import mean_first
from toroids.symmetry.space import Space

# Parts of an element that are continuous; every entry of one is a direction, and of orthogonal
# matrices every pair of units.
CONTINUOUS = ("log_scales", "shifts", "mix", "phases")
# Rows of a Jacobian that are computed at once: larger batches are no quicker, and every value of
# every operator is held as many times.
BATCH = 256


def slopes(values: Tensor, vector: Tensor) -> Iterator[Tensor]:
    """The rows of the Jacobian of values that were computed from a vector, in batches.

    Where an operator's slope has no rule for batches, rows are computed one by one.

    Args:
        values: one axis.
        vector: what they were computed from, with gradients.

    Yields:
        (some values, entries of the vector); zero where nothing depends on the vector.
    """
    batched = True
    for choice in torch.split(torch.arange(len(values)), BATCH):
        at = torch.zeros(len(choice), len(values), dtype=torch.float64)
        at[torch.arange(len(choice)), choice] = 1.0
        if batched:
            try:
                yield pulled(values, vector, at, batched=True)
                continue
            except RuntimeError:
                batched = False
        yield torch.stack([pulled(values, vector, row) for row in at])


def pulled(values: Tensor, vector: Tensor, at: Tensor, batched: bool = False) -> Tensor:
    """The slopes of weighted sums of values by a vector; zero where nothing depends on it."""
    if not values.requires_grad:
        return torch.zeros(*at.shape[:-1], len(vector), dtype=torch.float64)
    with warnings.catch_warnings():  # of operators whose slopes are looped over inside
        warnings.simplefilter("ignore")
        found = torch.autograd.grad(
            values, vector, at, retain_graph=True, is_grads_batched=batched,
            allow_unused=True, materialize_grads=True,
        )  # fmt: skip
    return found[0]


def tangents_of(
    group: SymmetryGroup,
    point: Params,
    names: Sequence[str],
    reduced: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Tangents of all continuous symmetries that move no buffer, by the parameters alone.

    What a symmetry does to the statistics of a batch norm is done to its weight and bias instead,
    where it has both; of the rest, the directions that leave every buffer where it is.

    Args:
        group: whose symmetries.
        point: parameters and buffers in float64.
        names: the parameters that count.
        reduced: a linear function of all parameters, as one vector.

    Returns:
        (directions, entries of all parameters, or of what `reduced` makes of them).
    """
    vector, moved, held = _moved(group, point)
    parameters = torch.cat([moved[n].reshape(-1) for n in names])
    parameters = parameters if reduced is None else reduced(parameters)
    found = torch.cat(list(slopes(parameters, vector))).T
    if not len(held):
        return found
    return null_space(unit_rows(torch.cat(list(slopes(held, vector))))) @ found


def dimension_of(
    group: SymmetryGroup, point: Params, names: Sequence[str], some: Tensor
) -> tuple[int, int]:
    """How many directions `tangents_of` gives, without a tangent of each.

    Args:
        group: whose symmetries; no two of its directions are one.
        point: parameters and buffers in float64.
        names: the parameters that count.
        some: which entries of all parameters are looked at.

    Returns:
        How many there are, and how many of those move some entries only.
    """
    vector, moved, held = _moved(group, point)
    values = torch.cat([moved[n].reshape(-1) for n in names])
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(len(values), generator=generator).double()
    among = int((pulled(values, vector, weights.where(~some, 0.0)) == 0).sum())
    if not len(held):
        return len(vector), among
    return len(vector) - rank_of(torch.cat(list(slopes(held, vector)))), among


def _moved(group: SymmetryGroup, point: Params) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """All directions, at zero; as functions of them all tensors, and the buffers that move."""
    resting = [identity_choice(space) for space in group.spaces]
    starts = [_parts(space, c) for space, c in zip(group.spaces, resting, strict=True)]
    flat = [start.reshape(-1) for parts in starts for start in parts.values()]
    vector = torch.cat([torch.zeros(0, dtype=torch.float64), *flat]).requires_grad_()
    rest, choices = vector, {}
    for space, choice, parts in zip(group.spaces, resting, starts, strict=True):
        free = {}
        for part, start in parts.items():
            free[part], rest = rest[: start.numel()].view(start.shape), rest[start.numel() :]
        if space.of("rotate"):
            free["mix"] = _turned(space, free["mix"])
        choices[space.name] = replace(choice, **free)
    moved = dict(point)
    group.apply_(Element(choices), moved)
    _hold_statistics(group, point, moved)
    held = [n for n in sorted(group.buffers) if moved[n].requires_grad]
    buffers = torch.cat([vector[:0], *(moved[n].reshape(-1) for n in held)])
    return vector, moved, buffers


def _parts(space: Space, choice: SpaceElement) -> dict[str, Tensor]:
    parts = {p: getattr(choice, p) for p in CONTINUOUS if getattr(choice, p) is not None}
    for rotate in space.of("rotate"):
        turning = space.size - rotate.fixes_mean
        parts["mix"] = torch.zeros(turning * (turning - 1) // 2, dtype=torch.float64)
    return parts


def _turned(space: Space, angles: Tensor) -> Tensor:
    """I + S with S antisymmetric: to first order all orthogonal matrices near the identity."""
    fixed = int(space.of("rotate")[0].fixes_mean)
    first, second = torch.triu_indices(space.size - fixed, space.size - fixed, 1) + fixed
    plane = torch.zeros(space.size, space.size, dtype=torch.float64)
    plane = plane.index_put((first, second), angles)
    turn = plane - plane.T
    if fixed:
        basis = mean_first(space.size)
        turn = basis @ turn @ basis.T
    return (torch.eye(space.size, dtype=torch.float64) + turn)[None]


def _hold_statistics(group: SymmetryGroup, point: Params, moved: dict[str, Tensor]) -> None:
    """Undoes to first order what was done to statistics: w (z - m) / sqrt(v + eps) + b stays."""
    norms = {norm.variance: norm for space in group.spaces for norm in space.norms}
    for norm in norms.values():
        if norm.bias is None or group.buffers & {norm.bias, norm.weight}:
            continue
        weight, variance = point[norm.weight], point[norm.variance] + norm.eps
        by_mean = weight * (moved[norm.mean] - point[norm.mean]) / variance.sqrt()
        moved[norm.bias] = moved[norm.bias] - by_mean
        by_variance = weight * (moved[norm.variance] - point[norm.variance]) / (2 * variance)
        moved[norm.weight] = moved[norm.weight] - by_variance
        for held in (norm.mean, norm.variance):
            moved[held] = point[held]
