"""Scales and matrices that depend on each other, settled together.

What a matrix does to the weights beside it changes the norm of units that the same weights write,
and the scales of those change the matrix. Setting each in turn to its own goal may run away. The
norm of all the weights, as a function of both, cannot: it is convex along geodesics, and where it
is least the matrices are known up to rotations, from wherever one starts; Kempf and Ness, The
length of vectors in representation spaces, 1979. What it falls along for ever does not count in it
and is set to norm one, at which a matrix sees its logarithm, which is convex too.
"""

import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from toroids.canonical.fixing import PATIENCE, element, fix, tolerance
from toroids.canonical.least_norm import LeastNorm, scale
from toroids.canonical.mix import is_followed, is_left, seen, sides, volume_slope
from toroids.canonical.newton import Point, minimise
from toroids.canonical.plan import Plan
from toroids.canonical.spheres import Spheres
from toroids.canonical.steps import Mix, Pivot, Scale
from toroids.params import Params, precise
from toroids.symmetry.action import move_space
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.offsets import added, offset_legs
from toroids.symmetry.space import Leg, Space

# Directions that a product does not have may take others with them: along a chain of linear maps
# one after the other, and by this round at the latest where there are few.
LAST_LOSS = 3
# Turns are cheap, and end near the minimum; from this round on Newton's method goes all the way.
TURNS = 4


class Circle:
    """The scales and matrices of a group, which depend on each other.

    Attributes:
        notes: what has no least norm.
    """

    def __init__(
        self, group: SymmetryGroup, bias: bool, params: Params, others: Sequence[Scale] = ()
    ) -> None:
        """Finds which weights of a network count in its norm.

        Args:
            group: all of whose scales and matrices are settled.
            bias: whether biases are coordinates of the spheres.
            params: the network.
            others: steps that are taken with them.
        """
        self._group, self._bias, self._others = group, bias, list(others)
        self._look(params)

    def _look(self, params: Params) -> None:
        self._least = LeastNorm(self._group, params)
        rest = Plan(self._least.rest, self._bias)
        steps = [*(step for circle in rest.scales for step in circle), *self._others]
        # matrices that stay are no coordinates: along them the norm may fall for ever
        self._steps = [x for x in steps if not (isinstance(x, Mix) and is_left(x.space, params))]
        self._mixes = [step.space for step in self._steps if isinstance(step, Mix)]
        # the norm of both sides has no minimum along directions that their product lacks
        self._leaping = [
            x for x in self._steps if not (isinstance(x, Mix) and is_followed(x.space, params))
        ]
        self.notes = [*self._least.notes, *rest.notes]

    @property
    def tensors(self) -> set[str]:
        """What it moves."""
        spaces = self._group.spaces
        legs = [leg for space in spaces for leg in space.legs]
        legs += [leg for step in self._others for leg in step.moves]
        behind = {norm.weight for space in spaces for norm in space.norms}
        behind |= {norm.gain for space in spaces for norm in space.weight_norms}
        return behind | {leg.tensor for leg in legs}

    def settle(self, params: MutableMapping[str, Tensor]) -> bool:
        """Goes to the least norm, replacing tensors in `params`.

        Args:
            params: the network; scales and matrices are constants to gradients.

        Returns:
            Whether nothing moves any more by more than `tolerance`, and nothing was lost.
        """
        before, ranks = math.inf, [space.size * space.copies for space in self._mixes]
        for turn in range(1, 1000):
            change = self._turn(params)
            if change is None:
                return False
            now = [_rank(space, params) for space in self._mixes]
            if now != ranks:
                if turn > max(LAST_LOSS, len(self._mixes)):
                    return False
                ranks = now
                self._look(params)
                continue
            if change < tolerance(params):
                return True
            if turn % PATIENCE == 0:
                if not 2 * change < before:
                    return False
                before = change
            if self._mixes and turn % PATIENCE == TURNS and not self._leap(params):
                return False
        return False

    def _turn(self, params: MutableMapping[str, Tensor]) -> float | None:
        """Sets everything once by itself; returns the largest change, None if it runs away."""
        change = self._least.settle(params)
        if change is None:
            return None
        try:
            change = max([change, *(fix(step, params) for step in self._steps)])
        except LinAlgError:  # of what is not finite any more
            return None
        return change if math.isfinite(change) else None

    def _leap(self, params: MutableMapping[str, Tensor]) -> bool:
        """Goes to the least norm of scales and matrices together, if there is one."""
        least = minimise(Norm.of(self._least, self._leaping, params))
        if least is None:
            return False
        for step in least.steps:
            least.act(step, params, self._least.spaces)
        return True


def _rank(space: Space, params: Params) -> int:
    """How many directions of a space are there, after `balance`."""
    written, _ = sides(space, params)
    return 0 if written is None else int((written != 0).any(dim=2).sum())


