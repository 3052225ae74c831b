"""The audit: do weight directions leave the outputs unchanged that no space explains?

At a generic point the directions that leave all outputs on all inputs unchanged to first order are
the null space of the Jacobian of the outputs by the parameters. Continuous symmetries lie in it.
What else lies in it is dead (parameters on which no output depends), linear-redundant (directions
within one layer, as the kernel of a layer whose reader subtracts the mean, or among biases alone,
as one that the next bias absorbs), or unexplained.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from toroids.arguments import checked
from toroids.discovery.assemble import operator_of
from toroids.discovery.discover import group_of
from toroids.discovery.draws import drawn_params
from toroids.discovery.example import Inputs
from toroids.discovery.explore import explore
from toroids.discovery.program import Program
from toroids.errors import DataError
from toroids.params import Params
from toroids.symmetry.action import identity_choice
from toroids.symmetry.element import Element, SpaceElement
from toroids.symmetry.group import SymmetryGroup, check_group
from toroids.symmetry.space import Space

# The dense Jacobian and its singular values of as many parameters take about a minute.
DENSE = 4000
# Singular values below this share of the largest count as zero: float64 leaves about 1e-13 of
# rounding, and the weakest directions of small networks were seen at 1e-7.
RANK_TOLERANCE = 1e-10
# The estimate counts eigenvalues of J^T J above this share of the largest.
ESTIMATE_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Audit:
    """Weight directions that leave the outputs unchanged, and what explains them.

    Attributes:
        parameters: entries of all parameters, tied ones once.
        outputs: numbers that the model returns on the inputs.
        rank: of the Jacobian of the outputs by the parameters.
        symmetry_dimension: directions of continuous symmetries that move no buffer; the size of a
            weight of which only the sign is read is one.
        dead: entries on which no output depends to first order, as the weights of units that never
            fire, or thresholds before signs.
        linear_redundant: further directions within one layer or among biases alone.
        unexplained: what is left of parameters - rank.
        lower_bound: whether the outputs are fewer than the parameters, so that the true rank may be
            larger and `unexplained` smaller.
        rank_stderr: standard error of `rank` where it was estimated, 0 where it is exact. Then
            `linear_redundant` is not told apart from `unexplained`.

    See `audit` for an example.
    """

    parameters: int
    outputs: int
    rank: float
    symmetry_dimension: int
    dead: int
    linear_redundant: int
    unexplained: float
    lower_bound: bool
    rank_stderr: float = 0.0

    def __str__(self) -> str:
        error = f" ± {self.rank_stderr:.1f}" if self.rank_stderr else ""
        bound = "; fewer outputs than parameters: the rank is a lower bound" * self.lower_bound
        return (
            f"{self.parameters} parameters, rank {self.rank:g}{error}: "
            f"{self.parameters - self.rank:g} directions leave the outputs: "
            f"{self.symmetry_dimension} by symmetry, {self.dead} dead, "
            f"{self.linear_redundant} linear-redundant, {self.unexplained:g} unexplained{bound}"
        )


@checked
def audit(
    model: nn.Module,
    inputs: Inputs,
    params: Params | None = None,
    *,
    group: SymmetryGroup | None = None,
    output_key: str | int | None = None,
) -> Audit:
    """Counts the weight directions that leave the outputs, and those that the group explains.

    Args:
        model: the module; run in evaluation mode, not touched.
        inputs: as many examples as give at least as many outputs as there are parameters.
        params: where to audit; the model's own parameters, disturbed to a generic point, if None.
        group: the group to compare with; the discovered one when None.
        output_key: the entry of a structured output that counts.

    Returns:
        The counts: exact for networks of at most 4000 parameters; for larger ones the rank is
        estimated by stochastic Lanczos quadrature, with its standard error.

    Raises:
        DataError: the model gives no floating outputs, or they are not finite.
        ParamsError: `params` or `group` is of another architecture.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([3, 4, 2], seed=0)
        >>> inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
        >>> found = td.audit(model, inputs)
        >>> found.symmetry_dimension, found.unexplained
        (4, 0.0)
    """
    explored = explore(model, inputs, output_key)
    group = group_of(explored) if group is None else group
    check_group(group)
    group.check(model.state_dict(), "the model")
    program, example = explored.points[0].program, explored.points[0].example
    point = drawn_params(
        {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
        program.aliases, program.parameters, torch.Generator().manual_seed(0),
        keep=[condition.buffer for condition in group.conditions],
    )  # fmt: skip
    if params is not None:
        group.check(params)
        point = {name: tensor.detach().cpu() for name, tensor in params.items()}
    point = {n: t.double() if t.is_floating_point() else t for n, t in point.items()}
    first = {other: names[0] for names in program.aliases.values() for other in names}
    learned = program.parameters - program.whole
    names = [n for n in program.shapes if n in learned and first.get(n, n) == n]
    total = sum(point[name].numel() for name in names)
    outputs = _function(program, example.tensors, point, names)
    vector = torch.cat([point[name].reshape(-1) for name in names])
    count = outputs(vector).numel()
    if count == 0:
        raise DataError("the model gives no floating outputs on these inputs; pass at least one.")
    directions = _symmetries(group, point, names)
    latent = _latent(group, point, names)
    dimension = _rank(directions) + int(latent.sum())  # no other direction moves those
    result = Audit(total, count, 0.0, dimension, 0, 0, 0.0, count < total)
    if total > DENSE:
        rank, error = _estimated_rank(outputs, vector)
        left = max(total - rank - dimension, 0.0)
        return replace(result, rank=rank, unexplained=left, rank_stderr=error)
    jacobian = _jacobian(outputs, vector)
    if not bool(torch.isfinite(jacobian).all()):
        raise DataError(
            "the outputs on these inputs, or their slopes, are NaN or infinite; pass finite inputs "
            "and weights."
        )
    rank = _rank(jacobian)
    silent = jacobian.abs().amax(dim=0) == 0
    entries = torch.eye(total, dtype=torch.float64)
    explained = torch.cat([directions, entries[silent | latent]])
    with_dead = _rank(explained)
    blocks = _blocks(names, point)
    redundant = torch.cat([explained, *(_null_space(jacobian, block) for block in blocks)])
    with_redundant = _rank(redundant)
    return replace(
        result,
        rank=float(rank),
        dead=with_dead - dimension,
        linear_redundant=with_redundant - with_dead,
        unexplained=float(max(total - rank - with_redundant, 0)),
    )


def _function(
    program: Program, inputs: Sequence[Tensor], point: dict[str, Tensor], names: Sequence[str]
) -> Callable[[Tensor], Tensor]:
    """All outputs as one vector, as a function of all parameters as one vector."""

    def outputs(vector: Tensor) -> Tensor:
        pieces = torch.split(vector, [point[name].numel() for name in names])
        moved = {n: piece.view_as(point[n]) for n, piece in zip(names, pieces, strict=True)}
        others = {n: t for n, t in point.items() if n not in program.parameters - program.whole}
        found = program.run({**others, **moved}, gradients=True, inputs=inputs)
        return torch.cat([value.reshape(-1) for value in found])

    return outputs


def _jacobian(outputs: Callable[[Tensor], Tensor], vector: Tensor) -> Tensor:
    vector = vector.clone().requires_grad_()
    values = outputs(vector)
    if not values.requires_grad:
        return torch.zeros(len(values), len(vector), dtype=torch.float64)
    rows = [torch.autograd.grad(value, vector, retain_graph=True)[0] for value in values.unbind()]
    return torch.stack(rows)


def _rank(matrix: Tensor) -> int:
    """Numerical rank, rows brought to one length so that scales do not hide directions."""
    if matrix.numel() == 0:
        return 0
    lengths = matrix.norm(dim=1, keepdim=True)
    rows = (matrix / torch.where(lengths == 0, 1.0, lengths))[lengths[:, 0] > 0]
    if not len(rows):
        return 0
    values = torch.linalg.svdvals(rows)
    return int((values > RANK_TOLERANCE * values[0]).sum())


def _null_space(jacobian: Tensor, columns: Tensor) -> Tensor:
    """Directions that change only some parameters and no output; rows of length `parameters`."""
    part = jacobian[:, columns]
    _, values, right = torch.linalg.svd(part, full_matrices=True)
    rank = int((values > RANK_TOLERANCE * jacobian.norm()).sum())
    found = torch.zeros(len(right) - rank, jacobian.shape[1], dtype=torch.float64)
    found[:, columns] = right[rank:]
    return found


def _blocks(names: Sequence[str], point: Params) -> list[Tensor]:
    """Positions of every layer's parameters, and of all biases and gains together."""
    layers: dict[str, list[Tensor]] = {}
    start = 0
    for name in names:
        at = torch.arange(start, start + point[name].numel())
        start += point[name].numel()
        layers.setdefault(operator_of(name), []).append(at)
        if point[name].ndim == 1:
            layers.setdefault("", []).append(at)
    return [torch.cat(parts) for parts in layers.values()]


