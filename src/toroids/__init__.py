"""Removes the symmetries of neural networks and measures their error landscape on what is left.

The public names are those of `toroids.public`, which is imported, with PyTorch, when the first of
them is asked for: the shell answers `toroids --help` without.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toroids.public import *  # noqa: F403
    from toroids.public import __all__ as __all__


class _Package(ModuleType):
    """A module that fetches the public names when the first of them is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # what Python itself looks for
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        public = import_module("toroids.public")
        found = {each: getattr(public, each) for each in public.__all__}
        self.__dict__.update(found, __all__=public.__all__)
        if name not in self.__dict__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self.__dict__[name]

    def __setattr__(self, name: str, value: object) -> None:
        # Importing the folder `align` puts it here, in the place of the function of that name.
        if name not in ("align", "compare") or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self.__all__})


sys.modules[__name__].__class__ = _Package
