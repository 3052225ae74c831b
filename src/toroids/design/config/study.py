"""A whole study as data, with all that it may say and what its parts demand of each other."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import pydantic
import torch
from pydantic import Field, ValidationInfo

from toroids.design.config.crossed import CROSSED, given
from toroids.design.config.data import DataConfig, DigitsConfig
from toroids.design.config.faults import refuse
from toroids.design.config.fields import FileName, Seed, Table, is_here
from toroids.design.config.measurements import (
    AlignmentConfig,
    BendsConfig,
    ClaimsConfig,
    FlatnessConfig,
    ProfilesConfig,
    SectionsConfig,
)
from toroids.design.config.networks import DEFAULT, NetworkConfig
from toroids.design.config.solvers import SolverConfig

Value = TypeVar("Value")


class StudyConfig(Table):
    """A whole study: its name and seeds, data, networks, solvers, and what is measured of them.

    `load_config` reads one from a TOML file; `model_validate` makes one of a dictionary.

    Example:
        >>> from toroids.study import StudyConfig
        >>> solvers = {"sgd": {"method": "sgd", "lr": 0.05}}
        >>> text = {"name": "mine", "seeds": [0, 1], "solvers": solvers}
        >>> study = StudyConfig.model_validate(text)
        >>> study.solvers["sgd"].lr, study.networks["mlp"].hidden
        (0.05, (128, 128))
    """

    # What one part demands of others is asked of the later one, so the order of the fields matters.
    name: FileName
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    device: str = "cpu"
    data: DataConfig = DigitsConfig()
    networks: Annotated[dict[FileName, NetworkConfig], Field(min_length=1)] = {"mlp": DEFAULT}
    solvers: Annotated[dict[FileName, SolverConfig], Field(min_length=1)]
    alignment: AlignmentConfig = AlignmentConfig()
    flatness: FlatnessConfig = FlatnessConfig()
    profiles: ProfilesConfig = ProfilesConfig()
    bends: BendsConfig = BendsConfig()
    sections: SectionsConfig = SectionsConfig()
    claims: ClaimsConfig = ClaimsConfig()

    @property
    def binary(self) -> bool:
        """Whether the networks have weights of -1 and +1, all of them or none."""
        return next(iter(self.networks.values())).binary

    @pydantic.field_validator("seeds")
    @classmethod
    def _unique(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed occurs twice; list every seed once")
        return seeds

    @pydantic.field_validator("device")
    @classmethod
    def _there(cls, device: str, info: ValidationInfo) -> str:
        if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", device):
            raise ValueError('write "cpu", "cuda" or "cuda:1"')
        count = torch.cuda.device_count() if is_here(info) and device != "cpu" else None
        if count is not None and int(device.partition(":")[2] or 0) >= count:
            there = ", ".join(["cpu", *(f"cuda:{number}" for number in range(count))])
            raise ValueError(f"this machine has no such device; choose from {there}")
        return device

    @pydantic.field_validator("networks", "solvers")
    @classmethod
    def _apart(cls, named: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        # their names are file names, and some disks do not tell SGD from sgd
        if len({name.casefold() for name in named}) < len(named):
            raise ValueError(
                f"two {info.field_name} differ in upper and lower case only; name them apart"
            )
        return named

    @pydantic.field_validator("solvers")
    @classmethod
    def _given(cls, solvers: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if is_here(info):
            refuse(given(solvers, info.data))
        return solvers

    @pydantic.field_validator(*CROSSED)
    @classmethod
    def _fitting(cls, value: Value, info: ValidationInfo) -> Value:
        before: Mapping[str, Any] = info.data
        refuse(CROSSED[str(info.field_name)](value, before))
        return value
