"""Files that carry their own checksum: results as JSON, weights as safetensors.

A file that a killed process, a full disk or a failing one left damaged is told from a whole one by
reading it alone. A result is one line, `{"sha256": ..., "content": ...}`; weights keep the checksum
of their names, types, shapes and bytes in the metadata of the safetensors header.
"""

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from toroids.errors import ToroidsError
from toroids.files.reading import open_file
from toroids.files.writing import write_atomically
from toroids.params import Params, apart, refuse_pickle

SEAL = "sha256"
# What a failing disk says, and what lies where a file should be.
UNREADABLE = (errno.EIO, errno.EISDIR, errno.ELOOP, errno.EINVAL)


class DamagedFile(ToroidsError):
    """A file whose checksum does not fit its content, or that is cut off."""


def write_sealed(path: Path, content: Any) -> None:
    """Writes plain data as one line of JSON with its checksum, atomically.

    Args:
        path: the file.
        content: plain data without NaN or infinity.
    """
    text = _json(content)
    line = f'{{"{SEAL}":"{_digest(text.encode())}","content":{text}}}\n'
    write_atomically(path, line.encode())


def read_sealed(path: Path) -> Any:
    """Reads what `write_sealed` wrote.

    Args:
        path: the file.

    Returns:
        The content.

    Raises:
        DamagedFile: the file is not whole.
        FileNotFoundError: there is none.
    """
    try:
        with open_file(path) as stream:
            found = json.loads(stream.read())
        content, seal = found["content"], found[SEAL]
        whole = seal == _digest(_json(content).encode())
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in UNREADABLE:
            raise
        whole, content = False, None
    if not whole:
        raise DamagedFile(f"`{path}` is damaged: its checksum does not fit; run the study again.")
    return content


def save_network(params: Params, path: Path) -> str:
    """Writes weights as a safetensors file whose header holds their checksum, atomically.

    Args:
        params: parameters and buffers by name, on any device.
        path: the file.

    Returns:
        The checksum.
    """
    tensors = apart(params)
    seal = _computed(tensors)
    write_atomically(path, safetensors.torch.save(tensors, metadata={SEAL: seal}))
    return seal


def load_network(path: Path, expected: str | None = None) -> dict[str, torch.Tensor]:
    """Reads weights that `save_network` wrote; nothing is unpickled.

    Args:
        path: the file.
        expected: their checksum, where it is known.

    Returns:
        The tensors by name, on the CPU.

    Raises:
        ParamsError: the file is a pickle, as `torch.save` writes it.
        DamagedFile: the file is not whole, or holds other weights.
        FileNotFoundError: there is none.
    """
    try:
        refuse_pickle(path)
        with safetensors.safe_open(path, framework="pt") as file:
            seal = (file.metadata() or {}).get(SEAL)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (safetensors.SafetensorError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in UNREADABLE:
            raise
        seal, tensors = None, {}
    if seal is None or seal != _computed(tensors) or expected not in (None, seal):
        raise DamagedFile(f"`{path}` is damaged: its checksum does not fit; run the study again.")
    return tensors


def seal_of(path: Path) -> str | None:
    """Reads the checksum that the header of a weight file holds; None where it holds none."""
    open_file(path).close()
    with safetensors.safe_open(path, framework="pt") as file:
        seal: str | None = (file.metadata() or {}).get(SEAL)
    return seal


def _computed(tensors: Params) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _json(content: Any) -> str:
    # keys stay in their order, which is that of the tables of a study; reading keeps it
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
