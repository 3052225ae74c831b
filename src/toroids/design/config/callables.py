"""Functions that a study names as `package.module:function`, which build networks of one's own."""

import importlib
import os
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, ValidationInfo
from torch import nn

from toroids.binary.layers import BinaryConv2d, BinaryLinear
from toroids.design.config.fields import is_here
from toroids.errors import ConfigError
from toroids.models.load import called, imported

_FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def source_of(module: str) -> Path:
    """Finds the file of a module without importing anything.

    Args:
        module: its dotted name; the current folder is searched first, as when it is imported.

    Returns:
        The file.

    Raises:
        ConfigError: there is none.
    """
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    places: list[str] | None = [os.getcwd(), *sys.path]
    spec, parts = None, module.split(".")
    for depth in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: depth + 1]), places) if places else None
        places = list(spec.submodule_search_locations or ()) if spec else None
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"there is no module `{module}` in the current folder or among what is installed; "
            "name one, as package.module:function."
        )
    return Path(spec.origin)


def build_custom(name: str, arguments: dict[str, Any], seed: int, binary: bool) -> nn.Module:
    """Imports a function and calls it.

    Args:
        name: `package.module:function`; the current folder is searched first.
        arguments: passed by name, besides `seed`.
        seed: of the initialisation.
        binary: whether the network is said to have binary weights.

    Returns:
        The network.

    Raises:
        ConfigError: nothing of that name, it does not take the arguments, or it returns something
            else.
    """
    model = called(name, imported(name), seed=seed, **arguments)
    signs = any(isinstance(module, BinaryConv2d | BinaryLinear) for module in model.modules())
    if signs != binary:
        kind, other = ("binary", "true") if signs else ("real", "false")
        raise ConfigError(f"`{name}` gives a network of {kind} weights; say binary = {other}.")
    return model


def _check_callable(name: str, info: ValidationInfo) -> str:
    if not _FORM.fullmatch(name):
        raise ValueError("write package.module:function")
    if is_here(info):
        source_of(name.partition(":")[0])
    return name


Callable: TypeAlias = Annotated[str, AfterValidator(_check_callable)]
