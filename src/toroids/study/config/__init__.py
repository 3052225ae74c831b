"""A study as data: what a TOML file under studies/ may say, and how it is checked."""

from toroids.study.config.data import DataConfig, DigitsConfig, FolderConfig
from toroids.study.config.load import load_config
from toroids.study.config.measurements import (
    AlignmentConfig,
    BendsConfig,
    ClaimsConfig,
    FlatnessConfig,
    ProfilesConfig,
    SectionsConfig,
)
from toroids.study.config.networks import CustomConfig, FullyConnectedConfig, NetworkConfig
from toroids.study.config.solvers import SolverConfig
from toroids.study.config.study import StudyConfig

__all__ = [
    "AlignmentConfig",
    "BendsConfig",
    "ClaimsConfig",
    "CustomConfig",
    "DataConfig",
    "DigitsConfig",
    "FlatnessConfig",
    "FolderConfig",
    "FullyConnectedConfig",
    "NetworkConfig",
    "ProfilesConfig",
    "SectionsConfig",
    "SolverConfig",
    "StudyConfig",
    "load_config",
]
