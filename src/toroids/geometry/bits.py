"""Where the binary weights of a network are, and paths that flip them one after another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.errors import ParamsError, ToroidsError
from toroids.geometry.paths import Path, check_time
from toroids.params import Params


@dataclass(frozen=True)
class Bits:
    """The binary weights of an architecture in one row, tensor after tensor.

    Attributes:
        shapes: of the binary tensors by name, in the order of the row.
        tied: names that follow one of them.
    """

    shapes: Mapping[str, tuple[int, ...]]
    tied: Mapping[str, str]

    @property
    def sizes(self) -> list[int]:
        """Number of weights of every tensor."""
        return [torch.Size(shape).numel() for shape in self.shapes.values()]

    def __len__(self) -> int:
        return sum(self.sizes)

    def row(self, params: Params) -> Tensor:
        """All binary weights of a network; shape (weights,)."""
        return torch.cat([params[name].detach().reshape(-1) for name in self.shapes])

    def tensors(self, row: Tensor, like: Params) -> dict[str, Tensor]:
        """The tensors of a row by name, tied names included, each of the precision in `like`."""
        parts = zip(self.shapes, torch.split(row, self.sizes), strict=True)
        found = {name: x.view(self.shapes[name]).to(like[name].dtype) for name, x in parts}
        return found | {name: found[first] for name, first in self.tied.items()}

    def check(self, params: Params, what: str) -> None:
        """Raises unless all binary weights are -1 or +1.

        Raises:
            ParamsError: names the tensor and the first other value.
        """
        for name in (*self.shapes, *self.tied):
            other = params[name].abs() != 1
            if bool(other.any()):
                value = params[name][other].flatten()[0].item()
                raise ParamsError(
                    f"`{name}` in {what} holds {value:.6g}, expected -1 or +1; pass what "
                    "canonicalize returns."
                )


class BitPath:
    """Flips the weights in which two networks differ, one after another.

    A shortest path of the hypercube; there are as many as orders. Real parameters and buffers, as
    those of batch norms, move on a path of their own.

    Attributes:
        a: the start.
        b: the end.
        order: positions in the row of all binary weights, in the order of flipping.
    """

    def __init__(
        self,
        a: Params,
        b: Params,
        bits: Bits,
        order: Tensor | None = None,
        generator: torch.Generator | None = None,
        rest: Path | None = None,
    ) -> None:
        """Joins two networks; `Hypercube.geodesic` checks them and fills in the rest.

        Args:
            a: the start, its binary weights -1 and +1.
            b: the end.
            bits: where the binary weights are.
            order: every position in which `a` and `b` differ, once; drawn uniformly when None.
            generator: source of a random order, on the CPU; seeded with 0 when None.
            rest: how everything else moves; it stays as in `a` when None.

        Raises:
            ToroidsError: the order is not one of the positions in which the two differ.
        """
        self.a, self.b, self.bits, self._rest = dict(a), dict(b), bits, rest
        self._start = bits.row(a)
        apart = (self._start != bits.row(b)).nonzero().flatten()
        if order is None:
            generator = generator or torch.Generator().manual_seed(0)
            order = apart[torch.randperm(len(apart), generator=generator).to(apart.device)]
        elif not torch.equal(order.sort().values, apart):
            raise ToroidsError(
                f"the order has {len(order)} positions; pass every one of the {len(apart)} in "
                "which the networks differ, once."
            )
        self.order = order

    def __len__(self) -> int:
        """Number of flips."""
        return len(self.order)

    def __call__(self, t: float) -> dict[str, Tensor]:
        """Returns the parameters after the first t of the flips, rounded.

        Raises:
            ToroidsError: `t` is outside [0, 1].
        """
        check_time(t)
        row = self._start.clone()
        flipped = self.order[: round(t * len(self.order))]
        row[flipped] = -row[flipped]
        others = self.a if self._rest is None else self._rest(t)
        return {**others, **self.bits.tensors(row, self.a)}


def majority(rows: Sequence[Tensor]) -> Tensor:
    """The sign of the sum of rows of -1 and +1; where it is zero, that of the first row."""
    total = torch.stack(list(rows)).sum(dim=0)
    return torch.where(total == 0, rows[0], total.sign())
