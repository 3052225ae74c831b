"""Values as sentences show them."""

from typing import Any


def shown(value: Any) -> str:
    """A value as a sentence shows it: as it was written where that is short, else its kind."""
    if isinstance(value, int) and abs(value) > 10**18:
        return "a number of more than 18 digits"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    plain = isinstance(value, int | float | str | bytes | list | tuple | type(None))
    try:
        text = repr(value) if plain else ""
    except ValueError:  # of a number with thousands of digits
        text = ""
    return text if text and len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"
