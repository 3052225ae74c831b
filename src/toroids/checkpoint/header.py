"""The header of a safetensors file: where which tensor lies.

A file is eight bytes (the header's length, little endian), the header as JSON, and the tensors'
bytes without gaps: https://github.com/huggingface/safetensors#format.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from toroids.checkpoint.mapping import Stamp, stamp_of
from toroids.errors import ParamsError
from toroids.files.objects import read_object
from toroids.files.reading import open_file

LARGEST = 100_000_000  # bytes of a header, the limit of the format
MOST_AXES = 1000  # of a tensor
POINTER = b"version https://git-lfs"  # what a clone without Git LFS holds in place of a large file
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Entry:
    """One tensor of a file.

    Attributes:
        dtype: the type of its entries.
        shape: its shape.
        offset: where it begins in the file, in bytes.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Header:
    """What a safetensors file says about itself.

    Attributes:
        entries: the tensors, in the order of their bytes.
        metadata: free text by name, as {"format": "pt"}.
        size: bytes before the first tensor.
        stamp: of the file, as it was when this was read.
    """

    entries: dict[str, Entry]
    metadata: dict[str, str]
    size: int
    stamp: Stamp = field(compare=False)

    @property
    def content(self) -> int:
        """Bytes of all tensors."""
        return sum(math.prod(x.shape) * x.dtype.itemsize for x in self.entries.values())


def read_header(path: Path) -> Header:
    """Reads and checks the header of a safetensors file.

    Args:
        path: the file.

    Returns:
        The header; its entries cover the whole file.

    Raises:
        ParamsError: the file cannot be read, or is not a whole safetensors file.
    """
    try:
        with open_file(path) as stream:
            start = stream.read(len(POINTER))
            if start == POINTER:
                raise ParamsError(f"`{path}` is a Git LFS pointer; fetch it with `git lfs pull`.")
            size = int.from_bytes(start[:8], "little")
            found = os.fstat(stream.fileno())
            length = found.st_size
            if len(start) < 8 or size > min(LARGEST, length - 8):
                raise ValueError("it ends before its header does")
            stream.seek(8)
            content = stream.read(size)
            data = read_object(content)
            if b"\\u" in content and not _is_writable(data):
                raise ValueError("a name holds half of a character")
        metadata = data.pop("__metadata__", None) or {}
        if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
            raise ValueError("its metadata is not text")
        return Header(dict(_entries(data, 8 + size, length)), metadata, 8 + size, stamp_of(found))
    except OSError as error:
        raise ParamsError(
            f"`{path}` cannot be read ({error.strerror or error}); pass a safetensors file."
        ) from error
    except ValueError as error:
        if isinstance(error, ParamsError):
            raise
        raise ParamsError(
            f"`{path}` is not a whole safetensors file ({error}); write weights with "
            "safetensors.torch.save_file(model.state_dict(), path), or download it again."
        ) from error


def header_bytes(header: Header, more: Mapping[str, str]) -> bytes:
    """Writes a header as a file begins with it.

    Args:
        header: its entries must be in the order of their bytes.
        more: further metadata, which come first.

    Returns:
        The length and the text, padded so that the tensors begin at a multiple of eight.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    data: dict[str, Any] = {"__metadata__": {**more, **header.metadata, **more}}
    for name, entry in header.entries.items():
        begin = entry.offset - header.size
        end = begin + math.prod(entry.shape) * entry.dtype.itemsize
        data[name] = {
            "dtype": names[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _is_writable(data: dict[str, Any]) -> bool:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_entry(name: str, entry: Any) -> None:
    """Raises a ValueError unless an entry says of which type and shape a tensor is, and where."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"`{name}` lacks its type, shape or place")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        raise ValueError(f"`{name}` is of the type {entry['dtype']}, which is not supported")
    shape, place = entry["shape"], entry["data_offsets"]
    rows = isinstance(shape, list) and isinstance(place, list) and len(place) == 2
    if not rows or not all(type(size) is int and size >= 0 for size in (*shape, *place)):
        raise ValueError(f"the shape {shape} or the place {place} of `{name}` is no row of sizes")


def _entries(data: dict[str, Any], start: int, length: int) -> Iterator[tuple[str, Entry]]:
    position = 0
    for name, entry in data.items():
        _check_entry(name, entry)
    for name, entry in sorted(data.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        begin, end = entry["data_offsets"]
        dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
        # also of no entries: what PyTorch multiplies of their strides has to fit
        sizes = [max(size, 1) for size in shape]
        if len(sizes) > MOST_AXES or math.prod(sizes) * dtype.itemsize >= 2**63:
            raise ValueError(f"`{name}` of shape {shape} is larger than any tensor")
        if begin != position or end - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"`{name}` of shape {shape} does not fill its {end - begin} bytes")
        position = end
        yield name, Entry(dtype, shape, start + begin)
    if start + position != length:
        raise ValueError(f"it has {length} bytes where its header says {start + position}")
