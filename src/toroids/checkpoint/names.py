"""A checkpoint under the names of a module's state dict, and the way back.

Files leave out tied tensors, carry or lack the prefix of the base model, spell some names in an
older way, and may hold a tensor in several pieces.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.checkpoint.conversion import Piece
from toroids.checkpoint.matching import Matching, Parts, Shapes, listed, whole
from toroids.checkpoint.reading import Checkpoint
from toroids.errors import ParamsError
from toroids.params import Params

# buffers that old files hold and modules compute: causal masks, rotary frequencies
COMPUTED = re.compile(r"((attn|attention)\.(masked_)?bias|rotary_emb\.inv_freq)$")


@dataclass(frozen=True, eq=False, repr=False)
class StateDictView(Mapping[str, Tensor]):
    """A checkpoint under the names of a state dict, reading whatever is asked for anew.

    Attributes:
        checkpoint: the files.
        shapes: of the state dict, in its order.
        parts: for every name the tensors of the files that make it up, as parts of it.
        absent: tensors that the files leave out.
        unused: names in the files that the state dict has no place for.
    """

    checkpoint: Checkpoint
    shapes: Shapes
    parts: Mapping[str, Parts]
    absent: Params
    unused: tuple[str, ...]

    def __getitem__(self, name: str) -> Tensor:
        if name in self.absent:
            return self.absent[name]
        parts, shape = self.parts[name], self.shapes[name]
        first = next(iter(parts))
        tensor = self.checkpoint[first]
        if len(parts) == 1 and parts[first] == whole(parts[first].name, shape):
            return tensor
        joined = torch.empty(shape, dtype=tensor.dtype, device="cpu")
        for file_name, piece in parts.items():
            piece.of(joined).copy_(self.checkpoint[file_name])
        return joined

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __repr__(self) -> str:
        return f"StateDictView({self.checkpoint!r}, {len(self)} tensors)"

    def file_params(self, params: Params, keep_unused: bool = False) -> Params:
        """Gives `params` the names that the files have, for `save_checkpoint`.

        Args:
            params: tensors under the names of this view, read when asked for.
            keep_unused: also where the files hold weights that the state dict has no place for,
                as the head of another task. They are written as they are: where a symmetry moved
                what they read, they no longer fit.

        Returns:
            The tensors under exactly the names of the checkpoint. Asking for one that is tied to
            several of `params` which are not equal raises a ParamsError.

        Raises:
            ParamsError: names are missing or unknown, something has changed that the files leave
                out, or there are unused weights.
        """
        differing = sorted(params.keys() ^ self.keys())
        if differing:
            raise ParamsError(
                f"{listed(differing)} are only in one of the parameters and the checkpoint's view; "
                "pass what the view holds, moved."
            )
        for name, tensor in self.absent.items():
            if not torch.equal(params[name], tensor):
                raise ParamsError(
                    f"`{name}` has changed, but the checkpoint leaves it out, so that the change "
                    "would be lost; save the whole state dict as one file instead."
                )
        self.check_unused(keep_unused)
        return _FileParams(self, params)

    @property
    def stale(self) -> list[str]:
        """Names of weights in the files that the state dict has no place for."""
        return [name for name in self.unused if not _computed(name, self.checkpoint)]

    def check_unused(self, keep_unused: bool = False) -> None:
        """Raises where `file_params` would, for weights that the state dict has no place for.

        Args:
            keep_unused: as of `file_params`.

        Raises:
            ParamsError: there are such, and they shall not be kept.
        """
        if self.stale and not keep_unused:
            raise ParamsError(
                f"the files hold {listed(self.stale)}, for which the network has no place, and "
                "which may not fit what has moved; take the network that uses them, or keep them "
                "as they are with keep_unused=True."
            )


class _FileParams(Mapping[str, Tensor]):
    """Parameters under the names of files."""

    def __init__(self, view: StateDictView, params: Params) -> None:
        self._view, self._params = view, params
        self._sources: dict[str, dict[str, Piece]] = {name: {} for name in view.checkpoint}
        for name, parts in view.parts.items():
            for file_name, piece in parts.items():
                self._sources[file_name][name] = piece

    def __getitem__(self, file_name: str) -> Tensor:
        sources = self._sources[file_name]
        if not sources:
            return self._view.checkpoint[file_name]
        (first, piece), *others = sources.items()
        tensor = piece.of(self._checked(first).contiguous())
        for other, its_piece in others:
            if not torch.equal(tensor, its_piece.of(self._checked(other).contiguous())):
                raise ParamsError(
                    f"`{first}` and `{other}` are one tensor in the files, `{file_name}`, but are "
                    "not equal; move tied tensors alike."
                )
        return tensor

    def _checked(self, name: str) -> Tensor:
        tensor, shape = self._params[name].detach(), tuple(self._view.shapes[name])
        if tuple(tensor.shape) != shape:
            raise ParamsError(
                f"`{name}` has shape {tuple(tensor.shape)} but {shape} in the checkpoint's view; "
                "pass what the view holds, moved."
            )
        return tensor

    def __contains__(self, file_name: object) -> bool:
        return file_name in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def state_dict_names(
    checkpoint: Checkpoint,
    expected: Shapes,
    tied: Mapping[str, str] | None = None,
    pieces: Mapping[str, Piece] | None = None,
    absent: Params | None = None,
) -> StateDictView:
    """Views a checkpoint under the names of a module's state dict.

    Args:
        checkpoint: the files.
        expected: the shape of every tensor of the state dict, as `group.shapes`.
        tied: names of tensors that are the same as another one, and the name of that one, as
            `group.tied`; the files need only one of them.
        pieces: how the files name and cut the module's tensors, as `original_pieces(model)` tells;
            where the files hold the state dict's own names, those count.
        absent: values for what the files leave out because the module computes it, as fixed
            positions; nothing else may be missing.

    Returns:
        The tensors under the names in `expected`, in their order.

    Raises:
        ParamsError: names are missing, also with any one prefix added or removed; a shape differs;
            two prefixes fit; or tied tensors differ in the files.
    """
    shapes = {name: tuple(shape) for name, shape in expected.items()}
    tied = {name: first for name, first in (tied or {}).items() if {name, first} <= shapes.keys()}
    optional = {n: t for n, t in (absent or {}).items() if shapes.get(n) == tuple(t.shape)}
    matching = Matching(checkpoint.shapes, shapes, tied, frozenset(optional))
    found = matching.find({})
    if found is None and pieces:
        found = matching.find(pieces)
    if found is None:
        raise ParamsError(matching.failure(str(checkpoint.path)))
    used = {file_name for parts in found.values() for file_name in parts}
    unused = tuple(name for name in checkpoint if name not in used)
    left_out = {name: tensor for name, tensor in optional.items() if name not in found}
    view = StateDictView(checkpoint, shapes, found, left_out, unused)
    _check_ties(view, tied)
    return view


def _check_ties(view: StateDictView, tied: Mapping[str, str]) -> None:
    """Raises if the files hold several tied tensors that differ."""
    for name, first in tied.items():
        apart = view.parts.get(name, {}).keys() != view.parts.get(first, {}).keys()
        if apart and not torch.equal(view[name], view[first]):
            raise ParamsError(
                f"`{name}` and `{first}` are one tensor in the network but differ in "
                f"`{view.checkpoint.path}`; take the network that the checkpoint was saved from."
            )


def _computed(name: str, checkpoint: Checkpoint) -> bool:
    """Whether an unused tensor is a counter or a buffer that modules compute for themselves."""
    tensor = checkpoint[name]
    vector = tensor.ndim == 1 and not name.endswith("inv_freq")  # then it is a bias
    return not tensor.is_floating_point() or (not vector and bool(COMPUTED.search(name)))
