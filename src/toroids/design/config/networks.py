"""Which networks a study trains: `[networks.NAME]`, one kind of table for every model."""

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import pydantic
from pydantic import Field, JsonValue, ValidationInfo
from torch import nn

import toroids.models as models
from toroids.data import Dataset
from toroids.design.config.callables import Callable, build_custom, source_of
from toroids.design.config.digest import digest_file
from toroids.design.config.fields import Table, one_of
from toroids.errors import ToroidsError
from toroids.models.activation import ACTIVATIONS
from toroids.models.binary import NORMS as BINARY_NORMS
from toroids.models.decoder import check_rotary
from toroids.models.resnet import NORMS
from toroids.settings import Count, Positive, Share

Activation = Annotated[str, one_of(ACTIVATIONS)]
BinaryNorm = Annotated[str, one_of(BINARY_NORMS)]
Norm = Annotated[str, one_of(NORMS)]
Widths = Annotated[tuple[Count, ...], Field(min_length=1, max_length=1000)]
Width = Annotated[Positive, Field(le=100)]
Small = Annotated[int, Field(ge=1, le=1000)]


class AnyNetworkConfig(Table):
    """What all networks have."""

    takes_images: ClassVar[bool] = False
    takes_tokens: ClassVar[bool] = False

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

    def check_tokens(self, tokens: bool) -> None:
        """Raises ToroidsError unless it takes what the data are, tokens or numbers."""
        if self.takes_tokens and not tokens:
            raise ToroidsError("it takes tokens but the data are numbers; choose a text.")
        if tokens and not self.takes_tokens:
            raise ToroidsError(
                "it takes numbers but the data are tokens; choose gpt or decoder, or other data."
            )

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Raises ToroidsError unless the network can take inputs of such a shape; costs little."""
        if self.takes_images and len(shape) != 3:
            raise ToroidsError(
                "it takes images (channels, height, width) but an input has the shape "
                f"{shape}; choose data of images (digits are images with image = true)."
            )

    def identity(self) -> dict[str, Any]:
        """All that determines the network besides data and seed, as plain JSON data."""
        return self.model_dump(mode="json")

    @abstractmethod
    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        """Builds the network."""


class RealConfig(AnyNetworkConfig):
    """Networks with real weights."""

    binary: ClassVar[bool] = False


class BinaryConfig(AnyNetworkConfig):
    """Networks with weights of -1 and +1."""

    binary: ClassVar[bool] = True


class FullyConnectedConfig(RealConfig):
    """Settings of `models.fully_connected`: `hidden` widths, biases or not, the activation."""

    model: Literal["fully_connected"] = "fully_connected"
    hidden: Widths = (128, 128)
    bias: bool = True
    activation: Activation = "relu"

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        widths = (math.prod(shape), *self.hidden, classes)
        return models.fully_connected(widths, self.bias, seed, self.activation)


class CommitteeConfig(RealConfig):
    """Settings of `models.committee`."""

    model: Literal["committee"]
    hidden: Count
    activation: Activation = "relu"
    tree: bool = False
    bias: bool = True

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Wants two classes; a tree also as many inputs for every unit."""
        super().check(shape, classes)
        if classes != 2:
            raise ToroidsError(f"it has 2 classes but the data have {classes}; choose other data.")
        if self.tree and math.prod(shape) % self.hidden:
            raise ToroidsError(
                f"{math.prod(shape)} inputs do not divide among the {self.hidden} units of a tree; "
                f"choose a number of units that does."
            )

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        return models.committee(
            math.prod(shape), self.hidden, self.activation, self.tree, self.bias, seed
        )


class BinaryFullyConnectedConfig(BinaryConfig):
    """Settings of `models.binary_fully_connected`; grey values count as +1 from `threshold` on."""

    model: Literal["binary_fully_connected"]
    hidden: Widths = (128, 128)
    norm: BinaryNorm = "none"
    threshold: Share = 0.5

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        widths = (math.prod(shape), *self.hidden, classes)
        return models.binary_fully_connected(widths, self.norm, self.threshold, seed)


class BinaryConvolutionalConfig(BinaryConfig):
    """Settings of `models.binary_convolutional`; grey values count as +1 from `threshold` on."""

    takes_images: ClassVar[bool] = True
    model: Literal["binary_convolutional"]
    channels: Widths = (15, 31)
    hidden: Count = 101
    norm: BinaryNorm = "none"
    threshold: Share = 0.5

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Wants images that all convolutions fit into."""
        super().check(shape, classes)
        # the thinnest network raises what the whole one would
        models.binary_convolutional(shape, classes, (1,) * len(self.channels), hidden=1)

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        return models.binary_convolutional(
            shape, classes, self.channels, self.hidden, self.norm, self.threshold, seed
        )


class LenetConfig(RealConfig):
    """Settings of `models.lenet`."""

    takes_images: ClassVar[bool] = True
    model: Literal["lenet"]
    widths: tuple[Count, Count, Count, Count] = (6, 16, 120, 84)
    kernel: Small = 5
    activation: Activation = "relu"

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Wants images that are large enough for the kernel."""
        super().check(shape, classes)
        models.lenet(shape, classes, (1, 1, 1, 1), self.kernel)  # raises what the whole one would

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        return models.lenet(shape, classes, self.widths, self.kernel, self.activation, seed)


