"""The toroid: the product of spheres and flat directions on which canonical networks live.

On a sphere of radius one the distance of u and v is theta = 2 atan2(||u - v||, ||u + v||), accurate
at every angle, where acos loses half of the digits near zero. On the product,

    d(a, b)^2 = sum over spheres of theta^2 + squared Euclidean distance of the flat coordinates.
"""

import math

import torch
from torch import Tensor

from toroids.canonical.spheres import Spheres, hidden_spheres, output_sphere
from toroids.errors import ParamsError
from toroids.geometry.paths import Geodesic
from toroids.params import Params, check_placed_alike, precise
from toroids.symmetry.group import SymmetryGroup

FLAT = "flat"


class Toroid:
    """The product manifold of an architecture's canonical networks."""

    def __init__(self, group: SymmetryGroup, bias: bool = True) -> None:
        """Builds the manifold of `group`.

        Args:
            group: the architecture's symmetry group.
            bias: whether biases are coordinates of the spheres, as in `canonicalize`.
        """
        self.group = group
        output = output_sphere(group)
        families = [*hidden_spheres(group, bias), *([output] if output else [])]
        # A sphere with one coordinate is two points, not a curve: its coordinate counts as flat.
        self.spheres = [family for family in families if family.coordinates(group.shapes) > 1]
        curved = {name for family in self.spheres for name in family.axes}
        self.flat = [name for name in group.parameters if name not in curved]

    def check(self, params: Params, what: str = "the parameters") -> None:
        """Raises unless `params` is canonical; it is never normalised silently.

        Args:
            params: parameters and buffers by name.
            what: how the message calls them.

        Raises:
            ParamsError: not of this architecture, not finite, or not on the toroid.
        """
        self.group.check(params, what)
        for family in self.spheres:
            norms = family.norms(params)
            # Rounding of a norm stays far below the square root of the precision.
            tolerance = math.sqrt(max(torch.finfo(params[n].dtype).eps for n in family.axes))
            off = ((norms - 1).abs() > tolerance) & (norms > 0)
            if bool(off.any()):
                unit = int(off.nonzero()[0])
                raise ParamsError(
                    f"unit {unit} of `{family.name}` in {what} has norm {norms[unit].item():.9g}, "
                    "expected 1; pass what canonicalize returns, with the same bias=."
                )
        if self.group.output.mode != "values":
            self._check_centred(params, what)

    def _check_centred(self, params: Params, what: str) -> None:
        for leg in self.group.output.legs:
            tensor = precise(params[leg.tensor])
            sizes = tensor.abs().sum(dim=leg.axis)
            tolerance = math.sqrt(torch.finfo(params[leg.tensor].dtype).eps)
            if bool((tensor.sum(dim=leg.axis).abs() > tolerance * sizes).any()):
                raise ParamsError(
                    f"`{leg.tensor}` in {what} does not sum to zero over the classes; "
                    "pass what canonicalize returns."
                )

    def angles(self, a: Params, b: Params) -> dict[str, Tensor]:
        """Computes the angle between corresponding units.

        Args:
            a: a canonical network.
            b: another one.

        Returns:
            For every family of spheres, by name, angles of shape (spheres,) in radians, in
            [0, pi]. A unit of zero norm is on no sphere: what stands for its angle is the
            Euclidean distance, the length of the straight line on which the geodesic moves it.

        Raises:
            ParamsError: `a` or `b` is not canonical.
        """
        self.check(a, "the first network")
        self.check(b, "the second network")
        check_placed_alike(a, b)
        return {family.name: angle(family, a, b) for family in self.spheres}

    def distances(self, a: Params, b: Params) -> dict[str, float]:
        """Computes the distance within every factor of the product.

        Args:
            a: a canonical network.
            b: another one.

        Returns:
            In radians by space, "output" included, and the Euclidean distance of the flat
            coordinates as "flat" where there are any.

        Raises:
            ParamsError: `a` or `b` is not canonical.
        """
        distances = {
            name: theta.square().sum().sqrt().item() for name, theta in self.angles(a, b).items()
        }
        if self.flat:
            squares = [(precise(a[name]) - precise(b[name])).square().sum() for name in self.flat]
            distances[FLAT] = torch.stack(squares).sum().sqrt().item()
        return distances

    def distance(self, a: Params, b: Params) -> float:
        """Computes the length of the geodesic from `a` to `b`.

        Symmetric, zero only at equality, and invariant under permutations that act on both.

        Args:
            a: a canonical network.
            b: another one.

        Returns:
            sqrt(sum of squared angles, in radians, plus the squared flat distance).

        Raises:
            ParamsError: `a` or `b` is not canonical.

        Example:
            >>> import toroids as td
            >>> model = td.models.fully_connected([4, 8, 3], seed=0).double()
            >>> group = td.fully_connected_group(model.state_dict(), output="classifier")
            >>> a = td.canonicalize(group, model.state_dict())
            >>> td.Toroid(group).distance(a, a)
            0.0
        """
        return math.hypot(*self.distances(a, b).values())

    def mean_angle(self, a: Params, b: Params) -> float:
        """Computes a distance that can be compared across widths.

        Args:
            a: a canonical network.
            b: another one.

        Returns:
            The root of the sum over spaces of the mean squared angle of their units, in radians.

        Raises:
            ParamsError: `a` or `b` is not canonical.
        """
        angles = self.angles(a, b).values()
        return math.sqrt(sum(theta.square().mean().item() for theta in angles))

    def geodesic(self, a: Params, b: Params) -> Geodesic:
        """Returns the shortest path from `a` (t = 0) to `b` (t = 1).

        Raises:
            ParamsError: `a` or `b` is not canonical, or two units are antipodal, so that no
                shortest path is distinguished.
        """
        angles = self.angles(a, b)
        for family in self.spheres:
            # sin(theta) divides the geodesic: beyond this, rounding would pick the great circle.
            eps = max(torch.finfo(a[name].dtype).eps for name in family.axes)
            limit = math.pi - math.sqrt(eps)
            antipodal = angles[family.name] > limit
            if bool(antipodal.any()):
                raise ParamsError(
                    f"unit {int(antipodal.nonzero()[0])} of `{family.name}` is antipodal in the "
                    "two networks: no geodesic is the shortest; move one of them slightly."
                )
        return Geodesic(a, b, self.spheres, angles)


def angle(family: Spheres, a: Params, b: Params) -> Tensor:
    """Computes 2 atan2(||u - v||, ||u + v||) for every sphere of `family`; shape (spheres,)."""
    exact = {name: (precise(a[name]), precise(b[name])) for name in family.axes}
    difference = family.norms({name: u - v for name, (u, v) in exact.items()})
    total = family.norms({name: u + v for name, (u, v) in exact.items()})
    on_spheres = (family.norms(a) > 0) & (family.norms(b) > 0)
    return torch.where(on_spheres, 2 * torch.atan2(difference, total), difference)
