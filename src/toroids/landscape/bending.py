"""The training of a bend: one step lowers the loss at a random point of a random segment.

On segments that are straight, or geodesics of a toroid, the bend c has a share s of every point.
On the hypercube a point at s of the way has every weight from c with probability s and from the end
otherwise, as on a path that flips weights in a random order; with v the latent weights of c,

    w = m sign(v) + (1 - m) a,    m ~ Bernoulli(s) per weight,    dL/dv = m dL/dw  for |v| <= 1.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.arguments.checked import check_fields
from toroids.errors import ToroidsError
from toroids.evaluation.batches import Batch
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import owners_of
from toroids.geometry.toroid import Toroid
from toroids.landscape.manifold import cube_of
from toroids.params import Params

# Learning rate of Adam, in units of the root mean square weight of the bend at its start. Between
# fully connected networks on Fashion-MNIST 6000 steps left a barrier of 2.0 % at 0.05, 0.9 % here.
RATE = 0.02
# Where the ends differ the latent weights of the bend start here, with a random sign.
START = 0.1


@dataclass(frozen=True)
class BendRecipe:
    """How the training of a bend runs.

    Attributes:
        steps: mini-batch gradients at most.
        rate: learning rate of Adam in units of the bend's root mean square weight; it follows half
            a cosine down to 0.
        minibatch: examples per mini-batch of a pair of tensors.

    Raises:
        ToroidsError: one of them is not positive.

    See `connect` for an example.
    """

    steps: int = 2000
    rate: float = RATE
    minibatch: int = 128

    def __post_init__(self) -> None:
        check_fields(self)
        if self.steps < 1 or not 0 < self.rate < math.inf or self.minibatch < 1:
            raise ToroidsError(
                f"steps is {self.steps}, rate {self.rate} and minibatch {self.minibatch}; pass "
                "positive numbers."
            )


class Bending:
    """The bend on its way, as one flat vector of all parameters."""

    def __init__(
        self,
        landscape: Landscape,
        ends: tuple[Params, Params],
        middle: Params,
        recipe: BendRecipe,
        temperature: float,
    ) -> None:
        """Begins at `middle`; on a toroid, or straight where the landscape is on none."""
        self._landscape, self._recipe = landscape, recipe
        self._toroid = landscape.on if isinstance(landscape.on, Toroid) else None
        self._ends, self._temperature = ends, temperature
        self._start = dict(middle)
        self._owners = owners_of(landscape.model)
        self._names = list(dict.fromkeys(self._owners.values()))
        self._sizes = [middle[name].numel() for name in self._names]
        self._flat_ends = [self._flat(end) for end in ends]
        self._bend = self._flat(middle)
        self._rate = recipe.rate * float(self._bend.square().mean().sqrt())
        fused = self._bend.device.type in ("cpu", "cuda")  # one kernel for all of a step
        self._adam = torch.optim.Adam([self._bend], fused=fused)
        self._buffers = {k: v for k, v in middle.items() if k not in self._owners}
        self.losses: list[Tensor] = []

    def step(self, number: int, batch: Batch, generator: torch.Generator) -> None:
        """Takes one step of Adam, on a random point of a random segment."""
        first, share = torch.rand(2, generator=generator).tolist()
        end = int(first < 0.5)
        loss, gradient = self._gradient(end, share, batch, generator)
        self.losses.append(loss)
        self._adam.param_groups[0]["lr"] = (
            self._rate * 0.5 * (1 + math.cos(math.pi * number / self._recipe.steps))
        )
        self._bend.grad = gradient
        self._adam.step()
        self._settle()

    def _settle(self) -> None:
        """Brings the bend back to where it belongs after a step."""
        if self._toroid is not None:
            self._bend.copy_(self._flat(self._toroid.project(self._params(self._bend))))

    def _gradient(
        self, end: int, share: float, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        if self._toroid is None:  # on a straight segment the bend has the share s of every point
            point = torch.lerp(self._flat_ends[end], self._bend, share).requires_grad_()
            loss = self._loss(self._params(point), batch)
            (gradient,) = torch.autograd.grad(loss, point)
            return loss.detach(), gradient.mul_(share)
        bend = self._bend.clone().requires_grad_()
        path = self._toroid.geodesic(self._ends[end], self._params(bend))
        loss = self._loss(path(share), batch)
        (gradient,) = torch.autograd.grad(loss, bend)
        return loss.detach(), gradient

    def _loss(self, params: Params, batch: Batch) -> Tensor:
        return self._landscape.batch_loss({**params, **self._buffers}, batch, self._temperature)

    @property
    def points(self) -> list[Params]:
        """The start, the bend as it is, and the end."""
        found = self._params(self._network())
        bend = {**self._start, **{k: v.clone() for k, v in found.items()}}
        return [self._ends[0], bend, self._ends[1]]

    def _network(self) -> Tensor:
        """The bend as a network, flat."""
        return self._bend

    def _flat(self, params: Params) -> Tensor:
        return torch.cat([params[name].detach().reshape(-1) for name in self._names])

    def _params(self, flat: Tensor) -> dict[str, Tensor]:
        parts = zip(self._names, torch.split(flat, self._sizes), strict=True)
        own = {n: x.view(self._start[n].shape).to(self._start[n].dtype) for n, x in parts}
        shared = {name: own[owner] for name, owner in self._owners.items()}
        return {**self._buffers, **shared} if self._toroid is not None else shared


class BitBending(Bending):
    """A bend on the hypercube, through real latent weights; what is not binary is straight."""

    def __init__(
        self,
        landscape: Landscape,
        ends: tuple[Params, Params],
        middle: Params,
        recipe: BendRecipe,
        temperature: float,
    ) -> None:
        """Begins where the ends agree, and with small latent weights elsewhere."""
        super().__init__(landscape, ends, middle, recipe, temperature)
        binary = cube_of(landscape).weights.names
        marks = {n: torch.full_like(middle[n], float(n in binary)) for n in self._names}
        self._binary = self._flat(marks).bool()
        undecided = self._binary & (self._flat_ends[0] != self._flat_ends[1])
        self._bend[undecided] *= START

    def _gradient(
        self, end: int, share: float, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        place = generator.device
        drawn = torch.rand(self._bend.shape, generator=generator, device=place).to(self._bend)
        shares = torch.where(self._binary, (drawn < share).to(drawn), share)
        point = torch.lerp(self._flat_ends[end], self._network(), shares).requires_grad_()
        loss = self._loss(self._params(point), batch)
        (gradient,) = torch.autograd.grad(loss, point)
        return loss.detach(), gradient.mul_(shares)

    def _settle(self) -> None:
        self._bend.copy_(torch.where(self._binary, self._bend.clamp(-1, 1), self._bend))

    def _network(self) -> Tensor:
        one = torch.ones((), dtype=self._bend.dtype, device=self._bend.device)
        return torch.where(self._binary, torch.copysign(one, self._bend), self._bend)
