"""Units that never fire: those whose rectified activation is zero on all given data."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from toroids.arguments.checked import checked
from toroids.errors import DataError
from toroids.evaluation.batches import Data, batches, check_pair, to_place
from toroids.evaluation.running import check_params, evaluation_mode, run
from toroids.params import Params

RECTIFIERS = {
    F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.threshold,
    torch.threshold_, F.hardtanh, F.hardtanh_,
}  # fmt: skip
# The axis of the units in what these write, counted from the end.
CONVOLUTIONS = {
    F.conv1d: -2, F.conv2d: -3, F.conv3d: -4, F.conv_transpose1d: -2, F.conv_transpose2d: -3,
    F.conv_transpose3d: -4,
}  # fmt: skip
ALONG_THE_LAST = {F.linear, F.layer_norm, F.rms_norm, F.embedding}
SECOND = {F.batch_norm, F.group_norm, F.instance_norm}


@checked
def dead_units(
    model: nn.Module, params: Params, data: Data, *, batch_size: int = 4096
) -> Mapping[str, tuple[int, ...]]:
    """Finds the units whose rectified activation is zero for all examples and at all positions.

    Nothing that such a unit writes reaches the outputs on these data; on others it may.

    Args:
        model: gives the architecture; it is run in evaluation mode and left as it was.
        params: parameters and buffers by name; they say on which device and in which precision.
        data: a pair `(inputs, labels)`, or an iterable of such batches; labels are not looked at.
        batch_size: how many examples of a pair of tensors are run at once.

    Returns:
        For every module that applies a ReLU (or relu6, threshold, hardtanh), by name, "" for the
        model itself, the units that are never above zero, as positions along the axis that the
        convolution, linear map or norm before it writes; along the last axis where that cannot be
        followed, as behind a reshape. Calls within one module are numbered from the second on, as
        `block:2`. Modules without dead units are left out. ReLUs inside torch's own recurrent
        layers are not seen.

    Raises:
        ParamsError: `params` is not of this model, or not finite.
        DataError: there are no examples, the model cannot run on them, or an activation is NaN.

    Example:
        >>> import torch, toroids as td
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
        >>> params = model.state_dict()
        >>> params["0.weight"][:], params["0.bias"][:] = 0.0, torch.tensor([1.0, -1.0, 1.0])
        >>> td.dead_units(model, params, (torch.randn(5, 2), torch.zeros(5)))
        {'1': (1,)}
    """
    check_params(model, params)
    place = next((tensor for tensor in params.values() if tensor.is_floating_point()), None)
    alive: dict[str, Tensor] = {}
    examples = 0
    for batch in batches(data, batch_size):
        inputs, labels = check_pair(batch)
        if place is not None:
            inputs, labels = to_place((inputs, labels), place.device, place.dtype)
        with torch.no_grad(), evaluation_mode(model), _Watch(model) as watch:
            run(model, params, inputs)
        examples += len(labels)
        for name, fired in watch.fired.items():
            alive[name] = alive[name] | fired if name in alive else fired
    if examples == 0:
        raise DataError("the data holds no examples; pass at least one.")
    dead = {name: (~fired).nonzero().flatten().tolist() for name, fired in alive.items()}
    return {name: tuple(units) for name, units in dead.items() if units}


class _Watch(TorchFunctionMode):
    """Records which units of every rectifier's output are above zero in one run of a model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.fired: dict[str, Tensor] = {}
        self._model = model
        self._calls: dict[str, int] = {}
        self._inside = [""]
        self._axes = WeakTensorKeyDictionary()
        self._hooks: list[Any] = []

    def __enter__(self) -> "_Watch":
        for name, module in self._model.named_modules():
            if name:
                enter = module.register_forward_pre_hook(self._entering(name))
                leave = module.register_forward_hook(self._leaving, always_call=True)
                self._hooks += [enter, leave]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()

    def _entering(self, name: str) -> Callable[..., None]:
        return lambda *_: self._inside.append(name)

    def _leaving(self, *_: object) -> None:
        self._inside.pop()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        before = [
            (t, self._axes[t]) for t in _tensors((*args, *kwargs.values())) if t in self._axes
        ]
        output = func(*args, **kwargs)
        if isinstance(output, Tensor) and output.ndim:
            axis = _axis(func, args, output, before)
            if axis is not None:
                self._axes[output] = axis
            if func in RECTIFIERS:
                self._record(output, -1 if axis is None else axis)
        return output

    def _record(self, output: Tensor, axis: int) -> None:
        name = self._inside[-1]
        self._calls[name] = self._calls.get(name, 0) + 1
        if self._calls[name] > 1:
            name = f"{name}:{self._calls[name]}"
        if bool(output.isnan().any()):  # it is above zero nowhere, and would look dead
            raise DataError(
                f"the activations of `{name}` are NaN on these data; pass finite inputs, and "
                "weights that do not overflow."
            )
        self.fired[name] = (output > 0).movedim(axis, -1).flatten(end_dim=-2).any(dim=0)


def _axis(
    func: Any, args: tuple[Any, ...], output: Tensor, before: list[tuple[Tensor, int]]
) -> int | None:
    """The axis of the units in `output`, counted from the end; None where it is lost."""
    if func in CONVOLUTIONS:
        return CONVOLUTIONS[func]
    if func in ALONG_THE_LAST:
        return -1
    if func in SECOND:
        return 1 - output.ndim
    for tensor, axis in before:
        moved = axis
        if func in (torch.transpose, Tensor.transpose):
            a, b = (d % tensor.ndim - tensor.ndim for d in args[1:3])
            moved = {a: b, b: a}.get(axis, axis)
        elif func in (torch.permute, Tensor.permute):
            order = args[1] if len(args) == 2 and not isinstance(args[1], int) else args[1:]
            places = [d % tensor.ndim - tensor.ndim for d in order]
            moved = places.index(axis) - tensor.ndim
        elif output.ndim != tensor.ndim:
            continue
        if output.shape[moved] == tensor.shape[axis]:
            return moved
    return None


def _tensors(values: tuple[Any, ...]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += [part for part in value if isinstance(part, Tensor)]
    return found
