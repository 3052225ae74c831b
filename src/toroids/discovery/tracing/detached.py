"""What a forward reads and writes as `.data` of a tensor, which a trace does not hear of.

Some clamp, mask or normalise their weights so before they use them. In a trace `.data` is what
`detach` gives: another name of the same entries.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DATA: Any = Tensor.data
READ, WRITTEN = DATA.__get__, DATA.__set__


class Detached(TorchFunctionMode):
    """Reads `.data` by `detach`, and writes it by `copy_`.

    Attributes:
        heard: whether it was read or written.
    """

    def __init__(self) -> None:
        """Has heard nothing."""
        super().__init__()
        self.heard = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls an operator, or another in its place."""
        if func == READ:
            self.heard = True
            return args[0].detach()
        if func == WRITTEN and args[0].shape == args[1].shape:
            self.heard = True
            with torch.no_grad():
                args[0].copy_(args[1])
            return None
        return func(*args, **(kwargs or {}))


def reads_data(called: Callable[[], Any]) -> bool:
    """Whether a forward reads or writes `.data` of a tensor.

    Args:
        called: calls it on the example.

    Returns:
        Also where it fails.
    """
    detached = Detached()
    with contextlib.suppress(Exception), detached:
        called()
    return detached.heard
