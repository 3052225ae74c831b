"""Bounds of arguments and options: more is a slip of the keyboard, which would never end."""

from toroids.errors import ToroidsError

# The largest numbers that are taken, by the name of the argument or option.
LARGEST = {
    "points": 100_000,
    "resolution": 10_000,
    "workers": 10_000,
    **dict.fromkeys(("depth", "heads", "blocks", "layers"), 100_000),
    **dict.fromkeys(
        ("samples", "least", "most", "orders", "steps", "trials", "probes", "iterations"), 1_000_000
    ),
    **dict.fromkeys(("budget", "corrupt_budget", "candidates", "copies", "replicas"), 1_000_000),
    **dict.fromkeys(("hidden", "widths", "channels", "classes", "size", "width"), 1_000_000),
    **dict.fromkeys(("inputs", "train", "test", "examples", "entries"), 10_000_000),
    "seed": 2**63 - 1,
}
LARGEST_OF_ALL = 10**9  # where nothing else is said
LONGEST = 10_000_000  # of lists, which are read item by item


def check_seconds(seconds: object, start: str) -> None:
    """Raises unless `seconds` is None or a positive number that somebody may wait.

    Args:
        seconds: what came.
        start: how the message begins.

    Raises:
        ToroidsError: it is something else.
    """
    if seconds is None or (isinstance(seconds, int | float) and 0 < seconds <= LARGEST_OF_ALL):
        return
    raise ToroidsError(f"{start}; pass a positive number up to {LARGEST_OF_ALL:,}, or None.")
