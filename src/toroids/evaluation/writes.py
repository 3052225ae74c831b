"""Whether a module's forward writes into its parameters, as one that clamps its weights does."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from toroids.params import Params

# Networks of at most so many entries are copied for their first run. Larger ones are run under a
# mode that watches every operator, which `torch.cond` and compiled code do not go together with.
SMALL = 2**24
_known: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def is_of_torch(module: nn.Module) -> bool:
    """Whether a module is PyTorch's own, which neither writes into its weights nor caches."""
    return type(module).__module__.startswith("torch.nn.modules")


def writes_parameters(model: nn.Module) -> bool | None:
    """Whether a forward writes into its parameters; None where that is not known yet."""
    if all(map(is_of_torch, model.modules())):
        return False
    return _known.get(model)


def parameter_like(tensor: Tensor) -> Tensor:
    """A copy that gradients flow through, and that a forward may assign to itself: `w *= 0.9`."""
    found = tensor.clone()
    found._is_param = True  # what PyTorch tells parameters by
    return found


def run_unless_written(
    model: nn.Module, params: Params, own: Collection[str], function: Callable[[Params], Any]
) -> tuple[bool, Any]:
    """Runs a function of a network that must not be changed, and finds out whether it would be.

    Args:
        model: whose forward is run; what is found is remembered.
        params: parameters and buffers by name.
        own: names of those that may be changed, as copies of buffers.
        function: what is run.

    Returns:
        Whether it came to its end, and what it returned then.
    """
    lent = {name: x for name, x in params.items() if name not in own}
    plain = [x for x in lent.values() if type(x) in (Tensor, nn.Parameter)]
    if len(plain) == len(lent) and sum(x.numel() for x in plain) <= SMALL:
        copies = {name: parameter_like(tensor) for name, tensor in lent.items()}
        result = function({**params, **copies})
        # NaN is not equal to itself, and so counts as written: that costs a copy, no more
        _known[model] = not all(torch.equal(copies[name], x) for name, x in lent.items())
        return True, result
    try:
        with _Guard(plain):
            result = function(params)
    except _Written:
        _known[model] = True
        return False, None
    _known[model] = False
    return True, result


class _Written(Exception):
    pass


class _Guard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises before an operator writes into the memory of some tensors."""

    supports_higher_order_operators = True

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._places = {tensor.untyped_storage().data_ptr() for tensor in tensors} - {0}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        schema = getattr(func, "_schema", None)
        if schema is not None and schema.is_mutable:
            for argument, value in zip(schema.arguments, args, strict=False):
                written = argument.alias_info is not None and argument.alias_info.is_write
                if written and isinstance(value, Tensor) and self._holds(value):
                    raise _Written
        return func(*args, **kwargs)

    def _holds(self, value: Tensor) -> bool:
        if torch._C._functorch.is_functorch_wrapped_tensor(value):
            return False
        return value.untyped_storage().data_ptr() in self._places
