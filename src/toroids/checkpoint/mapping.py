"""Tensors that lie in a file: mapped into the address space, read page by page when used.

The mapping is private, so that writing into such a tensor changes neither the file nor what a later
reading gives, and it is of the tensor alone. `safetensors.safe_open` maps the whole file, which
Linux refuses for a file larger than its memory; Python's `mmap` keeps a file descriptor per mapping
(before 3.13), of which there are 1024. So the mapping is asked from the C library.
"""

import ctypes
import math
import mmap
import os
import sys
import weakref
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from toroids.errors import ParamsError
from toroids.files.reading import open_file

Stamp: TypeAlias = tuple[int, int]
# Python's name for it came in 3.13; without it every mapping counts as memory that may be needed,
# and Linux refuses one that is larger than its memory.
NORESERVE = {"linux": 0x4000, "darwin": 0x40}.get(sys.platform, 0)
ANONYMOUS = getattr(mmap, "MAP_ANONYMOUS", 0)
FIXED, DONTNEED = 0x10, 4  # the same on all systems that have them


def stamp_of(found: os.stat_result) -> Stamp:
    """By which it shows that a file was changed, or that another took its place."""
    return found.st_size, found.st_mtime_ns


def mapped(
    path: Path,
    offset: int,
    dtype: torch.dtype,
    shape: tuple[int, ...],
    stamp: Stamp | None = None,
) -> Tensor:
    """Maps a part of a file as a tensor on the CPU.

    Args:
        path: the file.
        offset: where the tensor begins, in bytes.
        dtype: the type of its entries.
        shape: its shape.
        stamp: of the file that is meant; any when None.

    Returns:
        The tensor; the file may be deleted or replaced, but not shortened, while it is in use.

    Raises:
        ParamsError: the file is gone, another one, too short or cannot be mapped.
    """
    length = math.prod(shape) * dtype.itemsize
    if length == 0:
        return torch.empty(shape, dtype=dtype, device="cpu")
    try:
        with open_file(path) as stream:
            # reading behind the end of a mapped file would kill the process
            found = os.fstat(stream.fileno())
            if found.st_size < offset + length:
                raise ParamsError(f"`{path}` has become shorter since it was opened; open it anew.")
            if stamp not in (None, stamp_of(found)):  # tensors of two networks make none
                raise ParamsError(f"`{path}` has been changed since it was opened; open it anew.")
            start = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
            buffer = _map(stream.fileno(), start, offset - start + length)
    except OSError as error:
        raise ParamsError(
            f"a tensor of `{path}` cannot be mapped ({error.strerror or error}); keep the file in "
            "its place, and readable, while its tensors are in use."
        ) from error
    # bytes first: a tensor may begin at any byte
    octets = torch.frombuffer(buffer, dtype=torch.uint8, offset=offset - start, count=length)
    aligned = octets if octets.data_ptr() % dtype.itemsize == 0 else octets.clone()
    return aligned.view(dtype).reshape(shape)


def raw(tensor: Tensor) -> memoryview:
    """The bytes of a tensor as a file holds them, copied only where they do not lie in order.

    Args:
        tensor: of any type, on any device.

    Returns:
        Its entries in row-major order.

    Raises:
        ParamsError: the tensor is sparse or quantised or has no entries in memory.
    """
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        raise ParamsError(
            f"a tensor of layout {tensor.layout} on {tensor.device} has no plain entries to "
            "write; pass dense tensors that hold their values."
        )
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().data


def repeated(
    handle: int, size: int, dtype: torch.dtype, shape: tuple[int, ...], begin: int = 0
) -> Tensor:
    """A tensor that shows the same file again and again, and takes no memory of its own.

    Writing into it copies the page that is written to.

    Args:
        handle: an open file.
        size: how many bytes of it are shown, a multiple of the size of a page.
        dtype: the type of its entries.
        shape: its shape.
        begin: the byte that is shown first, a multiple of the size of a page.

    Returns:
        The tensor, on the CPU.

    Raises:
        OSError: the system refuses so many mappings.
    """
    length = math.prod(shape) * dtype.itemsize
    buffer = _map(-1, 0, length, ANONYMOUS)  # a place that is free; then the file over it
    start = ctypes.addressof(buffer)
    done = 0
    while done < length:
        count = min(size - begin, length - done)
        _map_at(start + done, handle, begin, count, mmap.MAP_PRIVATE | FIXED)
        done, begin = done + count, 0
    return torch.frombuffer(buffer, dtype=torch.uint8, count=length).view(dtype).view(shape)


def forget(tensor: Tensor) -> None:
    """Gives back the pages of a tensor that shows a file; they are read again when it is used.

    Args:
        tensor: as `repeated` gives it; what was written into it is lost.
    """
    _library().madvise(tensor.data_ptr(), tensor.numel() * tensor.element_size(), DONTNEED)


def _map(handle: int, start: int, length: int, flags: int = 0) -> Any:
    """A writable buffer of private pages, unmapped when nothing refers to it any more."""
    if os.name != "posix":
        return mmap.mmap(handle, length, access=mmap.ACCESS_COPY, offset=start)
    address = _map_at(None, handle, start, length, mmap.MAP_PRIVATE | flags)
    buffer = (ctypes.c_ubyte * length).from_address(address)
    # not at exit, when tensors may still be alive: the process ends anyway
    weakref.finalize(buffer, _library().munmap, address, length).atexit = False
    return buffer


def _map_at(place: int | None, handle: int, start: int, length: int, flags: int) -> int:
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    found = _library().mmap(place, length, protection, flags | NORESERVE, handle, start)
    if found == ctypes.c_void_p(-1).value:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(found)


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return library
