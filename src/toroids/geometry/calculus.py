"""Geodesics, tangents and projections on a product of spheres and flat directions, without checks.

On a sphere, with theta the angle of u and v and w a tangent at u:

    log(u, v) = theta / sin(theta) (v - cos(theta) u)
    exp(u, w) = cos(||w||) u + sin(||w||) w / ||w||
    transport of w to v = w - <v, w> / (1 + <u, v>) (u + v)

Flat coordinates are those of a vector space. A unit of zero norm is on no sphere, and flat.
"""

import math
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from toroids.canonical.output import centre_output
from toroids.canonical.plan import Plan
from toroids.canonical.shifts import remove_shifts
from toroids.canonical.spheres import Spheres
from toroids.checkpoint import store
from toroids.errors import ParamsError
from toroids.geometry.paths import flat_masks
from toroids.params import Params, computing, inner_product, precise, rounding_of
from toroids.symmetry.units import along, entries_per_unit


class Calculus:
    """What points and tangents of one toroid do; they are trusted to be on it."""

    def __init__(self, plan: Plan, fixed: Mapping[str, float]) -> None:
        """Prepares the manifold of a plan; `fixed` tensors are constant on it."""
        self.plan, self.group, self.spheres = plan, plan.group, plan.spheres
        self._fixed = fixed
        self._masks = flat_masks(self.spheres, self.group.shapes)

    def angles(self, a: Params, b: Params) -> list[Tensor]:
        """Computes the angles of corresponding units, one tensor per family of spheres."""
        return [angle(family, a, b) for family in self.spheres]

    def angles_apart(self, a: Params, b: Params) -> list[Tensor]:
        """Computes the angles, and refuses antipodal units."""
        angles = self.angles(a, b)
        for family, theta in zip(self.spheres, angles, strict=True):
            # sin(theta) divides the geodesic: beyond this, rounding would pick the great circle.
            antipodal = theta > math.pi - rounding(family.tensors, a)
            if bool(antipodal.any()):
                raise ParamsError(
                    f"unit {int(antipodal.nonzero()[0])} of `{family.name}` is antipodal in the "
                    "two networks: no geodesic is the shortest; move one of them slightly."
                )
        return angles

    def log(self, a: Params, b: Params) -> dict[str, Tensor]:
        """Sums theta / sin(theta) ((v - u) + 2 sin^2(theta / 2) u), which keeps its digits."""
        towards: dict[str, Tensor] = {}
        outwards: dict[str, Tensor] = {}
        for family, angle_ in zip(self.spheres, self.angles_apart(a, b), strict=True):
            on_spheres = (family.norms(a) > 0) & (family.norms(b) > 0)
            theta = torch.where(on_spheres, angle_, 0.0)
            factor = 1 / torch.sinc(theta / torch.pi)
            add_parts(towards, family.spread(factor, a))
            add_parts(outwards, family.spread(2 * factor * (theta / 2).sin().square(), a))
        masks = self.flat_masks(a)
        tangent = {}
        for name in self.group.parameters:
            step = b[name].to(computing(b[name])) - a[name]
            if name in towards:
                step = step * (towards[name] + masks[name]) + a[name] * outwards[name]
            tangent[name] = step.to(a[name].dtype)
        return tangent

    def exp(self, a: Params, tangent: Params) -> dict[str, Tensor]:
        """Walks along a tangent; buffers stay, tied tensors follow."""
        masks = self.flat_masks(a)
        stays, goes = dict(masks), dict(masks)
        for family in self.spheres:
            curved = family.norms(a) > 0
            length = torch.where(curved, family.norms(tangent), 0.0)
            add_parts(stays, family.spread(length.cos(), a))
            add_parts(goes, family.spread(torch.sinc(length / torch.pi), a))
        point = dict(a)
        for name in self.group.parameters:
            if name in stays:
                moved = a[name] * stays[name] + tangent[name] * goes[name]
                point[name] = moved.to(a[name].dtype)
            else:
                point[name] = a[name] + tangent[name]
        return {name: point[self.group.tied.get(name, name)] for name in point}

    def project(self, params: Params, scratch: str | Path | None = None) -> dict[str, Tensor]:
        """Moves parameters to the nearest point, which is mapped from files of `scratch` if any."""
        point = store(params, scratch)
        self._zero(point)
        for name, value in self._fixed.items():
            point[name] = torch.full_like(point[name], value)
        masks = self.flat_masks(params)
        for family in self.spheres:
            norms = family.norms(point)
            add_parts(masks, family.spread(1 / torch.where(norms > 0, norms, 1.0), point))
        for name, factors in masks.items():
            here = point[name]
            point[name] = (here * factors).to(here.dtype)
        for name in point.keys() - masks.keys() if scratch is not None else ():
            point[name] = point[name]  # into a file, where it is computed when asked for
        return {name: point[self.group.tied.get(name, name)] for name in point}

    def project_tangent(self, a: Params, vector: Params) -> dict[str, Tensor]:
        """Removes from a vector what leaves the manifold at `a`."""
        flat = {**a, **vector}
        self._zero(flat)
        tangent = {name: flat[name] for name in self.group.parameters}
        for name in self._fixed.keys() & tangent.keys():
            tangent[name] = torch.zeros_like(tangent[name])
        outwards: dict[str, Tensor] = {}
        for family in self.spheres:
            add_parts(outwards, family.spread(family.dot(a, tangent), a))
        for name, factors in outwards.items():
            tangent[name] = (tangent[name] - a[name] * factors).to(a[name].dtype)
        return tangent

    def freedom(self, a: Params) -> dict[str, Tensor]:
        """The diagonal of `project_tangent` as a matrix: 1 - 1/n in a mean of n, 1 - u_i^2."""
        free = {name: torch.ones_like(precise(a[name])) for name in self.group.parameters}
        for leg in self.group.output.legs if self.group.output.mode != "values" else ():
            free[leg.tensor] *= 1 - 1 / a[leg.tensor].shape[leg.axis]
        for pivot in self.plan.shifts:
            (leg,), units = pivot.legs, pivot.space.copies * pivot.space.size
            tensor = free[leg.tensor]
            share = 1 / entries_per_unit(tuple(tensor.shape), leg, units)
            free[leg.tensor] = tensor - along(tensor.new_full((units,), share), tensor, leg, 0.0)
        for name in self._fixed.keys() & free.keys():
            free[name].zero_()
        for family in self.spheres:
            for name, curved in family.spread(torch.ones_like(family.norms(a)), a).items():
                free[name] = free[name] - curved * precise(a[name]).square()
        return free

    def transport(self, a: Params, b: Params, tangent: Params) -> dict[str, Tensor]:
        """Carries a tangent from `a` to `b`, parallel along the geodesic."""
        turns: dict[str, Tensor] = {}
        for family, theta in zip(self.spheres, self.angles_apart(a, b), strict=True):
            on_spheres = (family.norms(a) > 0) & (family.norms(b) > 0)
            cosine = torch.where(on_spheres, theta, 0.0).cos()
            turn = torch.where(on_spheres, family.dot(b, tangent) / (1 + cosine), 0.0)
            add_parts(turns, family.spread(turn, a))
        return {
            name: (tangent[name] - (a[name] + b[name]) * turns[name]).to(a[name].dtype)
            if name in turns
            else tangent[name]
            for name in self.group.parameters
        }

    def inner(self, first: Params, second: Params) -> float:
        """Computes the inner product of two tangents at the same point."""
        return inner_product(first, second, self.group.parameters)

    def _zero(self, point: MutableMapping[str, Tensor]) -> None:
        """Sets to zero what is zero on the toroid; buffers do not follow."""
        centre_output(self.group, point)
        remove_shifts(self.plan, point, pivots_only=True)

    def flat_masks(self, like: Params) -> dict[str, Tensor]:
        """1 at the flat coordinates of every tensor that has curved ones, to broadcast."""
        return {
            name: mask.to(like[name].device, computing(like[name]))
            for name, mask in self._masks.items()
        }


def angle(family: Spheres, a: Params, b: Params) -> Tensor:
    """Computes 2 atan2(||u - v||, ||u + v||) for every sphere of `family`; shape (spheres,)."""
    wide = {n: (a[n].to(computing(a[n])), b[n].to(computing(b[n]))) for n in family.tensors}
    difference = family.norms({name: u - v for name, (u, v) in wide.items()})
    total = family.norms({name: u + v for name, (u, v) in wide.items()})
    on_spheres = (family.norms(a) > 0) & (family.norms(b) > 0)
    return torch.where(on_spheres, 2 * torch.atan2(difference, total), difference)


def add_parts(totals: dict[str, Tensor], parts: Params) -> None:
    """Adds tensors by name to running totals."""
    for name, part in parts.items():
        totals[name] = totals[name] + part if name in totals else part


def rounding(names: Sequence[str], params: Params) -> float:
    """The square root of the precision: what rounding does to a norm stays far below it."""
    return math.sqrt(rounding_of(params[name] for name in names))
