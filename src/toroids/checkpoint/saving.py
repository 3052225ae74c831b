"""Weights written in the layout of a checkpoint: the same files, names, types and metadata."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from toroids.checkpoint.header import Entry, header_bytes, read_header
from toroids.checkpoint.mapping import raw
from toroids.checkpoint.reading import OTHER_WEIGHTS, Checkpoint
from toroids.errors import ParamsError, ToroidsError
from toroids.files.reading import open_file
from toroids.files.writing import check_room, new_folder, reclaim, replacing
from toroids.params import Params

# folders that are part of a checkpoint, as transformers writes them
INNER_FOLDERS = ("additional_chat_templates",)


class Writable(Protocol):
    """What bytes can be written to."""

    def write(self, content: bytes | memoryview, /) -> int:
        """Takes some bytes."""


def save_checkpoint(params: Params, like: Checkpoint, out: str | Path) -> None:
    """Writes `params` in the layout of `like`, one tensor at a time, all or nothing.

    A checkpoint that was opened as a folder or an index gives a folder with the same shards and
    index, and copies of what is no weights: configuration, tokenizer and so on. One that was
    opened as a file gives one file. Equal parameters give equal bytes.

    Args:
        params: parameters and buffers under the names of `like`; read once each, in the order of
            the files. Further names are allowed if they equal a tensor of `like`, as tied ones do.
        like: gives the layout, the types and the other files.
        out: the folder, which must be new or empty, or the file to write.

    Raises:
        ParamsError: a tensor is missing, unknown or misshapen, or overflows its type.
        ToroidsError: `out` is in use, or is the source.
    """
    out = Path(os.path.realpath(out))
    _check_names(params, like)
    check_out(like, out)
    if like.alone:
        with replacing(out) as stream:
            write_file(params, like, stream)
        return
    with new_folder(out) as folder:
        for file in like.headers:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            with open(folder / file, "wb") as stream:
                _write(stream, params, like, file, {})
                stream.flush()
                os.fsync(stream.fileno())
        for name in _companions(like):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(like.folder / name, folder / name)


def write_file(
    params: Params, like: Checkpoint, stream: Writable, more: Mapping[str, str] | None = None
) -> None:
    """Writes `params` in the layout of a checkpoint of one file, one tensor at a time.

    Args:
        params: as for `save_checkpoint`.
        like: a checkpoint that was opened as a file.
        stream: where the bytes go.
        more: further metadata; without it the header is as it was.

    Raises:
        ParamsError: a tensor is missing, unknown or misshapen, or overflows its type.
    """
    _check_names(params, like)
    (file,) = like.headers
    _write(stream, params, like, file, more or {})


def check_out(like: Checkpoint, out: str | Path) -> None:
    """Raises unless a checkpoint in the layout of `like` can be written to `out`.

    What a command has left there that was killed is deleted.

    Raises:
        ToroidsError: `out` is in use, or is the source, or its disk has no room.
    """
    out = Path(os.path.realpath(out))
    if like.alone:
        (file,) = like.headers
        _check_file(out, like.folder / file)
    else:
        _check_folder(out, like.folder)
    reclaim(out)
    check_room(out, like.size)


def _check_names(params: Params, like: Checkpoint) -> None:
    for names, problem in (
        (like.keys() - params.keys(), "is in the checkpoint but not in the parameters"),
        (_unknown(params, like), "is in the parameters but not in the checkpoint, nor tied"),
    ):
        if names:
            raise ParamsError(
                f"`{min(names)}` {problem} ({len(names)} such names); pass parameters under the "
                "names of the checkpoint's files, as `file_params` of their view gives them."
            )


def _unknown(params: Params, like: Checkpoint) -> set[str]:
    """Names that the checkpoint lacks and whose tensors none of its tensors equals."""
    shapes = like.shapes
    unknown = set()
    for name in params.keys() - like.keys():
        tensor = params[name]
        alike = (other for other, shape in shapes.items() if shape == tuple(tensor.shape))
        if not any(torch.equal(tensor, params[other].to(tensor)) for other in alike):
            unknown.add(name)
    return unknown


def _check_file(out: Path, source: Path) -> None:
    if os.path.isdir(out):
        raise ToroidsError(f"`{out}` is a folder; name a file, as the checkpoint is one file.")
    if os.path.exists(out) and out.samefile(source):
        raise ToroidsError(f"`{out}` is the checkpoint itself; write to another file.")


def _check_folder(out: Path, source: Path) -> None:
    if not os.path.exists(out):
        return
    if not out.is_dir():
        raise ToroidsError(f"`{out}` is a file; name a folder, as the checkpoint is a folder.")
    if out.samefile(source):
        raise ToroidsError(f"`{out}` is the checkpoint itself; write to another folder.")
    if any(out.iterdir()):
        raise ToroidsError(f"the folder `{out}` exists and is not empty; name a new one.")


def _write(
    stream: Writable, params: Params, like: Checkpoint, file: str, more: Mapping[str, str]
) -> None:
    header = like.headers[file]
    if read_header(like.folder / file).stamp != header.stamp:
        raise ParamsError(f"`{like.folder / file}` was replaced since it was opened; open it anew.")
    if more:
        stream.write(header_bytes(header, more))
    else:  # as it was, to the byte
        with open_file(like.folder / file) as source:
            stream.write(source.read(header.size))
    for name, entry in header.entries.items():
        stream.write(raw(_fitted(params[name], entry, name)))


def _fitted(tensor: Tensor, entry: Entry, name: str) -> Tensor:
    """The tensor in the type of the file, unless its shape or kind differ or it overflows."""
    kinds = {(each.is_floating_point, each.is_complex) for each in (tensor.dtype, entry.dtype)}
    exact = tensor.dtype == entry.dtype
    if tuple(tensor.shape) != entry.shape or not (exact or kinds == {(True, False)}):
        raise ParamsError(
            f"`{name}` is {tensor.dtype} of shape {tuple(tensor.shape)} but {entry.dtype} of shape "
            f"{entry.shape} in the checkpoint; pass parameters of the same architecture."
        )
    if exact:
        return tensor
    rounded = tensor.detach().to(entry.dtype)
    # the narrowest types have no `isfinite`
    if not bool(rounded.float().isfinite().all()) and bool(tensor.isfinite().all()):
        raise ParamsError(
            f"`{name}` leaves the range of {entry.dtype}, in which the checkpoint holds it; "
            "convert the checkpoint to a wider type first."
        )
    return rounded


def _companions(like: Checkpoint) -> Iterator[str]:
    """The files that belong to a checkpoint and are no weights; hidden ones are left out."""
    for inner in ("", *INNER_FOLDERS):
        folder = like.folder / inner
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            name = path.name.lower()
            weights = name.endswith((".safetensors", ".index.json", *OTHER_WEIGHTS))
            if path.is_file() and not name.startswith(".") and not weights:
                yield str(path.relative_to(like.folder))
    if like.index:
        yield like.index
