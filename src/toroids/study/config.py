"""A study as data: what a TOML file under studies/ may say, and how it is checked."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from toroids.errors import ConfigError
from toroids.landscape.flatness import SIGMAS

# The upper bounds only keep slips of the keyboard from asking for what no machine can do.
NonNegative = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]


class _Section(BaseModel):
    """A table of the file: unknown keys are mistakes, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Which data set; `train` images of `digits` chosen by `seed`, the rest for test."""

    name: Literal["digits"] = "digits"
    train: Annotated[int, Field(ge=1, lt=1797)] = 600
    seed: Seed = 0


class NetworkConfig(_Section):
    """Which network: ReLU or binary, fully connected, with layers of `hidden` widths.

    ReLU networks have biases or not. Binary ones have a `norm` before their signs, as in
    `models.binary_fully_connected`, and take grey values as +1 from `threshold` on.
    """

    name: Literal["fully_connected", "binary_fully_connected"] = "fully_connected"
    hidden: Annotated[tuple[Count, ...], Field(min_length=1)] = (128, 128)
    bias: bool = True
    norm: Literal["none", "real", "batch_norm"] = "none"
    threshold: Share = 0.5

    @property
    def binary(self) -> bool:
        """Whether the weights are -1 and +1."""
        return self.name == "binary_fully_connected"

    @pydantic.model_validator(mode="after")
    def _own(self) -> Self:
        others = {"bias"} if self.binary else {"norm", "threshold"}
        if wrong := sorted(others & self.model_fields_set):
            raise ValueError(f"{self.name} networks have no {' and no '.join(wrong)}; remove it")
        return self


class _SolverConfig(_Section):
    budget: Count = 60
    hold: Count = 1
    batch_size: Count = 50
    lr: Positive = 0.1
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    clip: Positive | None = None
    seconds: Positive | None = None


class _MomentumConfig(_SolverConfig):
    momentum: Share = 0.9


class SgdConfig(_MomentumConfig):
    """Settings of `solvers.sgd`."""

    method: Literal["sgd"]
    weight_decay: NonNegative = 0.0


class AdamConfig(_SolverConfig):
    """Settings of `solvers.adam`."""

    method: Literal["adam"]
    lr: Positive = 0.001
    weight_decay: NonNegative = 0.0
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8
    decoupled: bool = True


class SamConfig(_MomentumConfig):
    """Settings of `solvers.sam`."""

    method: Literal["sam"]
    weight_decay: NonNegative = 0.0
    rho: Positive = 0.05
    adaptive: bool = False


class SwaConfig(_MomentumConfig):
    """Settings of `solvers.swa`."""

    method: Literal["swa"]
    schedule: Literal["cosine", "constant", "step"] = "constant"
    weight_decay: NonNegative = 0.0
    start: Share = 0.5


class EntropySgdConfig(_SolverConfig):
    """Settings of `solvers.entropy_sgd`."""

    method: Literal["entropy_sgd"]
    weight_decay: NonNegative = 0.0
    inner_steps: Count = 5
    scope: tuple[Positive, Positive] = (0.01, 1.0)
    noise: NonNegative = 1e-4
    averaging: Share = 0.75
    outer: Annotated[float, Field(gt=0, le=1)] = 1.0


class ReplicatedSgdConfig(_MomentumConfig):
    """Settings of `solvers.replicated_sgd`."""

    method: Literal["replicated_sgd"]
    weight_decay: NonNegative = 0.0
    balanced: bool = False
    replicas: Annotated[int, Field(ge=2, le=1000)] = 3
    coupling: tuple[Positive, Positive] = (0.01, 1.0)


class AdversarialSgdConfig(_MomentumConfig):
    """Settings of `solvers.adversarial_sgd`."""

    method: Literal["adversarial_sgd"]
    copies: Count = 4
    zeroed: Share = 0.3
    corrupt_budget: Count = 200
    corrupt_lr: Positive = 0.05


AnySolver = (
    SgdConfig
    | AdamConfig
    | SamConfig
    | SwaConfig
    | EntropySgdConfig
    | ReplicatedSgdConfig
    | AdversarialSgdConfig
)
SolverConfig = Annotated[AnySolver, Field(discriminator="method")]
METHODS = [get_args(kind.model_fields["method"].annotation)[0] for kind in get_args(AnySolver)]


class FlatnessConfig(_Section):
    """Local energy: `samples` draws at each of `sigmas`; headlines quote it at `reference`.

    Of binary networks `sigmas` are the fractions of the weights that are flipped.
    """

    sigmas: Annotated[tuple[NonNegative, ...], Field(min_length=1)] = SIGMAS
    samples: Annotated[int, Field(ge=2, le=1_000_000)] = 32
    reference: NonNegative = 0.5

    @pydantic.model_validator(mode="after")
    def _measured(self) -> Self:
        if self.reference not in self.sigmas:
            raise ValueError(f"reference {self.reference} is not one of the sigmas; choose one")
        return self


class ProfilesConfig(_Section):
    """Barriers: `points` per path; all pairs within a solver, `across` per pair of solvers.

    A bend is trained by `bend_steps` mini-batches for `bends` pairs within every solver. Between
    binary networks there are `orders` of flips, random ones and greedy ones of `blocks`.
    """

    points: Annotated[int, Field(ge=2, le=100_000)] = 25
    across: Annotated[int, Field(ge=0, le=1_000_000)] = 6
    bends: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    bend_steps: Count = 2000
    orders: Count = 4
    blocks: Annotated[int, Field(ge=2, le=1_000_000)] = 100


class StudyConfig(_Section):
    """A whole study."""

    name: FileName
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    solvers: Annotated[dict[FileName, SolverConfig], Field(min_length=1)]
    flatness: FlatnessConfig = FlatnessConfig()
    profiles: ProfilesConfig = ProfilesConfig()

    @pydantic.model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.network.binary and max(self.flatness.sigmas) > 1:
            raise ValueError("flatness.sigmas are fractions of binary weights; pass at most 1")
        for key in ("orders", "blocks"):
            if key in self.profiles.model_fields_set and not self.network.binary:
                raise ValueError(f"profiles.{key} is of binary networks; remove it")
        return self

    @pydantic.field_validator("seeds")
    @classmethod
    def _unique(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed occurs twice; list every seed once")
        return seeds

    @pydantic.field_validator("solvers")
    @classmethod
    def _apart(cls, solvers: dict[str, SolverConfig]) -> dict[str, SolverConfig]:
        # their names are file names, and some disks do not tell SGD from sgd
        if len({name.casefold() for name in solvers}) < len(solvers):
            raise ValueError("two solvers differ in upper and lower case only; name them apart")
        return solvers


def load_config(path: str | Path) -> StudyConfig:
    """Reads and checks a study file.

    Args:
        path: a TOML file.

    Returns:
        The study, complete and within its bounds.

    Raises:
        ConfigError: the file is missing, is not TOML, or says something that a study cannot be;
            one sentence with all that is wrong.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no study file `{path}`; name one, for example studies/digits.toml."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"`{path}` cannot be read: {error.strerror}; name a TOML file."
        ) from error
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        raise ConfigError(f"`{path}` is not TOML: {error}.") from error
    try:
        # As JSON, because there pydantic's strict mode reads lists as tuples, and nothing else.
        return StudyConfig.model_validate_json(json.dumps(data, default=str), strict=True)
    except pydantic.ValidationError as error:
        faults = "; ".join(_fault(item) for item in error.errors())
        raise ConfigError(f"`{path}` is not a study: {faults}.") from error


def _fault(item: Any) -> str:
    # pydantic puts the tag of a solver's method into the location; it is no key of the file
    location = list(item["loc"])
    if location[:1] == ["solvers"] and len(location) > 2 and location[2] in METHODS:
        del location[2]
    key = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        return f"`{key}` is not a known key; remove it or correct its name"
    if item["type"] == "missing":
        return f"`{key}` is missing; add it"
    if item["type"] == "union_tag_invalid":
        return f"`{key}.method` is {item['ctx']['tag']!r}; choose from {', '.join(METHODS)}"
    if item["type"] == "union_tag_not_found":
        return f"`{key}.method` is missing; choose from {', '.join(METHODS)}"
    message = item["msg"].removeprefix("Value error, ")
    got = "" if isinstance(item["input"], dict) else f", got {item['input']!r}"
    sentence = f"{message[0].lower()}{message[1:]}{got}"
    return f"`{key}`: {sentence}" if key else sentence  # of the study as a whole there is no key
