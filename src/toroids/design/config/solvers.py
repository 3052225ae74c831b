"""How the networks of a study are trained: `[solvers.NAME]`, one kind of table for every method."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from toroids.design.config.fields import Count, FileName, NonNegative, Positive, Share, Table


class OnSome(Table):
    """What may be for some of the architectures only: those that are named, or all."""

    architectures: Annotated[tuple[FileName, ...], Field(min_length=1)] | None = None

    def is_for(self, architecture: str) -> bool:
        """Whether networks of an architecture are among its own."""
        return self.architectures is None or architecture in self.architectures


class AnySolverConfig(OnSome):
    """What all solvers have."""

    budget: Count = 60
    hold: Count = 1
    batch_size: Count = 50
    lr: Positive = 0.1
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    clip: Positive | None = None
    seconds: Positive | None = None


class MomentumConfig(AnySolverConfig):
    """What solvers with momentum have."""

    momentum: Share = 0.9


class SgdConfig(MomentumConfig):
    """Settings of `solvers.sgd`."""

    method: Literal["sgd"]
    weight_decay: NonNegative = 0.0


class AdamConfig(AnySolverConfig):
    """Settings of `solvers.adam`."""

    method: Literal["adam"]
    lr: Positive = 0.001
    weight_decay: NonNegative = 0.0
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8
    decoupled: bool = True


class SamConfig(MomentumConfig):
    """Settings of `solvers.sam`."""

    method: Literal["sam"]
    weight_decay: NonNegative = 0.0
    rho: Positive = 0.05
    adaptive: bool = False


class SwaConfig(MomentumConfig):
    """Settings of `solvers.swa`."""

    method: Literal["swa"]
    schedule: Literal["cosine", "constant", "step"] = "constant"
    weight_decay: NonNegative = 0.0
    start: Share = 0.5


class EntropySgdConfig(AnySolverConfig):
    """Settings of `solvers.entropy_sgd`."""

    method: Literal["entropy_sgd"]
    weight_decay: NonNegative = 0.0
    inner_steps: Count = 5
    scope: tuple[Positive, Positive] = (0.01, 1.0)
    noise: NonNegative = 1e-4
    averaging: Share = 0.75
    outer: Annotated[float, Field(gt=0, le=1)] = 1.0


class ReplicatedSgdConfig(MomentumConfig):
    """Settings of `solvers.replicated_sgd`."""

    method: Literal["replicated_sgd"]
    weight_decay: NonNegative = 0.0
    balanced: bool = False
    replicas: Annotated[int, Field(ge=2, le=1000)] = 3
    coupling: tuple[Positive, Positive] = (0.01, 1.0)


class AdversarialSgdConfig(MomentumConfig):
    """Settings of `solvers.adversarial_sgd`."""

    method: Literal["adversarial_sgd"]
    copies: Count = 4
    zeroed: Share = 0.3
    corrupt_budget: Count = 200
    corrupt_lr: Positive = 0.05


class FilesConfig(OnSome):
    """Networks that were trained elsewhere: one safetensors file for every seed of the study.

    `files` is their path, with {seed} and, where a study has several, {architecture} in it. `lr`
    and `batch_size` are what they were trained with, where that is known.
    """

    method: Literal["files"]
    files: Annotated[str, Field(pattern=r"\{seed\}")]
    lr: Positive | None = None
    batch_size: Count | None = None

    def file(self, architecture: str, seed: int) -> Path:
        """The file of one network."""
        named = self.files.replace("{architecture}", architecture)
        return Path(named.replace("{seed}", str(seed)))


AnySolver: TypeAlias = (
    SgdConfig
    | AdamConfig
    | SamConfig
    | SwaConfig
    | EntropySgdConfig
    | ReplicatedSgdConfig
    | AdversarialSgdConfig
    | FilesConfig
)
SolverConfig: TypeAlias = Annotated[AnySolver, Field(discriminator="method")]