def _latent(group: SymmetryGroup, point: dict[str, Tensor], names: Sequence[str]) -> Tensor:
    """Which entries of all parameters have a size that nobody reads."""
    held = [torch.full((point[name].numel(),), name in group.binary) for name in names]
    return torch.cat(held)


def _symmetries(group: SymmetryGroup, point: dict[str, Tensor], names: Sequence[str]) -> Tensor:
    """Tangents of all continuous symmetries, by the parameters alone.

    What a symmetry does to the statistics of a batch norm is done to its weight and bias instead,
    where it has both; of the rest, the directions that leave every buffer where it is.

    Returns:
        (directions, entries of all parameters).
    """
    step = 1e-5  # central differences: error about 1e-10
    resting = {space.name: identity_choice(space) for space in group.spaces}
    held = [n for n in group.buffers if point[n].is_floating_point()]
    rows, buffer_rows = [], []
    for space in group.spaces:
        for forward, backward in _steps(space, step):
            a, b = (
                group.apply(Element({**resting, space.name: choice}), point)
                for choice in (forward, backward)
            )
            difference = {n: (a[n] - b[n]) / (2 * step) for n in [*names, *held]}
            _hold_statistics(group, point, difference)
            difference = {n: tangent.reshape(-1) for n, tangent in difference.items()}
            rows.append(torch.cat([difference[n] for n in names]))
            buffer_rows.append(torch.cat([difference[n] for n in held] or [torch.zeros(1)]))
    if not rows:
        return torch.zeros(0, sum(point[n].numel() for n in names), dtype=torch.float64)
    tangents, moved = torch.stack(rows), torch.stack(buffer_rows).double()
    if bool((moved == 0).all()):
        return tangents
    left, values, _ = torch.linalg.svd(moved, full_matrices=True)
    rank = int((values > 1e-7 * values[0]).sum())
    return torch.mm(left[:, rank:].T, tangents)


