"""Rows, the frozen values that a study consists of, and the plain data that files hold of them."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Field, Strict, TypeAdapter

# What files, and messages between processes, hold of a value.
Plain: TypeAlias = dict[str, Any]
# Numbers in files are of the type that they were written with: no text, and no truth value.
Real: TypeAlias = Annotated[float, Strict()]
Whole: TypeAlias = Annotated[int, Strict()]
Flag: TypeAlias = Annotated[bool, Strict()]
Measured: TypeAlias = Real | None  # None where something is not finite
Places: TypeAlias = Annotated[list[Real], Field(min_length=1)]  # where something was measured


@dataclass(frozen=True, kw_only=True)
class Part:
    """A value of files; a field with a default is left out there while it has that."""

    __pydantic_config__: ClassVar[Any] = {"allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class Row(Part):
    """One measurement of a study, what follows from several, or what is said of a run.

    Attributes:
        kind: by which files tell rows apart.
    """

    kind: ClassVar[str] = ""

    @property
    def data(self) -> Plain:
        """Plain data that say their kind."""
        return {"kind": self.kind, **plain(self)}

    def columns(self, *names: str) -> Plain:
        """Some of its fields, as columns of a table."""
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class OfArchitecture(Row):
    """A row of one architecture, which is called as in the study."""

    architecture: str


def plain(value: Any) -> Any:
    """Turns values into JSON data: tensors into lists, what is not finite into None."""
    if is_dataclass(value) and not isinstance(value, type):
        held = {field: getattr(value, field.name) for field in fields(value)}
        return {
            field.name: plain(item)
            for field, item in held.items()
            if not isinstance(value, Part) or field.default is MISSING or item != field.default
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def read(shape: Any, data: Any) -> Any:
    """Reads a row, or a part of one, from JSON data.

    Args:
        shape: its type, or a union of such.
        data: as `plain` writes it; more may be there.

    Returns:
        A value of that type.

    Raises:
        ValueError: a field is missing or of another type.
    """
    return _adapter(shape).validate_python(data)


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def alike(*values: list[Any]) -> None:
    """Raises ValueError unless lists are as long as each other."""
    if len({len(each) for each in values}) > 1:
        raise ValueError("they are not as long as each other")
