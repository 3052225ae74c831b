"""A row: one measurement of a study, or what follows from several, as plain JSON data."""

from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
