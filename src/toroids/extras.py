"""Packages that only some parts of toroids need, which its optional extras install."""

import importlib
from importlib.util import find_spec
from typing import Any

from toroids.errors import DataError, ToroidsError


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


def check_extra(what: str, extra: str, *packages: str) -> None:
    """Raises unless packages are there, without importing any.

    Args:
        what: needs them, for the message.
        extra: of toroids, which lists the packages.
        packages: their names in Python.

    Raises:
        ToroidsError: one is not installed.
    """
    for package in packages:
        if find_spec(package) is None:
            raise ToroidsError(
                f"{what} needs the package `{package}`, which is not installed; pip install "
                f"'toroids[{extra}]'."
            )
