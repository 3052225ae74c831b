"""What the tables of a study share: bounds of numbers, names, and how a table is checked."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo

from toroids.settings import MOST

Examples = Annotated[int, Field(ge=1, le=10_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]

# Passed to pydantic where a file is read in order to run it. Without it a study is only read, as
# from a run that another machine has left, and what it names need not be here.
HERE = {"here": True}


class Table(BaseModel):
    """A table of the file: unknown keys are mistakes, and nothing changes after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


def is_here(info: ValidationInfo) -> bool:
    """Whether what the study names has to be on this machine."""
    return bool(info.context)


def one_of(choices: Iterable[str]) -> AfterValidator:
    """Accepts one of some names, and lists them where it is another."""
    names = tuple(choices)

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"choose from {', '.join(names)}")
        return name

    return AfterValidator(check)


def _check_limit(value: Any) -> int | Literal["all"]:
    if value == "all":
        return "all"
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST:
        return value
    raise ValueError('pass a whole number, 0 or more, or "all"')


Limit = Annotated[int | Literal["all"], PlainValidator(_check_limit)]
