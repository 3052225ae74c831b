"""Repair of the collapse of variance between networks without batch norm.

Units of the mean of several networks vary less than those of the networks. With m_i, s_i the mean
and standard deviation of a unit's pre-activation in network i, and m, s those in the mean network,
its weights and bias are changed so that the pre-activation becomes

    (y - m) / s * S + M,    M = sum_i c_i m_i,    S = sum_i c_i s_i.

The change is fused into the weights, so that the network keeps its architecture.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from toroids.arguments.checked import checked
from toroids.arguments.networks import check_several
from toroids.errors import DataError, ToroidsError
from toroids.evaluation.batches import Data
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import check_params, evaluation_mode, run
from toroids.landscape.recalibrate import Moments
from toroids.params import Params, check_alike, check_finite, infinite_in

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@checked
def repair(
    model: nn.Module,
    params: Params,
    ends: Sequence[Params],
    data: Data,
    weights: Sequence[float] | None = None,
    *,
    batch_size: int = 4096,
    output_key: str | int | None = None,
) -> dict[str, Tensor]:
    """Gives the pre-activations of an averaged network the statistics of its ends.

    Every `nn.Linear` and convolution with a bias is repaired, but for what writes the outputs and
    what shares its weights with another module.

    Args:
        model: gives the architecture; it is left as it was.
        params: the network to repair, for example the middle of a geodesic.
        ends: the networks that it lies between, aligned.
        data: a pair `(inputs, targets)` or an iterable of such batches, best the training data;
            targets are not looked at.
        weights: the share c_i of every end, summing to 1; equal when None.
        batch_size: how many examples of a pair of tensors are run at once; layers behind a repaired
            one see what the repair makes of the batch.
        output_key: which entry of a structured output holds the logits.

    Returns:
        The same names; weights and biases of the repaired layers have changed.

    Raises:
        ParamsError: different architectures, or weights that are not finite.
        DataError: no examples, or inputs that the model cannot run on.
        ToroidsError: no ends, or weights that do not match them.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([4, 8, 3], seed=0)
        >>> a, b = (td.models.fully_connected([4, 8, 3], seed=s).state_dict() for s in (0, 1))
        >>> data = (torch.randn(64, 4), torch.zeros(64))
        >>> middle = td.geometry.Line(a, b)(0.5)
        >>> repaired = td.repair(model, middle, [a, b], data)
        >>> size = lambda params: float(params["hidden1.weight"].norm())
        >>> size(repaired) > size(middle)  # the mean of two networks varies too little
        True

    Reference:
        Jordan et al., REPAIR: REnormalizing Permuted Activations for Interpolation Repair, 2023,
        arXiv 2211.08403.
    """
    check_several(ends, 1, "ends")
    shares = [1 / len(ends)] * len(ends) if weights is None else list(weights)
    if len(shares) != len(ends) or not abs(sum(shares) - 1) <= 1e-6:
        raise ToroidsError(
            f"there are {len(ends)} ends and weights {shares}; pass one weight for every end, "
            "which sum to 1."
        )
    check_params(model, params)
    for end in ends:
        check_alike(params, end)
    landscape = Landscape(model, data, batch_size=batch_size, output_key=output_key)
    repaired = _Repair(landscape)(params, ends, shares)
    what = "the repaired network, whose pre-activations overflow or are NaN,"
    check_finite(repaired, what, infinite_in(params))
    return repaired


class _Repair:
    def __init__(self, landscape: Landscape) -> None:
        self._landscape, self._model = landscape, landscape.model
        self._layers = _layers(landscape.model)

    @torch.no_grad()
    def __call__(
        self, params: Params, ends: Sequence[Params], shares: Sequence[float]
    ) -> dict[str, Tensor]:
        seen = [self._moments(end) for end in ends]
        targets = {}
        for module in seen[0].keys() & set(self._hidden(params)):
            parts = [moments[module] for moments in seen]
            mean = sum(c * _mean(x) for c, x in zip(shares, parts, strict=True))
            spread = sum(c * x.variance.sqrt() for c, x in zip(shares, parts, strict=True))
            targets[module] = mean, spread
        corrected = self._moments(params, targets)
        repaired = dict(params)
        for module, (mean, spread) in targets.items():
            found = corrected[module]
            scale = _scale(spread, found.variance.sqrt())
            name = self._layers[module]
            weight, bias = repaired[f"{name}.weight"], repaired[f"{name}.bias"]
            moved = (bias.to(scale) - _mean(found)) * scale + mean
            axis = _out_axis(module)
            groups = getattr(module, "groups", 1) if isinstance(module, TRANSPOSED) else 1
            shape = [1] * weight.ndim
            shape[axis] = -1
            if groups > 1:  # its outputs lie on two axes: the group, and the place within it
                factors = scale.view(groups, 1, -1).expand(-1, weight.shape[0] // groups, -1)
                factors = factors.reshape(weight.shape[0], -1, *[1] * (weight.ndim - 2))
            else:
                factors = scale.view(shape)
            repaired[f"{name}.weight"] = weight * factors.to(weight)
            repaired[f"{name}.bias"] = moved.to(bias)
        return repaired

    def _moments(self, params: Params, targets: dict[nn.Module, Any] | None = None) -> Any:
        """Mean and variance of every layer's outputs, which are repaired if there are targets."""
        found = {module: Moments() for module in self._layers}
        hooks = [
            module.register_forward_hook(_adding(found[module], (targets or {}).get(module)))
            for module in self._layers
        ]
        try:
            with evaluation_mode(self._model):
                for inputs, _ in self._landscape.ready(params):
                    run(self._model, params, inputs)
        finally:
            for hook in hooks:
                hook.remove()
        few = [self._layers[m] for m, x in found.items() if x.mean is not None and x.count < 2]
        if few:
            raise DataError(
                f"`{few[0]}` has a single output per channel, which has no variance; pass at least "
                "two examples."
            )
        return {module: moments for module, moments in found.items() if moments.mean is not None}

    def _hidden(self, params: Params) -> list[nn.Module]:
        """The layers that do not write the outputs."""
        written: dict[nn.Module, Tensor] = {}

        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            written[module] = output

        hooks = [module.register_forward_hook(hook) for module in self._layers]
        try:
            with evaluation_mode(self._model):
                first = next(iter(self._landscape.ready(params)), None)
                if first is None:
                    raise DataError("the data holds no batch; pass at least one.")
                inputs, _ = first
                output = self._landscape.output(params, inputs)
        finally:
            for handle in hooks:
                handle.remove()
        place = output.data_ptr()
        return [module for module in self._layers if module in written
                and written[module].data_ptr() != place]  # fmt: skip


