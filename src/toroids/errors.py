"""What toroids raises: one sentence that says what, what was expected, what came, what to do."""

import re

__all__ = [
    "ConfigError",
    "DataError",
    "NotFiniteError",
    "ParamsError",
    "ProofWarning",
    "ToroidsError",
]

HEAD, TAIL = 2000, 1000  # characters of a sentence that are kept: what it is about, and what to do
LONG = re.compile(r"\S{500,}")  # no word, and hardly a path: it would bury what is said about it
# What steers a terminal, ends or turns a line, or is no character: a byte of a name that is none.
UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def one_line(sentence: object) -> str:
    r"""Brings a sentence to one line of bounded length, whatever names and values it repeats.

    Args:
        sentence: also one that quotes an error of several lines.

    Returns:
        The text, with what is long cut and what steers a terminal escaped.

    Example:
        >>> one_line("no file `a\rb`;\n name another.")
        'no file `a\\rb`; name another.'
    """
    text = str(sentence)
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]}[...]{text[-TAIL:]}"
    text = re.sub(r"\s*\n\s*", " ", text)
    text = LONG.sub(lambda found: f"{found[0][:60]}[...]{found[0][-2:]}", text)
    return escaped(text)


def escaped(text: str) -> str:
    """Escapes what steers a terminal, turns a line, or is no character; lines stay lines."""
    return UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


class ToroidsError(ValueError):
    """A request that cannot be carried out; its text is meant to be read by a person.

    Example:
        >>> import toroids as td
        >>> try:
        ...     td.geometry.Polyline([])
        ... except td.ToroidsError as error:
        ...     print(error)
        there are 0 networks of a polyline; pass two or more.
    """

    def __init__(self, sentence: object = "") -> None:
        """Keeps the sentence on one line, and short where it repeats something long."""
        super().__init__(one_line(sentence))


class ArgumentError(ToroidsError):
    """An argument of another kind or size than a function takes.

    Attributes:
        name: of the argument.
        value: what came, as a sentence shows it.
        advice: what to do.

    Example:
        >>> import toroids as td
        >>> try:
        ...     td.data.digits(train="all")
        ... except td.ToroidsError as error:
        ...     print(error)
        `train` is 'all'; pass a whole number up to 10,000,000.
    """

    def __init__(self, name: str, value: str, advice: str) -> None:
        """Joins the three to a sentence."""
        super().__init__(f"`{name}` is {value}; {advice}.")
        self.name, self.value, self.advice = name, value, advice


class NotEnoughMemory(ToroidsError, MemoryError):
    """More memory was asked for than there is; with less at once the same may succeed."""

    def __init__(self, error: BaseException) -> None:
        """Keeps what the system said."""
        super().__init__(
            f"there is not enough memory for this ({first_line(error)}); ask for less at once."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether an error means that memory was refused, which PyTorch says in words only."""
    signs = (
        "allocate memory",
        "out of memory",
        "calculation overflowed",
        "multiplication overflow",
    )
    return isinstance(error, MemoryError) or any(sign in said(error) for sign in signs)


def said(error: BaseException) -> str:
    """What an error says; nothing where that fails, as it may in a user's own."""
    try:
        return str(error)
    except Exception:
        return ""


def first_line(error: BaseException) -> str:
    """What an error says first, without its full stop; its kind where it says nothing."""
    lines = [line.strip() for line in said(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(" .")


class ParamsError(ToroidsError):
    """Parameters that do not fit a group, a network, or each other, or that are not finite.

    Example:
        >>> import toroids as td
        >>> try:
        ...     td.load_params("missing.safetensors")
        ... except td.errors.ParamsError as error:
        ...     print(error)
        there is no weight file `missing.safetensors`; pass a safetensors file.
    """


class DataError(ToroidsError):
    """Examples or labels that cannot be used: empty, of the wrong shape, or outside the classes.

    Example:
        >>> import toroids as td
        >>> try:
        ...     td.data.digits(train=0)
        ... except td.errors.DataError as error:
        ...     print(error)
        the digits have 1797 images but train is 0; pass 1 to 1796, the rest is for test.
    """


class DataArgumentError(ArgumentError, DataError):
    """An argument of another kind or size than what makes data takes."""


class NotFiniteError(DataError):
    """Outputs or a loss that are NaN or infinite.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([2, 3, 2])
        >>> data = (torch.full((1, 2), torch.nan), torch.tensor([0]))
        >>> try:
        ...     td.evaluate(model, model.state_dict(), data)
        ... except td.errors.DataError as error:
        ...     print(type(error).__name__)
        NotFiniteError
    """


class CheckpointError(ToroidsError):
    """A checkpoint from which a work cannot go on: damaged, or of another work."""


class ConfigError(ToroidsError):
    """A study file, or a name in it, that cannot be used.

    See `toroids.study.load_config` for what raises it.
    """


class ProofWarning(UserWarning):
    """An action that a rule granted and the proof refused: it is left out of the group.

    It is a defect of toroids; `warnings.simplefilter("error", td.errors.ProofWarning)` makes it an
    error.

    Example:
        >>> import torch, warnings, toroids as td
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", td.errors.ProofWarning)  # rather none than a part
        ...     group = td.discover(td.models.fully_connected([64, 8, 10]), torch.randn(2, 64))
    """
