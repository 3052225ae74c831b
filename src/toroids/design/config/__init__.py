"""A study as data: what a TOML file under studies/ may say, and how it is checked."""

from toroids.design.config.data import DataConfig, DigitsConfig, FolderConfig
from toroids.design.config.load import load_config
from toroids.design.config.measurements import (
    AlignmentConfig,
    BendsConfig,
    ClaimsConfig,
    FlatnessConfig,
    ProfilesConfig,
    SectionsConfig,
)
from toroids.design.config.networks import CustomConfig, NetworkConfig
from toroids.design.config.solvers import SolverConfig
from toroids.design.config.study import StudyConfig

__all__ = [
    "AlignmentConfig",
    "BendsConfig",
    "ClaimsConfig",
    "CustomConfig",
    "DataConfig",
    "DigitsConfig",
    "FlatnessConfig",
    "FolderConfig",
    "NetworkConfig",
    "ProfilesConfig",
    "SectionsConfig",
    "SolverConfig",
    "StudyConfig",
    "load_config",
]
