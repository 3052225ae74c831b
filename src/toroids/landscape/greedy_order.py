"""In which order to flip the weights that differ so that the error stays low.

The order grows from both ends towards the middle, in blocks. With L the loss of the corner that was
reached from an end and g its straight-through gradient, flipping weight i changes the loss to first
order by

    L(w with w_i flipped) - L(w) = -2 w_i g_i.

The estimate ranks the weights that still differ. It knows nothing of how flips act together: its
lowest ones often lie in a few units, so that blocks drawn from the better part of the ranking
compete with them, and what counts is the error that is measured.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from toroids.arguments.checked import check_fields
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.together import evaluate_many
from toroids.geometry.bit_path import BitPath
from toroids.landscape.recalibrate import between
from toroids.params import Params

# Random blocks come from this part of the ranking. On digits it gave barriers a third lower than a
# half; with blocks drawn from all weights they were nearly twice as high as without any.
SHARE = 0.25


@dataclass(frozen=True)
class Greedy:
    """Orders of flips that keep the error low.

    Attributes:
        count: how many orders; they differ by what the generator draws.
        blocks: in which the flips are made, at most one for every flip; barriers fall as they get
            smaller. On digits 200 gave a twentieth of the barriers of random orders.
        candidates: random blocks that compete with the block of the lowest estimates; without any,
            all orders are the same.

    Raises:
        ToroidsError: no blocks, or negative candidates.

    See `flip_profile` for an example.
    """

    count: int = 8
    blocks: int = 200
    candidates: int = 3

    def __post_init__(self) -> None:
        check_fields(self)
        if self.blocks < 1 or self.candidates < 0:
            raise ToroidsError(
                f"a greedy order has {self.blocks} blocks and {self.candidates} candidates; pass "
                "at least 1 block and 0 candidates."
            )


def greedy_order(
    landscape: Landscape, path: BitPath, greedy: Greedy, generator: torch.Generator
) -> Tensor:
    """Finds an order of flips with a low error on the way.

    Costs, for each block, one gradient and 1 + `candidates` evaluations.

    Args:
        landscape: on whose training data blocks are chosen.
        path: between the two ends; it gives the flips and where everything else is at a time.
        greedy: how many blocks, and how many compete.
        generator: source of random blocks, on the CPU.

    Returns:
        Positions in the row of all binary weights, for `BitPath`.
    """
    weights, flips = path.weights, len(path)
    known, ready = landscape.calibration, between(landscape)
    count = min(greedy.blocks, flips)
    corners = weights.flat(path.a), weights.flat(path.b)
    made: tuple[list[Tensor], list[Tensor]] = ([], [])  # at either end, the outermost first
    done = [0, 0]

    def network(end: int, row: Tensor, more: int = 0) -> Params:
        t = (done[end] + more) / flips
        t = 1 - t if end else t
        params: Params = {**path(t), **weights.tensors(row, path.a)}
        return ready(params) if 0 < t < 1 else params

    for step, (first, last) in enumerate(pairwise(flips * k // count for k in range(count + 1))):
        end, size = step % 2, last - first
        row, left = corners[end], (corners[0] != corners[1]).nonzero().flatten()
        blocks = [left]
        if size < len(left):
            _, gradient = known.gradient(network(end, row))
            estimate = -2 * row * weights.flat(gradient)
            blocks = _blocks(left[estimate[left].argsort()], size, greedy.candidates, generator)
        flipped = [row.index_copy(0, block, -row[block]) for block in blocks]
        best = 0
        if len(blocks) > 1:
            found = evaluate_many(known, [network(end, x, size) for x in flipped])
            best = min(range(len(found)), key=lambda k: (found[k].error, found[k].loss))
        row.copy_(flipped[best])
        made[end].append(blocks[best])
        done[end] += size
    return torch.cat([path.order[:0], *made[0], *(block.flip(0) for block in reversed(made[1]))])


def _blocks(ranked: Tensor, size: int, candidates: int, generator: torch.Generator) -> list[Tensor]:
    """The first of a ranking, and random ones of its better part."""
    better = max(size, round(SHARE * len(ranked)))
    drawn = (torch.randperm(better, generator=generator)[:size] for _ in range(candidates))
    return [ranked[:size], *(ranked[places.to(ranked.device)] for places in drawn)]
