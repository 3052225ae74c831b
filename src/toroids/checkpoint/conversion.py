"""How transformers' modules name and cut their weights in files.

Since its fifth version a module may hold what its files hold under other names (ViT), or in several
tensors (the experts of Mixtral or Qwen-MoE, which a module stacks). transformers knows the way back
as a program on tensors. Run on tensors without entries, it tells where in the module's tensor every
tensor of the files lies: each is a part, with a size, strides and an offset.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Piece:
    """A tensor of a file as a part of a tensor of the module.

    Attributes:
        name: of the module's tensor.
        size: the shape of the part.
        stride: how far apart its entries lie in the module's tensor, per axis.
        offset: where it begins there, in entries.
    """

    name: str
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    def of(self, tensor: Tensor) -> Tensor:
        """The part of the module's tensor, which is contiguous, as a view."""
        return tensor.as_strided(self.size, self.stride, tensor.storage_offset() + self.offset)


def original_pieces(model: nn.Module) -> dict[str, Piece]:
    """Finds out what `model.save_pretrained` writes under other names or in several tensors.

    Args:
        model: a module of transformers; its weights are not touched, so it may be on "meta".

    Returns:
        For every tensor of the files the part of the module's state dict that it is; empty where
        the files hold the state dict itself, where something in them is more than a part, and for
        other modules.
    """
    revert = _reverting()
    if revert is None or not hasattr(model, "config"):
        return {}
    state = {
        name: torch.empty(tensor.shape, device="meta")
        for name, tensor in model.state_dict(keep_vars=True).items()
    }
    try:
        with torch.no_grad(), _Parts():  # type: ignore[no-untyped-call]
            files = revert(model, dict(state))
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    owners = {tensor.untyped_storage()._cdata: name for name, tensor in state.items()}
    pieces = {}
    for file_name, part in files.items():
        owner = owners.get(part.untyped_storage()._cdata)
        if owner is None:
            return {}
        size = tuple(part.shape)
        pieces[file_name] = Piece(owner, size, part.stride(), int(part.storage_offset()))
    return pieces if _complete(pieces, state) else {}


def _reverting() -> Callable[[Any, dict[str, Tensor]], dict[str, Tensor]] | None:
    try:
        from transformers import core_model_loading  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # not there, or older: files hold state dicts
        return None
    return getattr(core_model_loading, "revert_weight_conversion", None)


def _complete(pieces: Mapping[str, Piece], state: Mapping[str, Tensor]) -> bool:
    """Whether the pieces of every tensor have as many entries as it has."""
    left = {name: tensor.numel() for name, tensor in state.items()}
    for piece in pieces.values():
        left[piece.name] -= torch.Size(piece.size).numel()
    return not any(left.values())


class _Parts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Lets copies be views and refuses what is neither: results are parts of what comes in."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Tensor | list[Tensor]:
        if func is torch.ops.aten.clone.default:
            return cast(Tensor, torch.ops.aten.alias.default(args[0]))
        if not func.is_view:
            raise RuntimeError(f"{func} is no part of a tensor")
        return cast(Tensor, func(*args, **(kwargs or {})))