def _hold_statistics(
    group: SymmetryGroup, point: dict[str, Tensor], tangent: dict[str, Tensor]
) -> None:
    """Undoes what a tangent does to running statistics: w (z - m) / sqrt(v + eps) + b stays."""
    norms = {norm.variance: norm for space in group.spaces for norm in space.norms}
    for norm in norms.values():
        if norm.bias is None or norm.bias not in tangent or norm.weight not in tangent:
            continue
        weight, variance = point[norm.weight], point[norm.variance] + norm.eps
        by_mean = weight * tangent[norm.mean] / variance.sqrt()
        tangent[norm.bias] = tangent[norm.bias] - by_mean
        by_variance = weight * tangent[norm.variance] / (2 * variance)
        tangent[norm.weight] = tangent[norm.weight] - by_variance
        for held in (norm.mean, norm.variance):
            tangent[held] = torch.zeros_like(tangent[held])


def _steps(space: Space, step: float) -> list[tuple[SpaceElement, SpaceElement]]:
    """A small step forth and back in every continuous direction of a space."""
    rest = identity_choice(space)
    result = []
    for part in ("log_scales", "shifts", "mix"):
        start = getattr(rest, part)
        if start is None:
            continue
        for position in range(start.numel()):
            unit = torch.zeros(start.numel(), dtype=torch.float64)
            unit[position] = step
            unit = unit.view(start.shape)
            result.append(
                (replace(rest, **{part: start + unit}), replace(rest, **{part: start - unit}))
            )
    return result


def _estimated_rank(
    outputs: Callable[[Tensor], Tensor], vector: Tensor, probes: int = 8, steps: int = 60
) -> tuple[float, float]:
    """Counts the eigenvalues of J^T J that are not small, by stochastic Lanczos quadrature."""
    vector = vector.clone().requires_grad_()
    values = outputs(vector)
    weights = torch.zeros_like(values, requires_grad=True)
    (pulled,) = torch.autograd.grad(values, vector, weights, create_graph=True)

    def product(x: Tensor) -> Tensor:
        (pushed,) = torch.autograd.grad(pulled, weights, x, retain_graph=True)
        return torch.autograd.grad(values, vector, pushed, retain_graph=True)[0].detach()

    generator = torch.Generator().manual_seed(0)
    counts = []
    for _ in range(probes):
        start = torch.randn(len(vector), dtype=torch.float64, generator=generator)
        ritz, shares = _lanczos(product, start / start.norm(), steps)
        counts.append(float(shares[ritz > ESTIMATE_TOLERANCE * ritz.max()].sum()) * len(vector))
    found = torch.tensor(counts, dtype=torch.float64)
    return float(found.mean()), float(found.std() / probes**0.5)


def _lanczos(
    product: Callable[[Tensor], Tensor], start: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Ritz values and the share of `start` in each, with full reorthogonalisation."""
    basis, diagonal, beside = [start], [], []
    for _ in range(min(steps, len(start))):
        w = product(basis[-1])
        diagonal.append(torch.dot(w, basis[-1]))
        stacked = torch.stack(basis)
        for _ in range(2):
            w = w - stacked.T @ (stacked @ w)
        norm = w.norm()
        if norm < 1e-12 * diagonal[0].abs():
            break
        beside.append(norm)
        basis.append(w / norm)
    size = len(diagonal)
    off = torch.stack(beside[: size - 1]) if size > 1 else torch.zeros(0, dtype=torch.float64)
    matrix = torch.diag(torch.stack(diagonal)) + torch.diag(off, 1) + torch.diag(off, -1)
    ritz, vectors = torch.linalg.eigh(matrix)
    return ritz, vectors[0].square()
