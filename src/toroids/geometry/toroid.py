"""The toroid: the product of spheres and flat directions on which canonical networks live.

On a sphere of radius one the distance of u and v is theta = 2 atan2(||u - v||, ||u + v||), accurate
at every angle, where acos loses half of the digits near zero. On the product,

    d(a, b)^2 = sum over spheres of theta^2 + squared Euclidean distance of the flat coordinates.

What canonicalize sets to zero, as a key's bias or the mean over the classes, stays zero on the
toroid. Weights on which matrices act are flat: they are balanced once, and paths do not balance
them again, so that the points of a path are not checked for it.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from toroids.arguments.checked import checked_methods
from toroids.arguments.networks import check_several
from toroids.canonical.batch_norm import folding
from toroids.canonical.form import CanonicalParams, moved_weights
from toroids.canonical.plan import Plan
from toroids.canonical.shifts import pivot_means
from toroids.errors import ParamsError, ToroidsError
from toroids.geometry.calculus import Calculus, rounding
from toroids.geometry.mean import KarcherMean, karcher_mean
from toroids.geometry.paths import Geodesic
from toroids.params import (
    Params,
    check_floating,
    check_named,
    check_placed_alike,
    computing,
    precise,
    products,
)
from toroids.symmetry.group import SymmetryGroup

FLAT = "flat"
ROUNDED = 16.0  # how many roundings a length takes


@checked_methods
class Toroid:
    """The product manifold of an architecture's canonical networks.

    Attributes:
        group: of its networks, without the batch norms that are folded.
        given: the group that it was built of.
        bias: as it was asked for.
        batch_norm: as it was asked for.

    Example:
        >>> import toroids as td
        >>> models = [td.models.fully_connected([4, 8, 3], seed=seed).double() for seed in (0, 1)]
        >>> a, b = (model.state_dict() for model in models)
        >>> group = td.symmetry.fully_connected_group(a)
        >>> a, b = (td.canonicalize(group, network) for network in (a, b))
        >>> toroid = td.Toroid(group)
        >>> toroid.distance(toroid.exp(a, toroid.log(a, b)), b) < 1e-9 < toroid.distance(a, b)
        True
        >>> list(toroid.distances(a, b))
        ['hidden1', 'flat']
    """

    def __init__(self, group: SymmetryGroup, bias: bool = True, batch_norm: str = "keep") -> None:
        """Builds the manifold of `group`.

        Args:
            group: the architecture's symmetry group.
            bias: whether biases are coordinates of the spheres, as in `canonicalize`.
            batch_norm: "keep" or "fold", as in `canonicalize`.

        Raises:
            ToroidsError: another batch_norm.
        """
        folded = folding(group, batch_norm)
        self.given, self.bias, self.batch_norm = group, bias, batch_norm
        self.group = folded.group if folded else group
        self.plan = Plan(self.group, bias)
        self.spheres = self.plan.spheres
        self._calculus = Calculus(self.plan, folded.fixed if folded else {})

    def check(self, params: Params, what: str = "the parameters") -> None:
        """Raises unless `params` is canonical; it is never normalised silently.

        Args:
            params: parameters and buffers by name.
            what: how the message calls them.

        Raises:
            ParamsError: not of this architecture, not finite, or not on the toroid.
        """
        check_floating(params, moved_weights(self.group), what)
        self.group.check(params, what)
        for family in self.spheres:
            norms = family.norms(params)
            tolerance = rounding(family.tensors, params)
            off = ((norms - 1).abs() > tolerance) & (norms > 0)
            if bool(off.any()):
                unit = int(off.nonzero()[0])
                raise ParamsError(
                    f"unit {unit} of `{family.name}` in {what} has norm {norms[unit].item():.9g}, "
                    "expected 1; pass what canonicalize returns, with the same bias= and "
                    "batch_norm=."
                )
        self._check_zeros(params, what)

    def _check_zeros(self, params: Params, what: str) -> None:
        if self.group.output.mode != "values":
            for leg in self.group.output.legs:
                tensor = precise(params[leg.tensor])
                sizes = tensor.abs().sum(dim=leg.axis)
                tolerance = rounding((leg.tensor,), params)
                if bool((tensor.sum(dim=leg.axis).abs() > tolerance * sizes).any()):
                    raise ParamsError(
                        f"`{leg.tensor}` in {what} does not sum to zero over the classes; "
                        "pass what canonicalize returns."
                    )
        for space in self.group.spaces:
            for leg in (space.legs[gain] for gain in space.gains if gain is not None):
                gains = precise(params[leg.tensor]) + leg.offset
                tolerance = rounding((leg.tensor,), params)
                if bool((((gains.abs() - 1).abs() > tolerance) & (gains != 0)).any()):
                    raise ParamsError(
                        f"`{leg.tensor}` in {what} holds gains that are not one, though "
                        f"`{space.name}` rotates; pass what canonicalize returns."
                    )
        for pivot in self.plan.shifts:
            (leg,) = pivot.legs
            means, sizes = pivot_means(pivot, params)
            if bool((means.abs() > rounding((leg.tensor,), params) * sizes).any()):
                raise ParamsError(
                    f"`{leg.tensor}` in {what} holds a shift that the network cannot see, and "
                    "canonicalize sets to zero; pass what canonicalize returns."
                )

    def _check_two(self, a: Params, b: Params) -> None:
        self.check(a, "the first network")
        self.check(b, "the second network")
        check_placed_alike(a, b)

    def angles(self, a: Params, b: Params) -> list[Tensor]:
        """Computes the angle between corresponding units.

        Args:
            a: a canonical network.
            b: another one.

        Returns:
            For every family in `spheres`, angles of shape (spheres,) in radians, in [0, pi]. A
            unit of zero norm is on no sphere: what stands for its angle is the Euclidean distance,
            the length of the straight line on which the geodesic moves it.

        Raises:
            ParamsError: `a` or `b` is not canonical.
        """
        self._check_two(a, b)
        return self._calculus.angles(a, b)

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
        squares: dict[str, float] = {}
        for family, theta in zip(self.spheres, self.angles(a, b), strict=True):
            length = theta.square().sum().item()
            squares[family.space] = squares.get(family.space, 0.0) + length
        masks = self._calculus.flat_masks(a)
        for name in self.group.parameters:
            mask = masks.get(name)
            if mask is None:
                length = products(a, b, [name]).step
            elif bool(mask.any()):
                step = b[name].to(computing(b[name])) - a[name]
                length = _square(step * mask).item()
            else:
                continue
            squares[FLAT] = squares.get(FLAT, 0.0) + length
        return {name: math.sqrt(square) for name, square in squares.items()}

    def distance(self, a: Params, b: Params) -> float:
        """Computes the length of the geodesic from `a` to `b`.

        Symmetric, zero only at equality, and invariant under permutations, signs and orthogonal
        matrices that act on both.

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
            >>> group = td.symmetry.fully_connected_group(model.state_dict(), output="classifier")
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
            The root of the sum over spaces of the mean squared angle of their spheres, in radians.

        Raises:
            ParamsError: `a` or `b` is not canonical.
        """
        by_space: dict[str, list[Tensor]] = {}
        for family, theta in zip(self.spheres, self.angles(a, b), strict=True):
            by_space.setdefault(family.space, []).append(theta)
        means = [torch.cat(angles).square().mean().item() for angles in by_space.values()]
        return math.sqrt(sum(means))

    def measures(self, a: Params, b: Params) -> dict[str, float]:
        """Computes how far apart two networks are in every measure there is, by name.

        Args:
            a: a canonical network.
            b: another one.

        Returns:
            "distance", the length of the geodesic, and "mean_angle", both in radians.

        Raises:
            ParamsError: `a` or `b` is not canonical.
        """
        return {"distance": self.distance(a, b), "mean_angle": self.mean_angle(a, b)}

    def geodesic(self, a: Params, b: Params) -> Geodesic:
        """Returns the shortest path from `a` (t = 0) to `b` (t = 1).

        Raises:
            ParamsError: `a` or `b` is not canonical, or two units are antipodal, so that no
                shortest path is distinguished.
        """
        self._check_two(a, b)
        angles = self._calculus.angles_apart(a, b)
        return Geodesic(a, b, self.spheres, angles, self._calculus.flat_masks(a), self.group.tied)

    def log(self, a: Params, b: Params) -> dict[str, Tensor]:
        """Computes the tangent at `a` that points to `b` and is as long as their distance.

        Args:
            a: a canonical network.
            b: another one.

        Returns:
            For every parameter a tensor of its shape; buffers and tied copies have no tangent.
            exp(a, log(a, b)) is b.

        Raises:
            ParamsError: `a` or `b` is not canonical, or two units are antipodal.
        """
        self._check_two(a, b)
        return self._calculus.log(a, b)

    def exp(self, a: Params, tangent: Params) -> CanonicalParams:
        """Walks from `a` along the geodesic that starts with `tangent`, for as long as it is.

        Args:
            a: a canonical network.
            tangent: a tangent at `a`, as `log`, `random_tangent` and `project_tangent` give.

        Returns:
            The network at the end, with the buffers of `a`.

        Raises:
            ParamsError: `a` is not canonical, or `tangent` is not one at `a`.
        """
        self.check(a, "the network")
        self._check_tangent(a, tangent)
        return CanonicalParams(self._calculus.exp(a, tangent), ())

    def project(self, params: Params, *, scratch: str | Path | None = None) -> CanonicalParams:
        """Moves parameters to the nearest point of the toroid.

        This changes the function that a network computes, where canonicalize does not.

        Args:
            params: parameters and buffers, usually near the toroid, as an average is.
            scratch: a folder on a disk for the result, as in `canonicalize`.

        Returns:
            Spheres normalised, and zero what is zero on the toroid.

        Raises:
            ParamsError: not of this architecture or not finite.
        """
        self.group.check(params)
        check_floating(params, self.group.parameters)
        return CanonicalParams(self._calculus.project(params, scratch), ())

    def project_tangent(self, a: Params, vector: Params) -> dict[str, Tensor]:
        """Removes from `vector` what leaves the toroid at `a`.

        Args:
            a: a canonical network.
            vector: for every parameter a tensor of its shape; other names are left out.

        Returns:
            The nearest tangent at `a`.

        Raises:
            ParamsError: `a` is not canonical, or `vector` is not of its shapes.
        """
        self.check(a, "the network")
        self._check_vector(vector)
        return self._calculus.project_tangent(a, vector)

    def freedom(self, a: Params) -> dict[str, Tensor]:
        """Computes how freely every parameter moves: the diagonal of the projection on tangents.

        Args:
            a: a canonical network.

        Returns:
            For every parameter a float64 tensor of its shape, entries in [0, 1]; all of them add
            up to the number of dimensions.

        Raises:
            ParamsError: `a` is not canonical.
        """
        self.check(a, "the network")
        return self._calculus.freedom(a)

    def random_tangent(
        self, a: Params, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Draws a tangent at `a` whose coordinates are independent standard normal numbers.

        Args:
            a: a canonical network.
            generator: source of randomness on the CPU; the global one when None.

        Returns:
            For every parameter a tensor of its shape.

        Raises:
            ParamsError: `a` is not canonical.
        """
        self.check(a, "the network")
        noise = {
            name: torch.randn(a[name].shape, generator=generator, dtype=computing(a[name])).to(
                a[name]
            )
            for name in self.group.parameters
        }
        return self._calculus.project_tangent(a, noise)

    def transport(self, a: Params, b: Params, tangent: Params) -> dict[str, Tensor]:
        """Carries a tangent at `a` to `b`, parallel along the geodesic.

        On a sphere w - <v, w> / (1 + <u, v>) (u + v); flat coordinates stay. Inner products of
        tangents are kept.

        Args:
            a: a canonical network.
            b: another one.
            tangent: a tangent at `a`.

        Returns:
            The tangent at `b`.

        Raises:
            ParamsError: `a` or `b` is not canonical, two units are antipodal, or `tangent` is not
                one at `a`.
        """
        self._check_two(a, b)
        self._check_tangent(a, tangent)
        return self._calculus.transport(a, b, tangent)

    def inner(self, first: Params, second: Params) -> float:
        """Computes the inner product of two tangents at the same point.

        Args:
            first: a tangent, for every parameter a tensor of its shape.
            second: another one.

        Returns:
            Their inner product.

        Raises:
            ParamsError: a parameter is missing or has another shape.
        """
        self._check_vector(first)
        self._check_vector(second)
        return self._calculus.inner(first, second)

    def mean(
        self, networks: Sequence[Params], *, tolerance: float | None = None, iterations: int = 100
    ) -> KarcherMean:
        """Computes the Karcher mean: the point of least mean squared distance to all networks.

        Starts at the projected average and walks along the mean of the tangents to the networks.

        Args:
            networks: one or more canonical networks of equal precision and device.
            tolerance: the length of the mean tangent, relative to the root mean square distance,
                below which it has converged; the square root of the precision's epsilon when None.
            iterations: the most steps taken.

        Returns:
            The mean, which says whether it converged; floating buffers are averaged.

        Raises:
            ParamsError: a network is not canonical, or units are antipodal to the mean.
            ToroidsError: no networks, a tolerance that is not positive, or no iterations.
        """
        check_several(networks, 1)
        if tolerance is not None and not tolerance > 0 or iterations < 1:
            raise ToroidsError(
                f"the tolerance is {tolerance} and iterations is {iterations}; pass a positive "
                "number, or None, and at least 1."
            )
        for position, network in enumerate(networks):
            self.check(network, f"network {position}")
            check_placed_alike(networks[0], network)
        return karcher_mean(self._calculus, networks, tolerance, iterations)

    def _check_vector(self, vector: Params) -> None:
        check_named(vector, "the vector")
        for name in self.group.parameters:
            shape = self.group.shapes[name]
            if name not in vector or tuple(vector[name].shape) != tuple(shape):
                found = tuple(vector[name].shape) if name in vector else "nothing"
                raise ParamsError(
                    f"the vector has {found} for `{name}`, expected shape {tuple(shape)}; give "
                    "every parameter a tensor of its shape."
                )
        check_floating(vector, self.group.parameters, "the vector")

    def _check_tangent(self, a: Params, tangent: Params) -> None:
        self._check_vector(tangent)
        for family in self.spheres:
            lengths = family.norms(tangent)
            outwards = family.dot(a, tangent).abs()
            allowed = rounding(family.tensors, a)
            # that two units have lengths of one up to rounding, `log` sees as well
            off = outwards > allowed * lengths.clamp_min(ROUNDED * allowed)
            off = off & (family.norms(a) > 0)
            if bool(off.any()):
                unit = int(off.nonzero()[0])
                raise ParamsError(
                    f"the vector leaves the sphere of unit {unit} of `{family.name}`; pass a "
                    "tangent at this network, as project_tangent gives."
                )


def _square(tensor: Tensor) -> Tensor:
    kind = precise(tensor.new_empty(0)).dtype
    norm: Tensor = torch.linalg.vector_norm(tensor, dtype=kind)
    return norm.square()
