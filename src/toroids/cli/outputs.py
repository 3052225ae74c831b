"""Where all commands write: never onto what they read, and onto nothing that is not theirs.

A file appears whole or not at all, and takes the place only of one that a command of toroids wrote
and nobody has changed since, or of any other where --force says so.
"""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from toroids.checkpoint import Checkpoint, check_out, save_checkpoint, write_file
from toroids.design.config.callables import source_of
from toroids.errors import ConfigError, ToroidsError
from toroids.files.seal import BLANK, Sealing, check_ours, sealed_page, sealing
from toroids.files.writing import make_folder
from toroids.models.load import imported
from toroids.params import Params

SEAL = {"toroids": BLANK}
Force = Annotated[
    bool, typer.Option("--force", help="Replace a file that no command of toroids wrote.")
]


class Output:
    """A place that a command writes to.

    Attributes:
        path: as it was named; where it is a link, what it leads to is written.
    """

    def __init__(
        self, path: Path, inputs: Sequence[str | Path], force: bool, option: str = "--out"
    ) -> None:
        """Names the place.

        Args:
            path: a file, or a folder for weights that are one.
            inputs: files and folders that the command reads; those that are not there count not.
            force: whether a file that is not ours is replaced.
            option: which names the path, for messages.
        """
        self.path, self._force, self._option = path, force, option
        self._inputs = [Path(each) for each in inputs]

    def check(self) -> None:
        """Raises, before long work, unless a file may be written here.

        Raises:
            ConfigError: it is one of the inputs, no file, or one that is not ours.
        """
        found = self._found()
        if found is not None and not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise ConfigError(f"`{self.path}` is {kind}; name a file with {self._option}.")
        self._check_inputs()
        if not self._force:
            advice = f"name another file with {self._option}, or pass --force to replace it"
            check_ours(self.path, advice)
        make_folder(self._place.parent)

    def check_like(self, like: Checkpoint) -> None:
        """Raises, before long work, unless weights in the layout of others may be written here.

        Raises:
            ToroidsError: as for a file; or a folder that is not empty.
        """
        if like.alone:
            self.check()
        else:
            self._check_inputs()
        check_out(like, self.path)

    def write(self, content: bytes) -> None:
        """Writes a file."""
        with self._stream() as stream:
            stream.write(content)

    def write_page(self, page: str) -> None:
        """Writes a page of HTML."""
        self.write(sealed_page(page))

    def write_like(self, params: Params, like: Checkpoint) -> None:
        """Writes weights in the layout of others, one tensor at a time."""
        if not like.alone:
            save_checkpoint(params, like, self.path)
            return
        with self._stream() as stream:
            write_file(params, like, stream, SEAL)

    @contextmanager
    def _stream(self) -> Iterator[Sealing]:
        with sealing(self._place) as stream:
            yield stream
            self.check()  # again: much may have happened meanwhile

    @property
    def _place(self) -> Path:
        return Path(os.path.realpath(self.path))

    def _found(self) -> os.stat_result | None:
        try:
            return os.stat(self.path)
        except FileNotFoundError:  # also at the end of a link
            return None

    def _check_inputs(self) -> None:
        for module in _imported(self._found()):
            raise ConfigError(
                f"`{self.path}` is what the command reads, the module {module}; name another file "
                f"with {self._option}."
            )
        for source in self._inputs:
            files, folders = _held(source)
            if any(map(self._is, files)):
                raise ConfigError(
                    f"`{self.path}` is what the command reads, `{source}`; name another file "
                    f"with {self._option}."
                )
            if any(self._place.is_relative_to(folder) for folder in folders):
                raise ConfigError(
                    f"`{self.path}` lies in a folder that the command reads, `{source}`; name a "
                    f"place outside of it with {self._option}."
                )

    def _is(self, file: Path) -> bool:
        """Whether a file is the output, under whatever name: a link, a hard link, not there yet."""
        with suppress(OSError):
            if os.path.samefile(self.path, file):
                return True
        return os.path.realpath(file) == str(self._place)


def _held(source: Path) -> tuple[list[Path], list[Path]]:
    """What is read of a file or a folder: its files, and where its folders are, links followed."""
    files, folders = [source], list[Path]()
    for name, inner, names in os.walk(source, followlinks=True):
        place = Path(os.path.realpath(name))
        if place in folders:  # a link that leads back
            inner.clear()
            continue
        folders.append(place)
        files += [Path(name) / each for each in names]
    return files, folders


def _imported(found: os.stat_result | None) -> Iterator[str]:
    """Which modules have been imported from a file: the model's own, and all that it imports."""
    if found is None:
        return
    for name, module in list(sys.modules.items()):
        with suppress(OSError, TypeError, ValueError):  # of one that is no file
            if os.path.samestat(os.stat(vars(module).get("__file__") or ""), found):
                yield name


def weight_files(*weights: Path) -> list[Path]:
    """What weights are read from: of an index also the shards, which lie beside it."""
    return [path.parent if path.suffix == ".json" else path for path in weights]


def model_files(model: str) -> list[Path]:
    """What a model is read from: a folder, or the file of the module that builds it.

    The module is imported, so that what it imports counts as read, too.

    Args:
        model: as it was named.

    Returns:
        Their paths; none where nothing is of that name.
    """
    if os.path.isdir(model):
        return [Path(model)]
    with suppress(Exception, SystemExit):  # whoever builds the model will say what is wrong
        imported(model)
    with suppress(ToroidsError, ValueError, ImportError):
        return [source_of(model.partition(":")[0])]
    return []
