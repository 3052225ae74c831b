"""What an audit counts, and the exact counts from the whole Jacobian."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toroids.discovery.audit.nulls import complement, null_space, rank_of, triangle, unit_rows
from toroids.discovery.audit.tangents import slopes
from toroids.errors import DataError

SEEN = 1e-6  # a smaller share of a tensor in some directions is rounding
SHOWN = 4  # tensors that are named


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
        linear_redundant: further directions within one layer, among biases alone, or among what a
            norm's bias and its readers add that is constant.
        unexplained: what is left of parameters - rank.
        lower_bound: whether the outputs are fewer than the parameters, so that the true rank may be
            larger and `unexplained` smaller.
        rank_stderr: standard error of `rank`, and of `linear_redundant` and `unexplained` together,
            where they were estimated; 0 where they are exact, and where narrow twins agree.
        where: for every tensor in which unexplained directions live its share of them, the largest
            first; the shares add up to 1.
        twin: the exact audit of a narrow twin from which the counts were estimated; None where they
            are exact, and where there is no twin: then all that is left counts as unexplained.

    See `audit` for an example.
    """

    parameters: int
    outputs: int
    rank: float
    symmetry_dimension: int
    dead: int
    linear_redundant: float
    unexplained: float
    lower_bound: bool
    rank_stderr: float = 0.0
    where: dict[str, float] = field(default_factory=dict)
    twin: "Audit | None" = None

    def __str__(self) -> str:
        error = f" ± {self.rank_stderr:.1f}" if self.rank_stderr else ""
        bound = "; fewer outputs than parameters: the rank is a lower bound" * self.lower_bound
        shown = [f"{name} {share:.0%}" for name, share in list(self.where.items())[:SHOWN]]
        more = f" and {len(self.where) - SHOWN} more" if len(self.where) > SHOWN else ""
        places = f" (in {', '.join(shown)}{more})" if shown else ""
        twin = f"\nestimated from a narrow twin: {self.twin}" if self.twin else ""
        return (
            f"{self.parameters} parameters, rank {self.rank:g}{error}: "
            f"{self.parameters - self.rank:g} directions leave the outputs: "
            f"{self.symmetry_dimension} by symmetry, {self.dead} dead, "
            f"{self.linear_redundant:g} linear-redundant, {self.unexplained:g} unexplained"
            f"{places}{bound}{twin}"
        )


@dataclass(frozen=True)
class Question:
    """A function of some numbers, and what is known of it.

    Attributes:
        outputs: all outputs as one vector, as a function of the numbers as one vector.
        start: where they are.
        sizes: how many of them every parameter has, by its name.
        blocks: which of them belong to one layer, for every layer, and to biases and gains.
        constants: directions that change constants only, for every norm; (directions, numbers).
        symmetries: tangents, (directions, numbers).
        latent: which of them have a size that nobody reads.
    """

    outputs: Callable[[Tensor], Tensor]
    start: Tensor
    sizes: dict[str, int]
    blocks: Sequence[Tensor]
    constants: Sequence[Tensor]
    symmetries: Tensor
    latent: Tensor


def exact(asked: Question) -> Audit:
    """Counts all directions that leave the outputs."""
    total = len(asked.start)
    jacobian, silent, count = _jacobian(asked.outputs, asked.start)
    live = ~silent & ~asked.latent  # the others leave the outputs, whatever the rest does
    jacobian, tangents = jacobian[:, live], asked.symmetries[:, live]
    null = null_space(jacobian)
    place = live.cumsum(0) - 1
    blocks = (place[block[live[block]]] for block in asked.blocks)
    kinds = [tangents, *(_within(jacobian, block) for block in blocks)]
    kinds += [null_space(jacobian @ x[:, live].T, jacobian) @ x[:, live] for x in asked.constants]
    spans = [directions @ null.T for directions in kinds]
    moved = rank_of(asked.symmetries[:, ~asked.latent]) + int(asked.latent.sum())
    dead = total - int(live.sum()) + rank_of(spans[0]) - moved
    left = complement(torch.cat(spans))
    within = len(null) - len(left) - rank_of(spans[0])
    where = torch.zeros(len(left), total, dtype=torch.float64)
    where[:, live] = left @ null
    return Audit(
        parameters=total,
        outputs=count,
        rank=float(int(live.sum()) - len(null)),
        symmetry_dimension=moved,
        dead=dead,
        linear_redundant=float(within),
        unexplained=float(len(left)),
        lower_bound=count < total,
        where=_where(where, asked.sizes),
    )


def _jacobian(outputs: Callable[[Tensor], Tensor], start: Tensor) -> tuple[Tensor, Tensor, int]:
    """A matrix with the null space of the Jacobian; its zero columns; how many rows it had."""
    # Rows are brought to one length, so that scales do not hide directions.
    vector = start.clone().requires_grad_()
    values, total = outputs(vector), len(start)
    silent = torch.ones(total, dtype=torch.bool)
    found = torch.zeros(0, total, dtype=torch.float64)
    for rows in slopes(values, vector):
        if not bool(torch.isfinite(rows).all()):
            raise DataError(
                "the outputs on these inputs, or their slopes, are NaN or infinite; pass finite "
                "inputs and weights."
            )
        silent &= (rows == 0).all(dim=0)
        found = torch.cat([found, unit_rows(rows)])
        if len(found) > 4 * total:
            found = triangle(found)
    return triangle(found), silent, len(values)


def _within(jacobian: Tensor, columns: Tensor) -> Tensor:
    """Directions that change only some parameters and no output; rows of length `parameters`."""
    basis = null_space(jacobian[:, columns], jacobian)
    found = torch.zeros(len(basis), jacobian.shape[1], dtype=torch.float64)
    found[:, columns] = basis
    return found


def _where(directions: Tensor, sizes: dict[str, int]) -> dict[str, float]:
    """The share of every tensor in orthonormal directions, the largest first."""
    shares = directions.square().sum(dim=0) / max(len(directions), 1)
    pieces = zip(sizes, torch.split(shares, list(sizes.values())), strict=True)
    found = {name: float(piece.sum()) for name, piece in pieces}
    return {n: x for n, x in sorted(found.items(), key=lambda item: -item[1]) if x > SEEN}
