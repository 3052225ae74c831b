"""Which tensors of the files make up which tensor of a state dict."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch

from toroids.checkpoint.conversion import Piece
from toroids.errors import ParamsError

Shapes = Mapping[str, tuple[int, ...]]
Parts = dict[str, Piece]  # by their names in the files
# as released by TensorFlow, and still in the files of the first BERT
OLD_SPELLINGS = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


class Matching:
    """A search for the names of a state dict among the names of files.

    Attributes:
        files: the shapes in the files.
        expected: the shapes in the state dict.
        ties: for every tied name all names of its tensor.
        optional: names that the files may lack.
    """

    def __init__(
        self,
        files: Shapes,
        expected: Shapes,
        tied: Mapping[str, str],
        optional: frozenset[str],
    ) -> None:
        """Prepares the search."""
        self.files, self.expected, self.optional = files, expected, optional
        self.ties: dict[str, list[str]] = {}
        for name, first in tied.items():
            self.ties.setdefault(first, [first]).append(name)
        self.ties.update({name: self.ties[first] for name, first in tied.items()})
        self._missing: list[str] | None = None  # in the best attempt, whose spelling is
        self._spelling: Callable[[str], str] = str

    def find(self, pieces: Mapping[str, Piece]) -> dict[str, Parts] | None:
        """Finds every name, as it is or with one prefix added or removed.

        Args:
            pieces: how files name and cut the tensors; empty where they hold them as they are.

        Returns:
            For every name its parts, optional ones left out; None if names are missing.

        Raises:
            ParamsError: two prefixes fit.
        """
        own: dict[str, Parts] = {}
        for file_name, piece in pieces.items():
            own.setdefault(piece.name, {})[file_name] = piece
        found = self._attempt(own, str)
        if found is not None:
            return found
        names = list(pieces or self.expected)
        changed = (self._attempt(own, spelling) for spelling in self._spellings(names))
        complete = [attempt for attempt in changed if attempt is not None]
        for other in complete[1:]:
            if other != complete[0]:
                one, two = (next(iter(next(iter(a.values())))) for a in (complete[0], other))
                raise ParamsError(
                    f"the files hold the network twice, as `{one}` and as `{two}`; keep one."
                )
        return complete[0] if complete else None

    def failure(self, path: str) -> str:
        """Says what the best attempt lacked."""
        missing = self._missing or []
        for name in missing:
            shape = self.files.get(self._spelling(name))
            if shape not in (None, self.expected[name]):
                return (
                    f"`{name}` has shape {self.expected[name]} in the network but {shape} in the "
                    f"checkpoint `{path}`; take the network that the checkpoint was saved from."
                )
        known = {self._spelling(name) for name in self.expected}
        spare = [name for name in self.files if name not in known]
        return (
            f"the checkpoint `{path}` lacks {listed(missing)}"
            + (f" and holds {listed(spare)}, which the network does not name" if spare else "")
            + "; take the network that the checkpoint was saved from."
        )

    def _spellings(self, names: list[str]) -> Iterator[Callable[[str], str]]:
        """Ways to change the names: a prefix that many carry removed, or one added to all."""
        prefixes = Counter(
            name[: i + 1] for name in names for i in range(len(name)) if name[i] == "."
        )
        for prefix, times in prefixes.items():
            if 4 * times > len(names):
                yield partial(_removed, prefix)
        certain = [n for n in names if n not in self.ties and n not in self.optional]
        probe = max(certain, key=len, default=None)  # with a prefix added, this is there for sure
        for name in self.files if probe else ():
            if name.endswith(f".{probe}"):
                yield partial(_added, name.removesuffix(probe or ""))

    def _attempt(
        self, own: Mapping[str, Parts], spelling: Callable[[str], str]
    ) -> dict[str, Parts] | None:
        found: dict[str, Parts] = {}
        owners: dict[str, str] = {}
        missing = []
        for name in self.expected:
            ties = self.ties.get(name, [name])
            options = (self._parts(other, own, spelling) for other in (name, *ties))
            parts = next((option for option in options if option is not None), None)
            # two tensors that are not tied cannot be one in the files
            if parts is not None and all(owners.setdefault(f, ties[0]) == ties[0] for f in parts):
                found[name] = parts
            elif name not in self.optional:
                missing.append(name)
        if self._missing is None or len(missing) < len(self._missing):
            self._missing, self._spelling = missing, spelling
        return None if missing else found

    def _parts(
        self, name: str, own: Mapping[str, Parts], spelling: Callable[[str], str]
    ) -> Parts | None:
        parts = {}
        for plain, piece in own.get(name, {name: whole(name, self.expected[name])}).items():
            file_name = spelling(plain)
            for new, old in OLD_SPELLINGS.items():
                if file_name not in self.files and file_name.endswith(new):
                    file_name = file_name.removesuffix(new) + old
            if self.files.get(file_name) != piece.size:
                return None
            parts[file_name] = piece
        return parts


def whole(name: str, shape: tuple[int, ...]) -> Piece:
    """The piece that is all of a tensor."""
    return Piece(name, shape, torch.empty(shape, device="meta").stride(), 0)


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _removed(prefix: str, name: str) -> str:
    return name.removeprefix(prefix)


def _added(prefix: str, name: str) -> str:
    return prefix + name
