"""How a network is disturbed, so that all representatives of it are hurt alike.

    multiplicative   w + sigma s z,                 z ~ N(0, 1) per weight;
    tangent          exp_w(sigma v),  v = P(s z),   z ~ N(0, 1) per weight;
    worst            exp_w(v), the v of the largest loss with ||v|| <= sigma R;
    flips            w_i -> -w_i for the round(sigma n) of n binary weights that come first in an
                     order drawn uniformly.

Multiplicative noise is in proportion to the weights, s = |w|. Their group, if there is a toroid,
says more of them: w is what the network reads, as 1 + v where it adds 1 to its gains v; and what a
matrix or a phase may turn gets the root mean square of all that it may turn, so that turned
networks are disturbed alike. Flips leave real weights as they are.

On the toroid w is canonical, P projects on its tangents at w,
R^2 = E ||P(s z)||^2, and s is

    1 / sqrt(d)   on a sphere with d coordinates, so that v moves a unit by an angle of about one;
    r             on flat coordinates, the root mean square of those of the same tensor.

Like weights under multiplicative noise, a unit of zero norm stays as it is. The worst v is sought
by ascent along the gradient, every step 2.5 R sigma / steps long, back onto the ball where it
leaves it; the start is sigma P(s z).

Reference: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018, arXiv
1706.06083, for the ascent, which they take in the inputs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from toroids.arguments.checked import check_fields
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import owners_of
from toroids.evaluation.together import evaluate_many
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.paths import flat_masks
from toroids.geometry.toroid import Toroid
from toroids.landscape.manifold import cube_of, toroid_of
from toroids.params import Params, inner_product, precise
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.offsets import as_read
from toroids.symmetry.space import Generator, Leg, Space
from toroids.symmetry.units import vectors, with_vectors

# The ascent can cross the ball, and come back a little.
REACH = 2.5


@dataclass(frozen=True)
class Worst:
    """The noise that gradient ascent finds, as a `kind` of `local_energy`.

    Attributes:
        steps: of the ascent, each as dear as three evaluations.

    Raises:
        ToroidsError: fewer than one step.

    See `local_energy` for an example.
    """

    steps: int = 5

    def __post_init__(self) -> None:
        check_fields(self)
        if self.steps < 1:
            raise ToroidsError(f"steps is {self.steps}; an ascent takes at least 1.")


@dataclass(frozen=True)
class Centre:
    """The network that is disturbed, and by what its disturbed copies are measured.

    Attributes:
        landscape: on a manifold, or on none where the network is disturbed as it stands.
        params: trusted; canonical where there is a manifold.
        temperature: what the outputs are divided by.
        steps: of the ascent to the worst.
    """

    landscape: Landscape
    params: Params
    temperature: float
    steps: int

    def errors(self, networks: Sequence[Params]) -> list[float]:
        """Measures disturbed copies."""
        return [found.error for found in evaluate_many(self.landscape, networks, self.temperature)]

    @property
    def toroid(self) -> Toroid:
        """Where "tangent" and "worst" move."""
        return toroid_of(self.landscape)

    @cached_property
    def scales(self) -> dict[str, Tensor]:
        """The scale s of every coordinate, to broadcast over its tensor."""
        toroid = self.toroid
        params = as_read(toroid.group, self.params)
        masks = flat_masks(toroid.spheres, toroid.group.shapes)
        scales = {}
        for name in toroid.group.parameters:
            weight = precise(params[name])
            flat = masks[name].to(weight) if name in masks else torch.ones_like(weight)
            flat = flat.expand_as(weight)
            mean_square = (weight * flat).square().sum() / flat.sum().clamp_min(1)
            scales[name] = mean_square.sqrt() * flat
        for family in toroid.spheres:
            on_spheres = (family.norms(params) > 0) / math.sqrt(family.coordinates(toroid.group))
            for name, scale in family.spread(on_spheres, params).items():
                scales[name] = scales[name] + scale
        return scales

    @cached_property
    def length(self) -> float:
        """The root mean square length R of P(s z)."""
        freedom = self.toroid.freedom(self.params)
        return math.sqrt(sum(float((self.scales[n].square() * freedom[n]).sum()) for n in freedom))

    def tangent(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws P(s z)."""
        names = self.toroid.group.parameters
        noise = drawn(self.params, names, generator)
        vector = {name: (noise[name] * self.scales[name]).to(noise[name]) for name in names}
        return self.toroid.project_tangent(self.params, vector)


# The disturbed network as a function of sigma.
Disturbance = Callable[[float], Params]


def multiplicative(centre: Centre, generator: torch.Generator) -> Disturbance:
    """Draws noise in proportion to the weights; names of one parameter share it.

    Returns:
        The disturbed network as a function of sigma.
    """
    params, owners = centre.params, owners_of(centre.landscape.model)
    noise = drawn(params, tuple(dict.fromkeys(owners.values())), generator)
    on = centre.landscape.on
    sizes = turned_sizes(on.group, params) if isinstance(on, Toroid) else params
    changes = {name: sizes[name] * noise[owner] for name, owner in owners.items()}

    def disturbed(sigma: float) -> Params:
        moved = {name: params[name] + sigma * change for name, change in changes.items()}
        return {**params, **moved}

    return disturbed


def turned_sizes(group: SymmetryGroup, params: Params) -> dict[str, Tensor]:
    """The size of every weight, alike for all that matrices and phases turn into each other.

    Args:
        group: of the network.
        params: canonical parameters.

    Returns:
        Every key of `params`; what nothing turns as the network reads it, with its sign.
    """
    sizes = dict(as_read(group, params))
    for space in group.spaces:
        for generator in (space.matrix, *space.of("phase")):
            exponents = () if generator is None else generator.exponents
            for leg, power in zip(space.legs, exponents, strict=generator is not None):
                if power and sizes[leg.tensor].is_floating_point():
                    sizes[leg.tensor] = _pooled(space, leg, sizes[leg.tensor], generator)
    return sizes


