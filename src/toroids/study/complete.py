"""What a row needs to have, by the kind of its task, so that those who read it can rely on it.

A checksum tells that a file is as it was written, not by whom. A result that lacks something counts
as none: whoever runs the study computes it again, and whoever reads it shows what else there is.
"""

from typing import Any

from toroids.statistics.row import Row

NUMBER = int | float
# Where something is not finite a row holds None.
MEASURED = int | float | None
NAMES: dict[str, Any] = {"architecture": str, "seconds": NUMBER}
NETWORK: dict[str, Any] = {**NAMES, "name": str, "solver": str, "seed": int}
TWO: dict[str, Any] = {**NAMES, "a": str, "b": str, "solver_a": str, "solver_b": str}
FIELDS: dict[str, dict[str, Any]] = {
    "symmetry": {**NAMES, "group": str, "table": str, "deviation": MEASURED, "parameters": int},
    "train": {**NETWORK, "ended": str, "epochs": int, "history": list, "config": dict},
    "measure": {
        **NETWORK, "train_error": MEASURED, "test_error": MEASURED, "test_error_stderr": MEASURED,
        "train_loss": MEASURED, "test_loss": MEASURED, "flatness": dict,
    },
    "pair": {**TWO, "method": str, "similarity": dict, "layers": list},
    "bend": {**TWO, "profiles": dict},
    "section": {**NAMES, "networks": list},
}  # fmt: skip


def is_complete(kind: str, row: Row) -> bool:
    """Tells whether a row has what those of its kind have.

    Args:
        kind: of the task that left it.
        row: plain data.

    Returns:
        Whether every field is there, and of its type; others may be there, too.
    """
    return all(name in row and _is(row[name], what) for name, what in FIELDS.get(kind, {}).items())


def _is(value: Any, what: Any) -> bool:
    return isinstance(value, what) and not isinstance(value, bool)
