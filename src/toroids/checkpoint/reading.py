"""A network in safetensors files, one or many, as a mapping that holds no tensor in memory."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from torch import Tensor

from toroids.checkpoint.header import LARGEST, Header, read_header
from toroids.checkpoint.mapping import mapped
from toroids.errors import ParamsError
from toroids.files.objects import read_object
from toroids.files.reading import read_file

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# weights in other formats, which are not read, and not copied beside weights that have changed
OTHER_WEIGHTS = (
    ".bin .pt .pth .ckpt .pkl .pickle .joblib .npy .npz .h5 .hdf5 .keras .msgpack .onnx .onnx_data "
    ".gguf .ggml .ot .tflite .mlmodel .pb .pdparams .nemo .mar .engine"
).split()
SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True, eq=False, repr=False)
class Checkpoint(Mapping[str, Tensor]):
    """The tensors of a checkpoint by name, each mapped from its file whenever it is asked for.

    Writing into such a tensor changes neither the file nor what is read later.

    Attributes:
        folder: where the files are.
        headers: what every file holds, by its name in `folder`.
        index: name of the index file in `folder`; None where one file holds everything.
        alone: whether one file was opened by its name, so that its neighbours are not part of it.
    """

    folder: Path
    headers: Mapping[str, Header]
    index: str | None = None
    alone: bool = False
    _places: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for file, header in self.headers.items():
            self._places.update(dict.fromkeys(header.entries, file))

    @property
    def files(self) -> dict[str, tuple[str, ...]]:
        """Names of the tensors in every file, in the order of their bytes."""
        return {file: tuple(header.entries) for file, header in self.headers.items()}

    @property
    def metadata(self) -> dict[str, dict[str, str]]:
        """The metadata of every file, as {"format": "pt"}."""
        return {file: dict(header.metadata) for file, header in self.headers.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor, without touching any."""
        entries = (header.entries.items() for header in self.headers.values())
        return {name: entry.shape for each in entries for name, entry in each}

    @property
    def size(self) -> int:
        """Bytes of all files with weights."""
        return sum(header.size + header.content for header in self.headers.values())

    def __getitem__(self, name: str) -> Tensor:
        file = self._places[name]
        header = self.headers[file]
        entry = header.entries[name]
        return mapped(self.folder / file, entry.offset, entry.dtype, entry.shape, header.stamp)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def path(self) -> Path:
        """The file, where one holds everything; else the folder."""
        return self.folder if self.index else self.folder / next(iter(self.headers))

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.folder)!r}, {len(self.headers)} files, {len(self)} tensors)"


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Opens weights for reading; nothing is ever unpickled or executed.

    Args:
        path: a safetensors file; an index, as `model.safetensors.index.json`, with its shards
            beside it; or a folder with `model.safetensors` or `model.safetensors.index.json`, or
            else with a single index or a single safetensors file.

    Returns:
        The tensors by name; none is read yet.

    Raises:
        ParamsError: there are no such weights, or a file is missing or damaged or disagrees with
            the index.

    Example:
        >>> import tempfile, torch, toroids as td
        >>> from toroids.checkpoint import open_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     td.save_params({"weight": torch.ones(2, 3)}, f"{folder}/model.safetensors")
        ...     open_checkpoint(folder)["weight"].sum()
        tensor(6.)
    """
    path = Path(path)
    if os.path.isdir(path):
        found = _weights_in(path)
        return _indexed(found) if found.name.endswith(".json") else _single(found)
    if not os.path.lexists(path):
        raise ParamsError(
            f"there is no checkpoint `{path}`; pass a safetensors file, its index, or a folder."
        )
    if path.suffix in PICKLES:
        raise ParamsError(_unsafe(str(path)))
    return _indexed(path) if path.suffix == ".json" else _single(path, alone=True)


def _weights_in(folder: Path) -> Path:
    for known in (FILE, INDEX):
        if os.path.isfile(folder / known):
            return folder / known
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    for ending in (".safetensors.index.json", ".safetensors"):
        found = [name for name in names if name.endswith(ending)]
        if len(found) == 1:
            return folder / found[0]
        shards = [name for name in found if SHARD.search(name)]
        if shards:
            raise ParamsError(
                f"`{folder}` holds the shard `{shards[0]}` but no index, as `{INDEX}`, which says "
                "what belongs together; download it beside the shards."
            )
        if found:
            raise ParamsError(
                f"`{folder}` holds neither `{FILE}` nor `{INDEX}` but {len(found)} files as "
                f"`{found[0]}` and `{found[1]}`; pass the one that you mean."
            )
    other = [name for name in names if name.endswith(tuple(OTHER_WEIGHTS))]
    if other:
        raise ParamsError(_unsafe(str(folder / other[0])))
    raise ParamsError(
        f"`{folder}` holds no weights; expected `{FILE}`, or `{INDEX}` with its shards."
    )


def _unsafe(path: str) -> str:
    return (
        f"`{path}` is not a safetensors file, and formats that may execute code are never read; "
        "convert it: load it once with the model's own from_pretrained, then "
        "model.save_pretrained(NEW_FOLDER) writes safetensors."
    )


def _single(path: Path, alone: bool = False) -> Checkpoint:
    return Checkpoint(path.parent, {path.name: read_header(path)}, alone=alone)


def _indexed(path: Path) -> Checkpoint:
    places = weight_map(path)
    headers = {}
    for file in dict.fromkeys(places.values()):
        place = path.parent / file
        if not os.path.lexists(place) or os.path.isdir(place):
            raise ParamsError(
                f"the index `{path}` names the shard `{file}`, which is not there; download all "
                "shards into one folder."
            )
        headers[file] = read_header(place)
        listed = {name for name, place in places.items() if place == file}
        for names, where in (
            (listed - headers[file].entries.keys(), "is in the index but not in the shard"),
            (headers[file].entries.keys() - listed, "is in the shard but not in the index"),
        ):
            if names:
                raise ParamsError(
                    f"`{path}` and its shard `{file}` disagree: `{min(names)}` {where} "
                    f"({len(names)} such names); download both again."
                )
    return Checkpoint(path.parent, headers, index=path.name)


def weight_map(path: Path) -> dict[str, str]:
    """Reads an index.

    Args:
        path: as `model.safetensors.index.json`.

    Returns:
        The shard by the name of its tensor, all of them below the index's own folder.

    Raises:
        ParamsError: it is no index, or names a file elsewhere.
    """
    try:
        places = read_object(read_file(path, LARGEST)).get("weight_map")
        named = isinstance(places, dict) and all(isinstance(file, str) for file in places.values())
        if not places or not named:
            raise ValueError("its `weight_map` is missing, empty, or maps to something else")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ParamsError(
            f"`{path}` is no index of safetensors shards ({reason}); "
            'expected {"weight_map": {tensor name: file name}}.'
        ) from error
    for file in places.values():
        parts = (*PurePosixPath(file).parts, *PureWindowsPath(file).parts)
        if ".." in parts or PurePosixPath(file).is_absolute() or PureWindowsPath(file).anchor:
            raise ParamsError(
                f"the index `{path}` names the shard `{file}`, which lies outside its folder; "
                "a checkpoint is one folder."
            )
    return dict(places)