def _pooled(space: Space, leg: Leg, tensor: Tensor, generator: Generator | None) -> Tensor:
    """The root mean square over the units that a matrix turns, or over the pairs of phases."""
    squares = vectors(precise(tensor).square(), leg, space.copies, space.size)
    if generator is not None and generator.action == "phase":
        before = math.prod(tensor.shape[: leg.axis])
        own = len(leg.positions or ()) // (space.copies * space.size)
        pairs = squares.view(*squares.shape[:2], before, own // 2, 2, -1)
        mean = pairs.mean(dim=4, keepdim=True).expand_as(pairs).reshape(squares.shape)
    else:
        mean = squares.mean(dim=1, keepdim=True).expand_as(squares)
    return with_vectors(precise(tensor), leg, mean.sqrt()).to(tensor.dtype)


def tangent(centre: Centre, generator: torch.Generator) -> Disturbance:
    """Draws a tangent.

    Returns:
        The disturbed network as a function of sigma.
    """
    direction = centre.tangent(generator)
    return lambda sigma: centre.toroid.exp(centre.params, _times(sigma, direction))


def worst(centre: Centre, generator: torch.Generator) -> Disturbance:
    """Draws the start of an ascent.

    Returns:
        The network of the largest loss on the way, as a function of sigma.
    """
    start = centre.tangent(generator)
    return lambda sigma: _climb(centre, _times(sigma, start), sigma * centre.length)


def flips(centre: Centre, generator: torch.Generator) -> Disturbance:
    """Draws an order of the binary weights, of which every sigma flips the first ones.

    Returns:
        The network with a fraction sigma of its weights flipped, as a function of sigma.
    """
    cube, params = cube_of(centre.landscape), centre.params
    order = torch.randperm(cube.dimension, generator=generator, device=generator.device)
    return lambda sigma: cube.flipped(params, order[: round(sigma * len(order))])


KINDS: dict[str, Callable[[Centre, torch.Generator], Disturbance]] = {
    "multiplicative": multiplicative,
    "tangent": tangent,
    "worst": worst,
    "flips": flips,
}
# Those that move on the toroid.
ON_TOROID = ("tangent", "worst")


def drawn(params: Params, names: tuple[str, ...], generator: torch.Generator) -> dict[str, Tensor]:
    """Draws standard normal numbers; a generator's are the same for every precision."""
    place = generator.device
    return {
        name: torch.randn(params[name].shape, generator=generator, device=place).to(params[name])
        for name in names
    }


def _climb(centre: Centre, vector: Params, radius: float) -> Params:
    toroid, landscape, temperature = centre.toroid, centre.landscape, centre.temperature
    vector = _within(vector, radius)
    largest, best = -math.inf, vector
    for _ in range(centre.steps if radius else 0):
        point = toroid.exp(centre.params, vector)
        loss, gradient = landscape.gradient(point, temperature)
        if loss > largest:
            largest, best = loss, vector
        slope = _pull_back(centre, vector, gradient)
        steepness = _norm(slope)
        if steepness == 0:
            break
        step = REACH * radius / centre.steps / steepness
        vector = _within({name: vector[name] + step * slope[name] for name in vector}, radius)
    last = toroid.exp(centre.params, vector)
    higher = landscape.measure(last, temperature).loss > largest
    return last if higher else toroid.exp(centre.params, best)


def _pull_back(centre: Centre, vector: Params, gradient: Params) -> dict[str, Tensor]:
    """The gradient in the tangents at the centre of the loss at exp(vector)."""
    toroid, names = centre.toroid, tuple(vector)
    leaves = {name: vector[name].detach().clone().requires_grad_() for name in names}
    with torch.enable_grad():
        point = toroid.exp(centre.params, leaves)
        slopes = torch.autograd.grad(
            [point[name] for name in names],
            list(leaves.values()),
            [gradient[name].to(point[name]) for name in names],
        )
    return toroid.project_tangent(centre.params, dict(zip(names, slopes, strict=True)))


def _times(factor: float, vector: Params) -> dict[str, Tensor]:
    return {name: factor * tensor for name, tensor in vector.items()}


def _within(vector: Params, radius: float) -> dict[str, Tensor]:
    length = _norm(vector)
    return _times(radius / length, vector) if length > radius else dict(vector)


def _norm(vector: Params) -> float:
    return math.sqrt(inner_product(vector, vector, vector))


def check_kind(kind: str, landscape: Landscape, params: Params) -> None:
    """Raises unless there is such a noise, and the landscape is where it moves.

    Args:
        kind: of the noise.
        landscape: on a toroid, a hypercube, or neither.
        params: of the network.

    Raises:
        ToroidsError: an unknown kind, or no toroid or cube for one that needs it.
        ParamsError: `params` is not on the toroid or the cube.
    """
    if kind not in KINDS:
        raise ToroidsError(f"there is no kind {kind!r}; choose from {tuple(KINDS)}.")
    if kind in ON_TOROID and not isinstance(landscape.on, Toroid):
        raise ToroidsError(
            f"kind={kind!r} moves on the toroid; pass a landscape made with on=td.Toroid(group), "
            "and what td.canonicalize(group, params) returns."
        )
    if kind == "flips" and not isinstance(landscape.on, Hypercube):
        raise ToroidsError(
            "kind='flips' flips weights of -1 and +1; pass a landscape made with "
            "on=td.geometry.Hypercube(group), and what td.canonicalize(group, params) returns."
        )
    if landscape.on is not None:
        landscape.on.check(params)
