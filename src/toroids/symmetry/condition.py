"""Buffers whose numbers decide which symmetries a network has."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import ConfigDict
from torch import Tensor

from toroids.arguments.checked import check_fields
from toroids.errors import ParamsError
from toroids.params import Params


@dataclass(frozen=True)
class Condition:
    """A buffer that is read as an index, or decides structure: a group holds for its numbers only.

    Attributes:
        buffer: its name in the state dict.
        digest: of its shape and numbers, as `digest_of` gives it.

    Example:
        >>> import torch, toroids as td
        >>> digest = td.symmetry.condition.digest_of(torch.tensor([2, 0, 1]))
        >>> td.symmetry.Condition("order", digest).buffer
        'order'
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    buffer: str
    digest: str

    def __post_init__(self) -> None:
        check_fields(self, bounded=False)


def digest_of(tensor: Tensor) -> str:
    """Hashes the shape and the numbers of a tensor, whatever its type and device.

    Args:
        tensor: a buffer.

    Returns:
        16 hexadecimal digits; floating numbers count as far as single precision shows them.
    """
    kind = torch.float32 if tensor.is_floating_point() else torch.int64
    numbers = tensor.detach().cpu().to(kind).contiguous().numpy()
    return hashlib.sha256(str(numbers.shape).encode() + numbers.tobytes()).hexdigest()[:16]


def check_conditions(conditions: Sequence[Condition], params: Params, what: str) -> None:
    """Raises where a buffer differs from the one for which a group was found.

    Args:
        conditions: of the group.
        params: parameters and buffers by name.
        what: how the message calls them.

    Raises:
        ParamsError: names the buffer.
    """
    for condition in conditions:
        tensor = params[condition.buffer]
        if tensor.is_meta or digest_of(tensor) != condition.digest:
            raise ParamsError(
                f"the buffer `{condition.buffer}` in {what} differs from the one for which the "
                "group was found, and decides which symmetries there are; discover the group of a "
                "module that holds this one."
            )
