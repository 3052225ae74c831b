"""What a forward asks of how it is run, and is answered in a trace as in a plain call."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from toroids.discovery.tracing.operators import draws

ASKED = (
    (torch.compiler, "is_compiling"),
    (torch.compiler, "is_exporting"),
    (torch.compiler, "is_dynamo_compiling"),
)


@contextlib.contextmanager
def as_called() -> Iterator[None]:
    """Tells everybody but PyTorch itself that nothing is compiled or exported."""
    before = [(home, name, getattr(home, name, None)) for home, name in ASKED]
    try:
        for home, name, own in before:
            if own is not None:
                setattr(home, name, _told(own))
        yield
    finally:
        for home, name, own in before:
            if own is not None:
                setattr(home, name, own)


def _told(own: Callable[[], bool]) -> Callable[[], bool]:
    def answer() -> bool:
        asking = str(sys._getframe(1).f_globals.get("__name__", ""))
        return own() if asking.partition(".")[0] == "torch" else False

    return answer


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Lets no parameter need gradients."""
    needing = [p for p in model.parameters() if p.is_leaf and p.requires_grad]
    for parameter in needing:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in needing:
            parameter.requires_grad_(True)


DRAWS = (
    "`{}` draws random numbers in evaluation mode (`{}`), so that its outputs are no function of "
    "its inputs; take them as an input, or, where their seed is fixed, keep them in a buffer."
)


class Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the names of operators that draw random numbers.

    Attributes:
        names: of those that were called.
    """

    def __init__(self) -> None:
        """Has heard nothing."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls an operator."""
        if draws(func, args, kwargs or {}):
            self.names.append(str(func._schema.name))
        return func(*args, **(kwargs or {}))


GRADIENTS = (
    "`{}` takes gradients in its forward pass, which a trace does not hold; pass the module of "
    "which it takes them, or pass a group written by hand."
)
TAKING = (
    (torch.autograd, "grad"),
    (torch.autograd, "backward"),
    (torch.autograd.forward_ad, "make_dual"),
)


@contextlib.contextmanager
def heard_gradients() -> Iterator[list[bool]]:
    """Notes whether gradients are taken, backward or forward.

    Yields:
        A list that is not empty once some were.
    """
    heard: list[bool] = []
    before = [(home, name, getattr(home, name)) for home, name in TAKING]
    try:
        for home, name, own in before:
            setattr(home, name, _noted(own, heard))
        yield heard
    finally:
        for home, name, own in before:
            setattr(home, name, own)


def _noted(own: Callable[..., Any], heard: list[bool]) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        heard.append(True)
        return own(*args, **kwargs)

    return noted
