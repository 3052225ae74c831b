"""Files that carry their own checksum: results as JSON, weights as safetensors.

A file that a killed process, a full disk or a failing one left damaged is told from a whole one by
reading it alone. A result is one line, `{"sha256": ..., "content": ...}`; weights keep the checksum
of their names, types, shapes and bytes in the metadata of the safetensors header.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from toroids.errors import ToroidsError
from toroids.files import write_atomically
from toroids.params import Params, refuse_pickle

SEAL = "sha256"


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
        found = json.loads(path.read_text(encoding="utf-8"))
        content, seal = found["content"], found[SEAL]
        whole = seal == _digest(_json(content).encode())
    except (ValueError, KeyError, TypeError, RecursionError):
        whole, content = False, None
    if not whole:
        raise DamagedFile(f"`{path}` is damaged: its checksum does not fit; run the study again.")
    return content


def save_network(params: Params, path: Path) -> None:
    """Writes weights as a safetensors file whose header holds their checksum, atomically.

    Args:
        params: parameters and buffers by name, on any device.
        path: the file.
    """
    # A file holds each tensor on its own: tied and sliced tensors are copied out of their storage.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in params.items()}
    seal = {SEAL: _seal_of(tensors)}
    write_atomically(path, safetensors.torch.save(tensors, metadata=seal))


def load_network(path: Path) -> dict[str, torch.Tensor]:
    """Reads weights that `save_network` wrote; nothing is unpickled.

    Args:
        path: the file.

    Returns:
        The tensors by name, on the CPU.

    Raises:
        ParamsError: the file is a pickle, as `torch.save` writes it.
        DamagedFile: the file is not whole.
        FileNotFoundError: there is none.
    """
    refuse_pickle(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            seal = (file.metadata() or {}).get(SEAL)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except safetensors.SafetensorError:
        seal, tensors = None, {}
    if seal is None or seal != _seal_of(tensors):
        raise DamagedFile(f"`{path}` is damaged: its checksum does not fit; run the study again.")
    return tensors


def _seal_of(tensors: Params) -> str:
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
