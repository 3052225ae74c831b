"""Which data a study is about: `[data]`, one kind of table for every set of `toroids.data`."""

import hashlib
import os
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

import pydantic
from pydantic import BeforeValidator, Field, ValidationInfo

import toroids.data as data
from toroids.data import Dataset
from toroids.data.find import KNOWN, nowhere, places_of
from toroids.data.fonts import CHARACTERS
from toroids.data.hub import SETS
from toroids.data.teacher import TEACHERS
from toroids.data.text import UNITS, topics
from toroids.design.config.digest import digest_file, digest_folder
from toroids.design.config.faults import Fault, refuse
from toroids.design.config.fields import (
    Examples,
    Seed,
    Table,
    is_here,
    one_of,
)
from toroids.settings import Count, Fraction, Positive

Layout: TypeAlias = tuple[tuple[int, ...], int]
_SHAPES: dict[str, Layout] = {
    "mnist": ((1, 28, 28), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
}


class AnyDataConfig(Table, ABC):
    """What all data sets have: a part of the training examples, and wrong labels among them.

    `seed` is of all that is random: the split or the draws of the set, `subset`, `label_noise`.
    """

    holds_tokens: ClassVar[bool] = False
    seed: Seed = 0
    subset: Examples | None = None
    label_noise: Fraction = 0.0

    def load(self) -> Dataset:
        """Reads or draws the data, on the CPU."""
        dataset = self._whole()
        if self.subset is not None:
            dataset = dataset.subset(self.subset, self.seed)
        return dataset.label_noise(self.label_noise, self.seed) if self.label_noise else dataset

    def identity(self) -> dict[str, Any]:
        """All that determines the data, as plain JSON data."""
        return self.model_dump(mode="json")

    @property
    def layout(self) -> Layout | None:
        """The shape of an input and the number of classes; None where only the data tell."""
        return None

    @property
    def examples(self) -> int | None:
        """The number of training examples before `subset`; None where only the data tell."""
        return None

    @abstractmethod
    def _whole(self) -> Dataset:
        """All of the data set."""

    @pydantic.model_validator(mode="after")
    def _part(self) -> Self:
        if self.subset is not None and self.examples is not None and self.subset > self.examples:
            many = f"there are {self.examples} training examples; pass at most as many"
            refuse([Fault(("data", "subset"), f"{many}, got {self.subset}")])
        return self


class DigitsConfig(AnyDataConfig):
    """Settings of `data.digits`; with `image` the inputs have the shape (1, 8, 8), not (64,)."""

    name: Literal["digits"] = "digits"
    train: Annotated[int, Field(ge=1, lt=1797)] = 600
    image: bool = False

    @property
    def layout(self) -> Layout:
        """64 grey values, ten classes."""
        return ((1, 8, 8) if self.image else (64,)), 10

    @property
    def examples(self) -> int:
        """As many as were asked for."""
        return self.train

    def _whole(self) -> Dataset:
        found = data.digits(self.train, self.seed)
        (inputs, labels), (others, answers) = found.train, found.test
        shape = self.layout[0]
        return Dataset(
            (inputs.reshape(-1, *shape), labels), (others.reshape(-1, *shape), answers), 10
        )


class GlyphsConfig(AnyDataConfig):
    """Settings of `data.glyphs`."""

    name: Literal["glyphs"]
    train: Examples
    test: Examples
    size: Annotated[int, Field(ge=8, le=256)] = 28
    classes: Annotated[int, Field(ge=2, le=len(CHARACTERS))] = 10
    colour: bool = False
    distortion: Annotated[float, Field(ge=0.01, le=2)] = 1.0

    @property
    def layout(self) -> Layout:
        """Square images in one or three channels."""
        return (3 if self.colour else 1, self.size, self.size), self.classes

    @property
    def examples(self) -> int:
        """As many as were asked for."""
        return self.train

    def _whole(self) -> Dataset:
        return data.glyphs(
            self.train,
            self.test,
            size=self.size,
            classes=self.classes,
            colour=self.colour,
            seed=self.seed,
            distortion=self.distortion,
        )

    @pydantic.field_validator("name")
    @classmethod
    def _drawable(cls, name: str, info: ValidationInfo) -> str:
        _check_packages(info, "glyphs", "matplotlib", "PIL")
        return name


class TeacherConfig(AnyDataConfig):
    """Settings of `data.teacher`."""

    name: Literal["teacher"]
    inputs: Examples
    train: Examples
    test: Examples
    teacher: Annotated[str, one_of(TEACHERS)] = "perceptron"
    hidden: Count = 3
    noise: Fraction = 0.0
    binary: bool = False

    @property
    def layout(self) -> Layout:
        """Vectors, two classes."""
        return (self.inputs,), 2

    @property
    def examples(self) -> int:
        """As many as were asked for."""
        return self.train

    def _whole(self) -> Dataset:
        return data.teacher(
            self.inputs,
            self.train,
            self.test,
            teacher=self.teacher,  # type: ignore[arg-type]  # one of the two, as was checked
            hidden=self.hidden,
            seed=self.seed,
            noise=self.noise,
            binary=self.binary,
        )

    @pydantic.field_validator("hidden")
    @classmethod
    def _majority(cls, hidden: int, info: ValidationInfo) -> int:
        if info.data.get("teacher") == "committee" and hidden % 2 == 0:
            raise ValueError("pass an odd number, so that the teacher has a majority")
        return hidden


class PatternsConfig(AnyDataConfig):
    """Settings of `data.patterns`."""

    name: Literal["patterns"]
    inputs: Examples
    density: Annotated[Positive, Field(le=10_000)]
    binary: bool = False

    @property
    def layout(self) -> Layout:
        """Vectors, two classes."""
        return (self.inputs,), 2

    @property
    def examples(self) -> int:
        """The density times the inputs."""
        return max(1, round(self.density * self.inputs))

    def _whole(self) -> Dataset:
        return data.patterns(self.inputs, self.density, seed=self.seed, binary=self.binary)

    @pydantic.field_validator("density")
    @classmethod
    def _some(cls, density: float, info: ValidationInfo) -> float:
        inputs = info.data.get("inputs")
        if inputs and density < 0.5 / inputs:
            raise ValueError(
                f"with {inputs} inputs this is no pattern; pass {0.5 / inputs} or more"
            )
        return density


class KnownConfig(AnyDataConfig):
    """The sets of `data.find`, by their names."""

    name: Literal["mnist", "fashion-mnist", "cifar-10", "cifar-100"]

    @property
    def layout(self) -> Layout:
        """Those of the original."""
        known = KNOWN[self.name]
        return known.shape, known.classes

    @property
    def examples(self) -> int:
        """All training images."""
        return KNOWN[self.name].counts[0]

    def _whole(self) -> Dataset:
        return data.find(self.name)

    @pydantic.field_validator("name")
    @classmethod
    def _somewhere(cls, name: str, info: ValidationInfo) -> str:
        if is_here(info) and not any(place.is_dir() for place in places_of(name)):
            if any(find_spec(package) is None for package in ("datasets", "PIL")):
                raise ValueError(nowhere(name))
        return name


class HubConfig(AnyDataConfig):
    """Settings of `data.hub`, whose `name` is called `set` here."""

    name: Literal["hub"]
    set: Annotated[str, one_of(SETS)]
    label: str | None = None
    cache: str | None = None

    @property
    def layout(self) -> Layout | None:
        """Those of the original."""
        return None if self.label else _SHAPES[self.set]

    def identity(self) -> dict[str, Any]:
        """All but the place of the cache."""
        return self.model_dump(mode="json", exclude={"cache"})

    def _whole(self) -> Dataset:
        return data.hub(self.set, label=self.label, cache=self.cache)

    @pydantic.field_validator("name")
    @classmethod
    def _readable(cls, name: str, info: ValidationInfo) -> str:
        _check_packages(info, "hub", "datasets", "PIL")
        return name


class FolderConfig(AnyDataConfig):
    """Settings of `data.folder`."""

    name: Literal["folder"]
    path: str
    image: str | None = None
    label: str | None = None
    prefix: str | None = None

    def identity(self) -> dict[str, Any]:
        """The content of the folder in place of where it is; reads all of it."""
        ours = {"path"} if self.prefix else {"path", "prefix"}  # as before there was a prefix
        rest = self.model_dump(mode="json", exclude=ours)
        return {**rest, "content": digest_folder(Path(self.path))}

    def _whole(self) -> Dataset:
        return data.folder(self.path, self.image, self.label, self.prefix)

    @pydantic.field_validator("path")
    @classmethod
    def _there(cls, path: str, info: ValidationInfo) -> str:
        if is_here(info) and not os.path.isdir(path):
            raise ValueError("there is no such folder; name one, from the current folder on")
        return path


class TextConfig(AnyDataConfig):
    """Settings of `data.text`; without a path the topics of Python's own language reference."""

    holds_tokens: ClassVar[bool] = True
    name: Literal["text"]
    path: str | None = None
    length: Examples = 64
    unit: Annotated[str, one_of(UNITS)] = "characters"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.9
    most: Count | None = None

    def identity(self) -> dict[str, Any]:
        """The content of the text in place of where it is."""
        rest = self.model_dump(mode="json", exclude={"path"})
        return {**rest, "content": self._digest()}

    def _digest(self) -> str:
        if self.path is not None:
            return digest_file(Path(self.path))
        return hashlib.sha256(topics()).hexdigest()

    def _whole(self) -> Dataset:
        return data.text(self.path, self.length, unit=self.unit, share=self.share, most=self.most)

    @pydantic.field_validator("path")
    @classmethod
    def _there(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and is_here(info) and not os.path.isfile(path):
            raise ValueError("there is no such file; name one, from the current folder on")
        return path


AnyData: TypeAlias = (
    DigitsConfig
    | GlyphsConfig
    | TeacherConfig
    | PatternsConfig
    | KnownConfig
    | HubConfig
    | FolderConfig
    | TextConfig
)


def _named(given: Any) -> Any:
    """A name alone stands for the set with its defaults."""
    return {"name": given} if isinstance(given, str) else given


DataConfig: TypeAlias = Annotated[AnyData, Field(discriminator="name"), BeforeValidator(_named)]


def _check_packages(info: ValidationInfo, extra: str, *packages: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if is_here(info) and missing:
        raise ValueError(
            f"the package {missing[0]} is not installed; pip install 'toroids[{extra}]'"
        )