def _layers(model: nn.Module) -> dict[nn.Module, str]:
    """Layers with a weight and a bias of their own, and their names."""
    owned: dict[int, int] = {}
    named = dict(model.named_modules())
    for module in named.values():
        for parameter in module.parameters(recurse=False):
            owned[id(parameter)] = owned.get(id(parameter), 0) + 1
    kinds = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
    return {
        module: name
        for name, module in named.items()
        if isinstance(module, kinds)
        and module.bias is not None
        and type(module).forward in {kind.forward for kind in kinds}
        and owned.get(id(module.weight)) == owned.get(id(module.bias)) == 1
    }


def _out_axis(module: nn.Module) -> int:
    return 1 if isinstance(module, TRANSPOSED) else 0


def _adding(moments: Moments, target: tuple[Tensor, Tensor] | None) -> Callable[..., Any]:
    def hook(module: nn.Module, _: Any, output: Tensor) -> Tensor | None:
        linear = isinstance(module, nn.Linear)
        # without an axis of examples a convolution's channels come first
        axis = -1 if linear else -1 - len(getattr(module, "kernel_size", ()))
        moments.add(output, axis)
        if target is None:
            return None
        batch = Moments()
        batch.add(output, axis)
        scale = _scale(target[1], batch.variance.sqrt())
        shift = target[0] - _mean(batch) * scale
        shape = [1] * output.ndim
        shape[axis] = -1
        return output * scale.view(shape).to(output) + shift.view(shape).to(output)

    return hook


def _scale(wanted: Tensor, found: Tensor) -> Tensor:
    """What multiplies a unit; units that do not vary keep their scale."""
    return torch.where(found > 0, wanted / torch.where(found > 0, found, 1.0), 1.0)


def _mean(moments: Moments) -> Tensor:
    assert moments.mean is not None  # layers that were not run are left out
    return moments.mean
