"""Packages that only some data sets need."""

import importlib
from typing import Any

from toroids.errors import DataError


def load_extra(module: str, extra: str) -> Any:
    """Imports a module of a package that one of the optional extras installs.

    Args:
        module: its dotted name.
        extra: of toroids, which lists the package.

    Returns:
        The module.

    Raises:
        DataError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise DataError(
            f"this needs the package `{package}`, which cannot be imported ({error}); "
            f"pip install 'toroids[{extra}]'."
        ) from error
