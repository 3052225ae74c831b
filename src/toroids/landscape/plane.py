"""The plane through three networks, in true distances, and a grid of lines through them.

With e1 the unit vector along b - a and e2 that of the rest of c - a, orthogonal to e1,

    a = (0, 0),    b = (|b - a|, 0),    c = (<c - a, e1>, |c - a - <c - a, e1> e1|),

and the point (x, y) is the combination (1 - u - v) a + u b + v c whose weights sum to one,
v = y / c_y and u = (x - v c_x) / |b - a|, which needs neither e1 nor e2.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from toroids.errors import ToroidsError
from toroids.params import PIECE, Params, computing, precise, rounding_of

_PASS = "pass three networks that span a plane, or take the profile of a Line"

# Sums in float64 leave this much of an offset that is zero, relative to the distances.
ROUNDING = 1e-12
# The height of a triangle, relative to its longer side from a, below which it can be rounding.
FLAT = 0.01


class Plane:
    """A function of true distances (x, y) that gives parameters; the three networks are exact."""

    def __init__(self, a: Params, b: Params, c: Params, names: Iterable[str]) -> None:
        """Finds the coordinates of the three networks.

        Args:
            a: the origin.
            b: on the first axis.
            c: above it.
            names: the parameters that count in distances, tied ones once.

        Raises:
            ToroidsError: two networks are the same, or all three lie on one line, up to the
                rounding of their precision.
        """
        self._networks = (dict(a), dict(b), dict(c))
        # What is the same in all three, or an integer, is the same everywhere.
        self._moving = {
            name: (tensor.detach(), b[name].detach(), c[name].detach())
            for name, tensor in a.items()
            if tensor.is_floating_point()
            and not (torch.equal(tensor, b[name]) and torch.equal(tensor, c[name]))
        }
        self.points = self._coordinates([n for n in names if a[n].is_floating_point()])

    def _coordinates(self, names: list[str]) -> Tensor:
        sizes, across = 0.0, 0.0
        squares = dict.fromkeys(("a and b", "a and c", "b and c"), 0.0)
        for a, b, c in self._pieces(names):
            sizes += float(a @ a + b @ b + c @ c)
            across += float((b - a) @ (c - a))
            for pair, step in zip(squares, (b - a, c - a, c - b), strict=True):
                squares[pair] += float(step @ step)
        for pair, square in squares.items():
            if not math.isfinite(square):
                raise ToroidsError(
                    f"networks {pair} are too far apart for their distance to be a number; pass "
                    "three networks of weights that are near 1 in size."
                )
            if square == 0:
                raise ToroidsError(f"networks {pair} have the same parameters; {_PASS}.")
        base, side = math.sqrt(squares["a and b"]), math.sqrt(squares["a and c"])
        share = across / squares["a and b"]
        # Once more: side^2 - foot^2 would lose half of the digits of a low triangle.
        height = math.sqrt(
            sum(float((c - a - share * (b - a)).square().sum()) for a, b, c in self._pieces(names))
        )
        # A point of the line through a and b is off it by one or two roundings of every entry. In
        # narrow types that can be as much as networks differ, so that the shape has to agree.
        rounding = rounding_of(self._networks[0][name] for name in names)
        flat = min(rounding * math.sqrt(sizes), FLAT * max(base, side))
        if height <= max(flat, ROUNDING * side):
            raise ToroidsError(
                f"the three networks lie on one line (c is {height:.3g} away from that through a "
                f"and b, which are {base:.3g} apart); {_PASS}."
            )
        foot = share * base
        for end in (0.0, base):
            if abs(foot - end) <= ROUNDING * max(base, side):
                foot = end
        return torch.tensor([[0, 0], [base, 0], [foot, height]], dtype=torch.float64)

    def _pieces(self, names: list[str]) -> Iterator[list[Tensor]]:
        """Yields the parameters of the three networks side by side, in float64."""
        for name in names:
            parts = (torch.split(x[name].detach().reshape(-1), PIECE) for x in self._networks)
            for piece in zip(*parts, strict=True):
                yield [precise(part) for part in piece]

    def shares(self, x: float, y: float) -> tuple[float, float, float]:
        """Computes the weights of a, b and c at a point; they sum to one."""
        _, (base, _), (foot, height) = self.points.tolist()
        v = y / height
        u = (x - v * foot) / base
        return 1 - u - v, u, v

    @property
    def away(self) -> Tensor:
        """Distances of the three networks from the plane: none."""
        return torch.zeros(3, dtype=torch.float64)

    @property
    def explained(self) -> Tensor:
        """Shares of the squared distances from a that lie along the axes."""
        squares = self.points.square().sum(dim=0)
        return squares / squares.sum()

    def through(self, axis: int) -> list[float]:
        """Positions along an axis through which lines of a grid go."""
        found: list[float] = self.points[:, axis].tolist()
        return found

    def network_at(self, x: float, y: float) -> int | None:
        """Finds which of the three networks, 0 to 2, lies at a point, if any."""
        places = [tuple(place) for place in self.points.tolist()]
        return places.index((x, y)) if (x, y) in places else None

    def __call__(self, x: float, y: float) -> dict[str, Tensor]:
        """Returns the parameters at a point; where a network lies, its own tensors."""
        number = self.network_at(x, y)
        if number is not None:
            return dict(self._networks[number])
        of_a, of_b, of_c = self.shares(x, y)
        point = dict(self._networks[0])
        for name, (a, b, c) in self._moving.items():
            kind = computing(a)
            mixed = a.to(kind) * of_a
            mixed.add_(b.to(kind), alpha=of_b).add_(c.to(kind), alpha=of_c)
            point[name] = mixed.to(a.dtype)
        return point


def lines(through: Iterable[float], count: int, margin: float) -> Tensor:
    """Places the lines of a grid along one axis.

    They are equally spaced but for those nearest to a position in `through`, which are moved there;
    where one line is the nearest to two positions, a line is added.

    Args:
        through: positions that lie on a line.
        count: lines before any is added, at least 2.
        margin: how far the grid goes beyond the outermost positions, relative to their distance.

    Returns:
        Increasing positions in float64.
    """
    fixed = sorted(set(through))
    beyond = margin * (fixed[-1] - fixed[0])
    first, last = fixed[0] - beyond, fixed[-1] + beyond
    places = torch.linspace(first, last, count, dtype=torch.float64)
    moved: dict[int, float] = {}
    added = []
    for position in fixed:
        nearest = int((places - position).abs().argmin())
        if nearest in moved:
            added.append(position)
        else:
            moved[nearest] = position
    kept = [moved.get(number, place) for number, place in enumerate(places.tolist())]
    return torch.tensor(sorted(kept + added), dtype=torch.float64)
