"""Objects of JSON from files that anybody may have written."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any


def read_object(text: str | bytes) -> dict[str, Any]:
    """Reads an object of JSON.

    Args:
        text: the JSON text.

    Returns:
        Its values by key.

    Raises:
        ValueError: it is something else, or names a key twice; says what, as a clause.

    Example:
        >>> from toroids.files.objects import read_object
        >>> read_object('{"a": [1, 2]}')
        {'a': [1, 2]}
    """
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    except ValueError as error:
        if "digits" in str(error):  # as Python says it, with advice of its own
            raise ValueError("a number has thousands of digits") from None
        raise
    if not isinstance(found, dict):
        raise ValueError(f"it is no object of JSON, but a {type(found).__name__}")
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return found
