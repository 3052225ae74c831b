"""Which networks a study trains: `[networks.NAME]`, one kind of table for every model.

The keys of a table, their defaults and their bounds are those of the signature of the function that
makes the network: see `models.architecture`.
"""

import inspect
from abc import abstractmethod
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, get_args, get_origin

import pydantic
from pydantic import Field, JsonValue
from torch import nn

import toroids.models  # noqa: F401 - lists the architectures
from toroids.data import Dataset
from toroids.design.config.callables import Callable, build_custom, source_of
from toroids.design.config.digest import digest_file
from toroids.design.config.fields import Table, one_of
from toroids.errors import ToroidsError
from toroids.models.architecture import ARCHITECTURES, Architecture
from toroids.settings import OneOf


class NetworkBase(Table):
    """What all networks have."""

    model: str

    def build(self, data: Dataset, seed: int) -> nn.Module:
        """Builds the network for the inputs and classes of some data.

        Args:
            data: what it is for.
            seed: of the initialisation; the global random state is not changed.

        Returns:
            The network, on the CPU.

        Raises:
            ToroidsError: such a network cannot take these data.
        """
        shape = tuple(data.train[0].shape[1:])
        self.check_tokens(not data.train[0].is_floating_point())
        self.check(shape, data.classes)
        return self._made(shape, data.classes, seed)

    def identity(self) -> dict[str, Any]:
        """All that determines the network besides data and seed, as plain JSON data."""
        return self.model_dump(mode="json")

    @abstractmethod
    def check_tokens(self, tokens: bool) -> None:
        """Raises ToroidsError unless it takes what the data are, tokens or numbers."""

    @abstractmethod
    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Raises ToroidsError unless the network can take inputs of such a shape; costs little."""

    @abstractmethod
    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        """Builds the network."""


class NetworkTable(NetworkBase):
    """The settings of one of the networks of `models`."""

    architecture: ClassVar[Architecture]

    @property
    def binary(self) -> bool:
        """Whether the weights are -1 and +1."""
        return self.architecture.binary

    def check_tokens(self, tokens: bool) -> None:
        """Raises ToroidsError unless it takes what the data are, tokens or numbers."""
        takes = self.architecture.takes == "tokens"
        if takes and not tokens:
            raise ToroidsError("it takes tokens but the data are numbers; choose a text.")
        if tokens and not takes:
            those = " or ".join(x.name for x in ARCHITECTURES.values() if x.takes == "tokens")
            raise ToroidsError(
                f"it takes numbers but the data are tokens; choose {those}, or other data."
            )

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Raises ToroidsError unless the network can take inputs of such a shape; costs little."""
        self.architecture.check(shape, classes, self._settings)

    @property
    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.architecture.settings}

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        return self.architecture.build(shape, classes, self._settings, seed)

    @pydantic.model_validator(mode="after")
    def _agreeing(self) -> "NetworkTable":
        self.architecture.check_settings(self._settings)
        return self


class CustomConfig(NetworkBase):
    """A network of one's own: `callable` is called with `seed` and `arguments`.

    Nothing is imported before the network is built. `binary` says whether it has the layers of
    `toroids.binary`.
    """

    model: Literal["custom"]
    callable: Callable
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    binary: bool = False

    @pydantic.field_validator("arguments")
    @classmethod
    def _plain(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if "seed" in arguments:
            raise ValueError("remove seed, which every network of the study has of its own")
        return arguments

    def check_tokens(self, tokens: bool) -> None:
        """Takes what it takes."""

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Takes what it takes."""

    def identity(self) -> dict[str, Any]:
        """The settings and the content of the module's file, but not of what that imports."""
        module = self.callable.partition(":")[0]
        return {**super().identity(), "source": digest_file(source_of(module))}

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        return build_custom(self.callable, self.arguments, seed, self.binary)


def _table(architecture: Architecture) -> type[NetworkTable]:
    keys: dict[str, Any] = {
        name: (_read(x.annotation), ... if x.default is inspect.Parameter.empty else x.default)
        for name, x in architecture.settings.items()
    }
    keys["model"] = (Literal[architecture.name], ...)
    text = inspect.getdoc(architecture.make) if architecture.make.__name__[0] == "_" else None
    made = pydantic.create_model(
        f"{architecture.name}_table",
        __base__=NetworkTable,
        __doc__=text or f"Settings of `models.{architecture.name}`.",
        **keys,
    )
    made.architecture = architecture
    return made


def _read(annotation: Any) -> Any:
    """An annotation as pydantic reads it."""
    kind, *bounds = get_args(annotation) if get_origin(annotation) is Annotated else [annotation]
    read = [one_of(bound.names) if isinstance(bound, OneOf) else bound for bound in bounds]
    return Annotated[kind, *read] if read else annotation


FIRST = "fully_connected"  # the default
NAMES = sorted(ARCHITECTURES, key=lambda name: (name != FIRST, name))
TABLES = {name: _table(ARCHITECTURES[name]) for name in NAMES}
if TYPE_CHECKING:
    AnyNetwork: TypeAlias = NetworkTable | CustomConfig
else:
    AnyNetwork = reduce(or_, [*TABLES.values(), CustomConfig])
NetworkConfig: TypeAlias = Annotated[AnyNetwork, Field(discriminator="model")]
DEFAULT = TABLES[FIRST](model=FIRST)