@dataclass(frozen=True)
class Norm:
    """The norm of the weights, where log-scales and symmetric matrices are its coordinates.

    A matrix X acts as exp(X), here on no more than what its goal looks at.

    Attributes:
        least: says which weights count.
        spaces: on which scales act, without what they do to weights through the eps of norms.
        mixes: the spaces on which matrices act.
        seen: the same with what their goals look at.
        volumes: the slopes of the volumes that are added for them.
        spheres: of what does not count and has norm one.
        tensors: where it stands, in float64.
        steps: that led there.
    """

    least: LeastNorm
    spaces: Sequence[Space]
    mixes: Sequence[Space]
    seen: Sequence[Space]
    volumes: Point
    spheres: Sequence[Spheres]
    tensors: Mapping[str, Tensor]
    steps: tuple[Point, ...] = ()

    @classmethod
    def of(cls, least: LeastNorm, steps: Sequence[Scale], params: Params) -> "Norm":
        """The norm of the weights that some space or step moves."""
        mixes = [step.space for step in steps if isinstance(step, Mix)]
        spheres = [step.spheres for step in steps if isinstance(step, Pivot)]
        legs = [leg for space in (*least.spaces, *mixes) for leg in space.legs]
        legs += [leg for family in spheres for leg in family.legs]
        held = {leg.tensor: precise(params[leg.tensor].detach()) for leg in legs}
        spaces = [replace(space, norms=(), weight_norms=()) for space in least.spaces]
        looks = [seen(space, held) for space in mixes]
        volumes = [volume_slope(space, held) for space in mixes]
        return cls(least, spaces, mixes, looks, volumes, spheres, held)

    def act(
        self, step: Point, params: MutableMapping[str, Tensor], spaces: Sequence[Space]
    ) -> None:
        """Moves a network by a step, whose scales act on `spaces`."""
        scale(spaces, step[: len(spaces)], params)
        self._mix(step, params, self.mixes)

    def _mix(
        self, step: Point, params: MutableMapping[str, Tensor], mixes: Sequence[Space]
    ) -> None:  # fmt: skip
        for space, x in zip(mixes, step[len(self.spaces) :], strict=True):
            x = (x + x.transpose(1, 2)) / 2
            if x.requires_grad:  # as good to second order, and several times faster
                matrix = torch.eye(space.size).to(x) + x + x @ x / 2
            else:
                matrix = torch.linalg.matrix_exp(x)
            move_space(space, replace(element(space), mix=matrix), params)

    @cached_property
    def _shares(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Ones for weights that count, and ones for those of which only matrices count."""
        counted = self.least.shares(self.tensors)
        shares = {}
        for name in {leg.tensor for space in self.seen for leg in space.legs} | set(counted):
            one = counted.get(name, self.tensors[name].new_zeros(()))
            shares[name] = (one, 1 - one)
        for family in self.spheres:
            ones = torch.ones(family.count, dtype=torch.float64)
            for name, there in family.spread(ones, self.tensors).items():
                if name in shares:
                    shares[name] = (shares[name][0], shares[name][1] * (1 - there))
        return shares

    def _parts(self, step: Point) -> tuple[list[Tensor], Tensor]:
        """What its squares are taken of after a step, and squares of what only logarithms are."""
        moved, mixed = dict(self.tensors), dict(self.tensors)
        scale(self.spaces, step[: len(self.spaces)], moved)
        for tensors in (moved, mixed):
            self._mix(step, tensors, self.seen)
        parts = [
            where * (tensors[name] + added(self._offsets.get(name, ()), tensors[name]))
            for name, shares in self._shares.items()
            for where, tensors in zip(shares, (moved, mixed), strict=True)
        ]
        logs = [
            family.dot(held, held) for family in self.spheres for held in (family.as_read(mixed),)
        ]
        return parts, torch.cat(logs) if logs else torch.zeros(0)

    def _volume(self, step: Point) -> Tensor | float:
        pairs = zip(self.volumes, step[len(self.spaces) :], strict=True)
        return sum((slope * x).sum() for slope, x in pairs)

    @cached_property
    def _offsets(self) -> dict[str, list[Leg]]:
        """To what gains like 1 + w something is added."""
        return offset_legs(leg for space in (*self.spaces, *self.mixes) for leg in space.legs)

    @cached_property
    def _slope(self) -> tuple[Point, Point]:
        """Where it stands, and the gradient there, of which there are derivatives."""
        with torch.enable_grad():
            here = [
                torch.zeros_like(part).requires_grad_() for part in (*self.least.free, *self._eyes)
            ]
            parts, logs = self._parts(here)
            total = torch.stack([x.square().sum() for x in parts]).sum()
            total = total + torch.where(logs > 0, logs, 1.0).log().sum() + self._volume(here)
            return here, list(torch.autograd.grad(total, here, create_graph=True))

    @cached_property
    def _eyes(self) -> Point:
        """Shapes of matrices."""
        return [torch.zeros(s.copies, s.size, s.size, dtype=torch.float64) for s in self.mixes]

    def slope(self) -> Point:
        """Its gradient."""
        return [part.detach() for part in self._slope[1]]

    def curvature(self, along: Point) -> Point:
        """Its Hessian times `along`."""
        here, slope = self._slope
        return list(torch.autograd.grad(slope, here, grad_outputs=along, retain_graph=True))

    def units(self) -> Point:
        """One over the root of its second derivatives, about; zero where nothing is there."""
        found = self.least.function(self.tensors).units()
        for space in self.seen:
            there = [
                side.square().sum(dim=2) for side in sides(space, self.tensors) if side is not None
            ]
            sums = torch.stack(there).sum(dim=0)
            both = sums[:, :, None] + sums[:, None, :]
            present = (sums[:, :, None] > 0) & (sums[:, None, :] > 0)
            found.append(torch.where(present, both, math.inf).rsqrt())
        return found

    def change(self, step: Point) -> float:
        """What it gains by a step, without the loss of digits in a difference of large sums."""
        (before, logs), (after, logs_after) = self._parts([0 * x for x in step]), self._parts(step)
        total = sum(float(((y - x) * (y + x)).sum()) for x, y in zip(before, after, strict=True))
        ratio = torch.where(logs > 0, logs_after / logs, 1.0)
        return total + float(ratio.log().sum()) + float(self._volume(step))

    def moved(self, step: Point) -> "Norm":
        """The same from where a step leads."""
        tensors = dict(self.tensors)
        self.act(step, tensors, self.spaces)
        volumes = [volume_slope(space, tensors) for space in self.mixes]
        return replace(self, tensors=tensors, volumes=volumes, steps=(*self.steps, step))
