"""Paths between two networks: functions of t in [0, 1] that give parameters."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from toroids.arguments.checked import checked_methods
from toroids.arguments.networks import check_several
from toroids.canonical.spheres import Spheres
from toroids.errors import ToroidsError
from toroids.params import Params, check_alike


class Path(Protocol):
    """A function of t in [0, 1]; t = 0 and t = 1 give the two ends exactly.

    Example:
        >>> import torch, toroids as td
        >>> def path(t: float) -> td.Params:  # any such function is one
        ...     return {"w": torch.full((2,), t**2)}
        >>> path(0.5)["w"]
        tensor([0.2500, 0.2500])
    """

    def __call__(self, t: float) -> Params:
        """Returns the parameters at `t`."""
        ...


@checked_methods
class Line:
    """The straight line (1 - t) a + t b; integer buffers keep the start's values.

    Example:
        >>> import torch, toroids as td
        >>> td.geometry.Line({"w": torch.zeros(2)}, {"w": torch.ones(2)})(0.25)
        {'w': tensor([0.2500, 0.2500])}
    """

    def __init__(self, a: Params, b: Params) -> None:
        """Joins `a` and `b`, raw or canonical.

        Raises:
            ParamsError: different architectures, or weights that are not finite.
        """
        check_alike(a, b)
        self.a, self.b = dict(a), dict(b)

    def __call__(self, t: float) -> dict[str, Tensor]:
        """Returns the parameters at `t`.

        Raises:
            ToroidsError: `t` is outside [0, 1].
        """
        check_time(t)
        return {name: straight(tensor, self.b[name], t) for name, tensor in self.a.items()}


@checked_methods
class Geodesic:
    """The shortest path on the toroid: every sphere moves on its great circle at constant speed.

    With theta the angle between u and v,

        u(t) = [sin((1 - t) theta) u + sin(t theta) v] / sin(theta),

    written with sinc(x) = sin(x) / x, which has no singularity at theta = 0. Flat coordinates, zero
    units and floating buffers move on a straight line; integer buffers keep the start's values.

    Example:
        >>> import toroids as td
        >>> models = [td.models.fully_connected([4, 8, 3], seed=seed).double() for seed in (0, 1)]
        >>> a, b = (model.state_dict() for model in models)
        >>> group = td.symmetry.fully_connected_group(a)
        >>> alignment = td.align(group, b, to=a)
        >>> toroid = td.Toroid(group)
        >>> path = toroid.geodesic(alignment.reference, alignment.params)
        >>> half = toroid.distance(path(0.0), path(0.5))
        >>> abs(half - toroid.distance(path(0.0), path(1.0)) / 2) < 1e-9
        True
    """

    def __init__(
        self,
        a: Params,
        b: Params,
        spheres: Sequence[Spheres],
        angles: Sequence[Tensor],
        flat: Mapping[str, Tensor],
        tied: Mapping[str, str],
    ) -> None:
        """Joins two canonical networks; use `Toroid.geodesic`, which checks them.

        Args:
            a: the start, canonical.
            b: the end, canonical.
            spheres: the families of spheres that are curved.
            angles: for every family, the angles between corresponding units, in radians.
            flat: by tensor that has curved coordinates, 1 where it is flat and 0 elsewhere.
            tied: names that follow another tensor.
        """
        self.a, self.b = dict(a), dict(b)
        self._spheres = [
            (family, torch.where((family.norms(a) > 0) & (family.norms(b) > 0), angle, 0.0))
            for family, angle in zip(spheres, angles, strict=True)
        ]
        self._flat, self._tied = flat, tied

    def __call__(self, t: float) -> dict[str, Tensor]:
        """Returns the parameters at `t`.

        Raises:
            ToroidsError: `t` is outside [0, 1].
        """
        check_time(t)
        starts = {name: mask * (1 - t) for name, mask in self._flat.items()}
        ends = {name: mask * t for name, mask in self._flat.items()}
        for family, theta in self._spheres:
            for shares, share in ((starts, _share(1 - t, theta)), (ends, _share(t, theta))):
                for name, part in family.spread(share, self.a).items():
                    shares[name] = shares[name] + part if name in shares else part
        point = {
            name: (tensor * starts[name] + self.b[name] * ends[name]).to(tensor.dtype)
            if name in starts
            else straight(tensor, self.b[name], t)
            for name, tensor in self.a.items()
        }
        return {name: point[self._tied.get(name, name)] for name in point}


# Makes a path of two networks.
Join: TypeAlias = Callable[[Params, Params], Path]


@checked_methods
class Polyline:
    """Segments through several networks, each of which takes the same share of t.

    Attributes:
        points: the networks, in order.
        a: the first of them.
        b: the last.

    Example:
        >>> import torch, toroids as td
        >>> a, b, c = ({"w": torch.tensor([float(x)])} for x in (0, 1, 0))
        >>> bend = td.geometry.Polyline([a, b, c])
        >>> bend(0.5), bend(0.75)
        ({'w': tensor([1.])}, {'w': tensor([0.5000])})
    """

    def __init__(self, points: Sequence[Params], join: Join = Line) -> None:
        """Joins the networks one after the other.

        Args:
            points: two or more networks.
            join: what makes a path of two networks, as `Line` or the `geodesic` of a toroid.

        Raises:
            ToroidsError: fewer than two networks.
            ParamsError: different architectures, or weights that are not finite.
        """
        check_several(points, 2, "networks of a polyline")
        if not callable(join):
            raise ToroidsError(
                f"join is a {type(join).__name__}; pass what makes a path of two networks, as "
                "td.geometry.Line or toroid.geodesic."
            )
        self.points = [dict(point) for point in points]
        self.a, self.b = self.points[0], self.points[-1]
        self._segments = [join(a, b) for a, b in pairwise(self.points)]

    def __call__(self, t: float) -> Params:
        """Returns the parameters at `t`.

        Raises:
            ToroidsError: `t` is outside [0, 1].
        """
        check_time(t)
        place = t * len(self._segments)
        number = min(int(place), len(self._segments) - 1)
        return self._segments[number](min(place - number, 1.0))


def flat_masks(
    spheres: Sequence[Spheres], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Marks flat coordinates in tensors that have curved ones: 1 where flat, to broadcast."""
    like = {name: torch.empty(shapes[name], device="meta") for f in spheres for name in f.tensors}
    masks: dict[str, Tensor] = {}
    for family in spheres:
        for name, curved in family.spread(torch.ones(family.count), like).items():
            masks[name] = masks[name] - curved if name in masks else 1 - curved
    return masks


def _share(t: float, theta: Tensor) -> Tensor:
    """Computes sin(t theta) / sin(theta), which is t at theta = 0; theta in [0, pi)."""
    # torch.sinc(x) is sin(pi x) / (pi x); both ends give exactly 0 and 1.
    return t * torch.sinc(t * theta / torch.pi) / torch.sinc(theta / torch.pi)


def straight(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Interpolates floating tensors linearly and keeps `a` where they are integers."""
    if not a.is_floating_point():
        return a
    if t in (0, 1):  # an infinity times zero is no number
        return (b if t else a).clone()
    return a * (1 - t) + b * t


def check_time(t: float) -> None:
    """Raises unless `t` is in [0, 1]."""
    if not 0 <= t <= 1:
        raise ToroidsError(f"a path runs from t = 0 to t = 1, got t = {t}.")