class VggConfig(RealConfig):
    """Settings of `models.vgg`."""

    takes_images: ClassVar[bool] = True
    model: Literal["vgg"]
    depth: Literal[11, 16] = 16
    width: Width = 1.0
    batch_norm: bool = True

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Wants images that can be halved five times."""
        super().check(shape, classes)
        _check_sides(shape, 32)

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        return models.vgg(self.depth, classes, shape[0], self.width, self.batch_norm, seed)


class Resnet20Config(RealConfig):
    """Settings of `models.resnet20`."""

    takes_images: ClassVar[bool] = True
    model: Literal["resnet20"]
    width: Width = 1.0
    norm: Norm = "batch"

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        return models.resnet20(classes, shape[0], self.width, self.norm, seed)


class Resnet18Config(RealConfig):
    """Settings of `models.resnet18`."""

    takes_images: ClassVar[bool] = True
    model: Literal["resnet18"]
    width: Width = 1.0
    norm: Norm = "batch"

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        return models.resnet18(classes, shape[0], self.width, self.norm, seed)


class Densenet40Config(RealConfig):
    """Settings of `models.densenet40`."""

    takes_images: ClassVar[bool] = True
    model: Literal["densenet40"]
    growth: Small = 12
    stem: Small = 16

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Wants images that can be halved twice."""
        super().check(shape, classes)
        _check_sides(shape, 4)

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        return models.densenet40(classes, shape[0], self.growth, self.stem, seed)


class VitConfig(RealConfig):
    """Settings of `models.vit`."""

    takes_images: ClassVar[bool] = True
    model: Literal["vit"]
    patch: Small = 4
    dim: Count = 192
    depth: Small = 6
    heads: Small = 3
    hidden: Count | None = None

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Wants square images that the patches divide."""
        super().check(shape, classes)
        _check_square(shape)
        models.vit(classes, shape[0], shape[1], self.patch, 1, 1, 1, 1)  # raises what it would

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        sizes = (shape[0], shape[1], self.patch, self.dim, self.depth, self.heads, self.hidden)
        return models.vit(classes, *sizes, seed)

    @pydantic.field_validator("heads")
    @classmethod
    def _share(cls, heads: int, info: ValidationInfo) -> int:
        return _divisor(heads, info)


class MlpMixerConfig(RealConfig):
    """Settings of `models.mlp_mixer`."""

    takes_images: ClassVar[bool] = True
    model: Literal["mlp_mixer"]
    patch: Small = 4
    dim: Count = 128
    depth: Small = 4
    across: Count = 64
    within: Count = 512

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Wants square images that the patches divide."""
        super().check(shape, classes)
        _check_square(shape)
        models.mlp_mixer(classes, shape[0], shape[1], self.patch, 1, 1, 1, 1)

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        sizes = (shape[0], shape[1], self.patch, self.dim, self.depth, self.across, self.within)
        return models.mlp_mixer(classes, *sizes, seed)


class LanguageModelConfig(RealConfig):
    """What networks that predict the next token share; the vocabulary is that of the text."""

    takes_tokens: ClassVar[bool] = True
    dim: Count = 96
    depth: Small = 3
    heads: Small = 4
    hidden: Count | None = None
    tied: bool = False


class GptConfig(LanguageModelConfig):
    """Settings of `models.gpt`; its length is that of the text."""

    model: Literal["gpt"]

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        sizes = (self.dim, self.depth, self.heads, self.hidden)
        return models.gpt(classes, shape[0], *sizes, self.tied, seed)

    @pydantic.field_validator("heads")
    @classmethod
    def _share(cls, heads: int, info: ValidationInfo) -> int:
        return _divisor(heads, info)


class DecoderConfig(LanguageModelConfig):
    """Settings of `models.decoder`."""

    model: Literal["decoder"]
    groups: Small | None = None

    def check(self, shape: tuple[int, ...], classes: int) -> None:
        """Wants heads of pairs, and groups that share them."""
        super().check(shape, classes)
        check_rotary(self.dim, self.heads, self.groups or self.heads)

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        sizes = (self.dim, self.depth, self.heads, self.groups, self.hidden)
        return models.decoder(classes, *sizes, self.tied, seed)


class CustomConfig(AnyNetworkConfig):
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

    def identity(self) -> dict[str, Any]:
        """The settings and the content of the module's file, but not of what that imports."""
        module = self.callable.partition(":")[0]
        return {**super().identity(), "source": digest_file(source_of(module))}

    def _made(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        return build_custom(self.callable, self.arguments, seed, self.binary)


def _divisor(heads: int, info: ValidationInfo) -> int:
    dim = info.data.get("dim")
    if dim and dim % heads:
        raise ValueError(f"pass a number of heads that divides dim, {dim}")
    return heads


def _check_sides(shape: tuple[int, ...], least: int) -> None:
    if min(shape[1:]) < least:
        raise ToroidsError(
            f"it takes images of {least} x {least} pixels or more but these are of "
            f"{shape[1]} x {shape[2]}; choose larger images."
        )


def _check_square(shape: tuple[int, ...]) -> None:
    if shape[1] != shape[2]:
        raise ToroidsError(
            f"it takes square images but these are of {shape[1]} x {shape[2]}; choose others."
        )


AnyNetwork: TypeAlias = (
    FullyConnectedConfig
    | BinaryFullyConnectedConfig
    | LenetConfig
    | VggConfig
    | Resnet20Config
    | Resnet18Config
    | Densenet40Config
    | VitConfig
    | MlpMixerConfig
    | GptConfig
    | DecoderConfig
    | CommitteeConfig
    | BinaryConvolutionalConfig
    | CustomConfig
)
NetworkConfig: TypeAlias = Annotated[AnyNetwork, Field(discriminator="model")]
