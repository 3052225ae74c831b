"""Products of tangents with the Hessian of the mean loss on the toroid.

With H the matrix of second derivatives of the mean loss L at w, g its gradient, and P the
projection on the tangents of the toroid at w, the Riemannian Hessian of a tangent v is

    Hess v = P(H v) - <u, g_u> v_u on the sphere of every unit u,

because the geodesic w(t) = exp_w(t v) has w''(0) = -||v_u||^2 u on every sphere, so that

    d^2/dt^2 L(w(t)) = <v, H v> + <g, w''> = <v, Hess v>    at t = 0.

Flat coordinates, and units of zero norm, have no second term.

Reference: Absil, Mahony and Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008, chapter
5.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from toroids.errors import ToroidsError, first_line, said
from toroids.evaluation.landscape import Landscape
from toroids.geometry.calculus import add_parts, rounding
from toroids.landscape.manifold import toroid_of
from toroids.params import Params, precise

Vector = NDArray[np.float64]
# What torch says of operators without a second derivative.
NO_SECOND = ("not implemented", "isn't implemented")


class Hessian:
    """The Riemannian Hessian of the mean loss at one point, on vectors of all parameters."""

    def __init__(self, landscape: Landscape, centre: Params, temperature: float) -> None:
        """Computes the gradient, which says how the spheres bend the loss.

        Args:
            landscape: of the loss, on a toroid.
            centre: canonical, trusted.
            temperature: what the outputs are divided by.
        """
        self._toroid = toroid = toroid_of(landscape)
        self._landscape, self._centre, self._temperature = landscape, centre, temperature
        self._names = toroid.group.parameters
        _, gradient = landscape.gradient(centre, temperature)
        self._bends: dict[str, Tensor] = {}
        for family in toroid.spheres:
            add_parts(self._bends, family.spread(family.dot(centre, gradient), centre))

    @property
    def tolerance(self) -> float:
        """The relative error below which rounding decides."""
        return 0.01 * rounding(self._names, self._centre)

    def __call__(self, vector: Vector) -> Vector:
        """Multiplies a tangent, both laid out as vectors; what is no tangent is projected first."""
        return self.vector(self.product(self.tangent(vector)))

    def product(self, tangent: Params) -> dict[str, Tensor]:
        """Computes Hess v of a tangent v.

        Args:
            tangent: at the centre, for every parameter a tensor of its shape.

        Returns:
            The same names and shapes; a tangent.

        Raises:
            ToroidsError: torch cannot differentiate the network twice.
        """
        image = self._second(tangent)
        for name, bend in self._bends.items():
            image[name] = image[name] - (bend * tangent[name]).to(image[name].dtype)
        return self._toroid.project_tangent(self._centre, image)

    def vector(self, tangent: Params) -> Vector:
        """Lays a tangent out as one vector on the host, in float64."""
        parts = [tangent[name].detach().reshape(-1).double().cpu() for name in self._names]
        flat: Vector = torch.cat(parts).numpy()
        return flat

    def tangent(self, vector: Vector) -> dict[str, Tensor]:
        """Reads a vector as tensors by name, and projects it on the tangents."""
        flat = torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float64).reshape(-1))
        parts = torch.split(flat, [self._centre[name].numel() for name in self._names])
        read = {
            name: part.view(self._centre[name].shape).to(self._centre[name])
            for name, part in zip(self._names, parts, strict=True)
        }
        return self._toroid.project_tangent(self._centre, read)

    def _second(self, tangent: Params) -> dict[str, Tensor]:
        """Sums H v over the batches, by differentiating <gradient, v>."""
        names, tied = self._names, self._toroid.group.tied
        leaves = {name: self._centre[name].detach().clone().requires_grad_() for name in names}
        lent = {**self._centre, **leaves}
        lent = {name: lent[tied.get(name, name)] for name in lent}
        towards = [tangent[name] for name in names]
        totals = [torch.zeros_like(leaf) for leaf in leaves.values()]
        weight = 0.0
        with self._landscape.evaluation_mode(), torch.enable_grad(), self._differentiable():
            for loss, weighed in self._losses(lent):
                weight += weighed
                for total, part in zip(
                    totals, _twice(loss, list(leaves.values()), towards), strict=True
                ):
                    total += part
        return {name: total / weight for name, total in zip(names, totals, strict=True)}

    @contextmanager
    def _differentiable(self) -> Iterator[None]:
        """Leaves out kernels that are faster and have no second derivative."""
        recurrent = any(isinstance(m, nn.RNNBase) for m in self._landscape.model.modules())
        plain = torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()
        with sdpa_kernel(SDPBackend.MATH), plain:
            yield

    def _losses(self, params: Params) -> Iterator[tuple[Tensor, float]]:
        """Yields the summed loss and weight of every batch."""
        for inputs, targets in self._landscape.ready(params):
            outputs = self._landscape.output(params, inputs)
            scores = self._landscape.score(outputs / self._temperature, targets)
            assert scores.weights is not None  # score fills it in
            yield scores.losses.sum(), float(precise(scores.weights).sum())


def _twice(loss: Tensor, leaves: Sequence[Tensor], towards: Sequence[Tensor]) -> Sequence[Tensor]:
    """Differentiates a loss twice, the first time along `towards`."""
    _refuse_once_differentiable(loss)
    try:
        slopes = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
        slope = torch.stack([(s * v).sum() for s, v in zip(slopes, towards, strict=True)]).sum()
        if not slope.requires_grad:  # the loss is linear in the parameters
            return [torch.zeros_like(leaf) for leaf in leaves]
        return torch.autograd.grad(slope, leaves, materialize_grads=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if not any(text in said(error) for text in NO_SECOND):
            raise
        raise ToroidsError(
            f"torch cannot differentiate the network twice: {first_line(error)}; build it "
            "of operators that have second derivatives."
        ) from error


def _refuse_once_differentiable(loss: Tensor) -> None:
    """Raises where torch would leave out what depends on a function's own backward pass."""
    seen: set[object] = set()
    waiting: list[Any] = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [before for before, _ in node.next_functions]
        function = getattr(node, "_forward_cls", None)
        # what functools.wraps leaves behind: torch's once_differentiable is the usual wrapper
        if function is not None and hasattr(function.backward, "__wrapped__"):
            raise ToroidsError(
                f"torch cannot differentiate the network twice: `{function.__name__}` is marked as "
                "once differentiable; build it of operators that have second derivatives."
            )
