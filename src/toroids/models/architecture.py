"""Networks that a study file may name: functions whose arguments are settings, or given by data.

`@architecture()` on a function of `models` is all that a study needs: the arguments in `OF_DATA`
are what the data say, and the others the keys of its table, with the types, bounds and defaults of
the signature.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from torch import nn

from toroids.errors import ToroidsError
from toroids.settings import Count

Shape: TypeAlias = tuple[int, ...]
Make = TypeVar("Make", bound=Callable[..., nn.Module])
Widths: TypeAlias = Annotated[tuple[Count, ...], MinLen(1), MaxLen(1000)]
Width: TypeAlias = Annotated[float, Gt(0), Le(100)]
Small: TypeAlias = Annotated[int, Ge(1), Le(1000)]

# What arguments of these names are on data of a shape and a number of classes.
OF_DATA: dict[str, Callable[[Shape, int], Any]] = {
    "inputs": lambda shape, classes: math.prod(shape),
    "classes": lambda shape, classes: classes,
    "vocabulary": lambda shape, classes: classes,
    "length": lambda shape, classes: shape[0],
    "shape": lambda shape, classes: shape,
    "channels": lambda shape, classes: shape[0],
    "size": lambda shape, classes: shape[1],
}


@dataclass(frozen=True)
class Architecture:
    """A function that makes networks, and what a study has to know of it.

    Attributes:
        name: the word for it in a study file.
        make: the function.
        takes: what its inputs are.
        binary: whether the weights are -1 and +1.
        own: arguments that are settings although data could give them.
        agree: raises ToroidsError where settings do not fit each other; called with those that it
            names.
        fits: raises ToroidsError where data do not fit, at little cost; called with `shape`,
            `classes` and the settings that it names.
    """

    name: str
    make: Callable[..., nn.Module]
    takes: Literal["numbers", "images", "tokens"]
    binary: bool
    own: tuple[str, ...]
    agree: Callable[..., object] | None
    fits: Callable[..., object] | None

    @property
    def settings(self) -> dict[str, inspect.Parameter]:
        """The arguments that are settings of a study."""
        found = inspect.signature(self.make).parameters
        return {name: x for name, x in found.items() if name not in {*self._given, "seed"}}

    @property
    def _given(self) -> dict[str, Callable[[Shape, int], Any]]:
        return {name: of for name, of in OF_DATA.items() if name not in self.own}

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raises ToroidsError unless the settings fit each other."""
        if self.agree is not None:
            self.agree(**_named(self.agree, settings))

    def check(self, shape: Shape, classes: int, settings: Mapping[str, Any]) -> None:
        """Raises ToroidsError unless it can take inputs of such a shape; costs little."""
        if self.takes == "images" and len(shape) != 3:
            raise ToroidsError(
                "it takes images (channels, height, width) but an input has the shape "
                f"{shape}; choose data of images (digits are images with image = true)."
            )
        if self.fits is not None:
            self.fits(**_named(self.fits, {**settings, "shape": shape, "classes": classes}))

    def build(
        self, shape: Shape, classes: int, settings: Mapping[str, Any], seed: int
    ) -> nn.Module:
        """Makes a network for inputs of a shape, on the CPU."""
        names = inspect.signature(self.make).parameters
        given = {n: of(shape, classes) for n, of in self._given.items() if n in names}
        return self.make(**settings, **given, seed=seed)


ARCHITECTURES: dict[str, Architecture] = {}


def architecture(
    name: str = "",
    *,
    takes: Literal["numbers", "images", "tokens"] = "numbers",
    binary: bool = False,
    own: tuple[str, ...] = (),
    agree: Callable[..., object] | None = None,
    fits: Callable[..., object] | None = None,
) -> Callable[[Make], Make]:
    """Lets study files name what a function makes.

    Args:
        name: the word for it; that of the function when empty.
        takes: what its inputs are.
        binary: whether the weights are -1 and +1.
        own: arguments that are settings although data could give them.
        agree: raises ToroidsError where settings do not fit each other.
        fits: raises ToroidsError where data do not fit, at little cost.

    Returns:
        A decorator that leaves the function as it is.
    """

    def register(make: Make) -> Make:
        word = name or make.__name__
        ARCHITECTURES[word] = Architecture(word, make, takes, binary, own, agree, fits)
        return make

    return register


def at_least(pixels: int) -> Callable[..., None]:
    """A check that images have so many pixels a side."""

    def check(shape: Shape) -> None:
        if min(shape[1:]) < pixels:
            raise ToroidsError(
                f"it takes images of {pixels} x {pixels} pixels or more but these are of "
                f"{shape[1]} x {shape[2]}; choose larger images."
            )

    return check


def check_square(shape: Shape) -> None:
    """Raises ToroidsError unless images are as high as wide."""
    if shape[1] != shape[2]:
        raise ToroidsError(
            f"it takes square images but these are of {shape[1]} x {shape[2]}; choose others."
        )


def _named(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    names = inspect.signature(function).parameters
    return {name: value for name, value in values.items() if name in names}
