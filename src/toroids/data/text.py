"""Text as tokens: characters or bytes, in windows whose every token is followed by another."""

import os
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import torch
from torch import Tensor

from toroids.arguments.checked import checked_data, checked_methods
from toroids.arguments.shown import shown
from toroids.data.dataset import Dataset, check_count, check_range
from toroids.errors import DataError
from toroids.files.reading import read_file, told

UNITS = ("characters", "bytes")
MOST_BYTES = 2**30
# What is no text has these, or bytes that are not UTF-8.
BINARY = "\0"


@checked_methods
@dataclass(frozen=True)
class Text(Dataset):
    """Windows of a text: inputs (n, length), and the tokens that follow each of them.

    Attributes:
        vocabulary: the tokens, each at its number: characters in their order, or all 256 bytes
            as characters of the same code.

    Example:
        >>> import toroids as td
        >>> data = td.data.text(length=32)
        >>> data.decode(data.encode("a class"))
        'a class'
    """

    _: KW_ONLY
    vocabulary: str
    unit: str = "characters"

    def encode(self, text: str) -> Tensor:
        """Turns a text into tokens.

        Args:
            text: of characters of the vocabulary, or any for bytes.

        Returns:
            Their numbers, of shape (tokens,).

        Raises:
            DataError: a character is not in the vocabulary.
        """
        if self.unit == "bytes":
            return torch.tensor(list(text.encode()), dtype=torch.long)
        numbers = {character: number for number, character in enumerate(self.vocabulary)}
        unknown = next((character for character in text if character not in numbers), None)
        if unknown is not None:
            raise DataError(
                f"the character {unknown!r} is not among the {self.classes} of the vocabulary; "
                'leave it out, or take unit="bytes".'
            )
        return torch.tensor([numbers[character] for character in text], dtype=torch.long)

    def decode(self, tokens: Tensor) -> str:
        """Turns tokens back into a text.

        Args:
            tokens: whole numbers of the vocabulary, of shape (time,).

        Returns:
            The text; bytes that are not UTF-8 become marks.

        Raises:
            DataError: a number is that of no token.
        """
        whole = not (tokens.is_floating_point() or tokens.is_complex())
        if not whole or (
            tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.classes
        ):
            raise DataError(
                f"the tokens are {tokens.dtype} and not all whole numbers from 0 to "
                f"{self.classes - 1}; pass tokens of this vocabulary."
            )
        numbers = tokens.flatten().tolist()
        if self.unit == "bytes":
            return bytes(numbers).decode(errors="replace")
        return "".join(self.vocabulary[number] for number in numbers)


@checked_data
def text(
    path: str | Path | None = None,
    length: int = 64,
    *,
    unit: str = "characters",
    share: float = 0.9,
    most: int | None = None,
) -> Text:
    """Cuts a text into windows of tokens, to predict each token from those before it.

    A window holds `length` tokens, and its targets are the same tokens moved on by one. Windows do
    not overlap. The first part of the text is for training and the rest for test, so that no
    test window is near a training one.

    Args:
        path: a file in UTF-8, or of any bytes where these are the unit. When None the topics of
            Python's own language reference, as `help()` shows them: nothing is downloaded. They
            are about 0.7 MB, and differ a little from one version of Python to the next.
        length: tokens of a window, 1 or more.
        unit: "characters", which are the vocabulary where they occur, or "bytes", all 256 of them.
        share: of the text that is for training, above 0 and below 1.
        most: how many tokens of the text are taken, from its beginning on; all when None.

    Returns:
        Inputs and targets of shape (n, length), numbers of tokens; `vocabulary`, `encode` and
        `decode` go from tokens to text and back.

    Raises:
        DataError: there is no such file, it is empty, is no text, or is too short for a window of
            training and one of test; a setting is out of range.

    Example:
        >>> import toroids as td
        >>> data = td.data.text(length=32)
        >>> inputs, targets = data.train
        >>> bool((inputs[:, 1:] == targets[:, :-1]).all())
        True
    """
    check_count("length", length, 1, 10_000_000)
    check_range("share", share, 0, 1)
    if unit not in UNITS:
        raise DataError(f"there is no unit {shown(unit)}; choose from {', '.join(UNITS)}.")
    if most is not None:
        check_count("most", most, 1, MOST_BYTES)
    source = "the language reference of Python" if path is None else f"`{os.fspath(path)}`"
    content = topics() if path is None else _read(path)
    if not content:
        raise DataError(f"{source} is empty; name a file that holds a text.")
    vocabulary, tokens = _bytes(content) if unit == "bytes" else _characters(content, source)
    tokens = tokens[:most]
    cut = round(share * len(tokens))
    parts = [_windows(part, length) for part in (tokens[:cut], tokens[cut:])]
    if any(len(inputs) == 0 for inputs, _ in parts):
        raise DataError(
            f"{source} has {len(tokens)} {unit}, {cut} of them for training; a window of {length} "
            f"needs {length + 1} in both parts; choose a longer text, a shorter `length` or "
            "another `share`."
        )
    return Text(parts[0], parts[1], len(vocabulary), vocabulary=vocabulary, unit=unit)


def topics() -> bytes:
    """The topics of Python's language reference, in the order of their names."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:  # some distributions leave it out
        raise DataError(
            "this Python comes without its language reference (pydoc_data); pass the path of a "
            "text."
        ) from error
    return "\n".join(topics[name] for name in sorted(topics)).encode()


def _read(path: str | Path) -> bytes:
    with told(path, "text", "name a file in UTF-8", DataError):
        return read_file(path, MOST_BYTES)


def _bytes(content: bytes) -> tuple[str, Tensor]:
    tokens = torch.frombuffer(bytearray(content), dtype=torch.uint8).long()
    return "".join(map(chr, range(256))), tokens


def _characters(content: bytes, source: str) -> tuple[str, Tensor]:
    try:
        found = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source} is no text in UTF-8 (byte {error.start} is {content[error.start]:#04x}); "
            'name another, or take unit="bytes".'
        ) from error
    if BINARY in found:
        raise DataError(
            f"{source} holds null characters, as binary files do; name a text, or take "
            'unit="bytes".'
        )
    if not found:  # but for a mark of its byte order
        raise DataError(f"{source} is empty; name a file that holds a text.")
    codes = torch.frombuffer(bytearray(found.encode("utf-32-le")), dtype=torch.int32)
    distinct, tokens = torch.unique(codes, return_inverse=True)
    return "".join(map(chr, distinct.tolist())), tokens


def _windows(tokens: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets; what is left of the text at the end is not used."""
    count = max(0, (len(tokens) - 1) // length)
    inputs, targets = (
        tokens[start : start + count * length].view(count, length).clone() for start in (0, 1)
    )
    return inputs, targets
