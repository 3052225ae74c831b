"""How the networks of a study are trained: `[solvers.NAME]`, one kind of table for every solver.

The keys of a table, their defaults and their bounds are the fields of the solver's class.
"""

from dataclasses import fields
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import pydantic
from pydantic import Field

from toroids.design.config.fields import FileName, Table
from toroids.settings import IN_PYTHON, Count, Positive
from toroids.solvers import SOLVERS, Descent


class OnSome(Table):
    """What may be for some of the architectures only: those that are named, or all."""

    architectures: Annotated[tuple[FileName, ...], Field(min_length=1)] | None = None

    def is_for(self, architecture: str) -> bool:
        """Whether networks of an architecture are among its own."""
        return self.architectures is None or architecture in self.architectures


class SolverTable(OnSome):
    """The settings of a solver."""

    method: str

    @pydantic.model_validator(mode="after")
    def _fitting(self) -> "SolverTable":
        solver_of(self.settings())  # raises where two settings do not fit each other
        return self

    def settings(self) -> dict[str, Any]:
        """The method and all that decides how it trains, as plain JSON data."""
        return self.model_dump(mode="json", exclude={"architectures"})


def solver_of(settings: dict[str, Any]) -> Descent:
    """Makes the solver of a table's settings.

    Args:
        settings: `method` and the keys of its table.

    Returns:
        The solver.

    Raises:
        ToroidsError: two of the settings do not fit each other.
    """
    own = {name: value for name, value in settings.items() if name != "method"}
    return SOLVERS[settings["method"]](**own)


class FilesConfig(OnSome):
    """Networks that were trained elsewhere: one safetensors file for every seed of the study.

    `files` is their path, with {seed} and, where a study has several, {architecture} in it. `lr`
    and `batch_size` are what they were trained with, where that is known.
    """

    method: Literal["files"]
    files: Annotated[str, Field(pattern=r"\{seed\}")]
    lr: Positive | None = None
    batch_size: Count | None = None

    def settings(self) -> dict[str, Any]:
        """What is known of the training, as plain JSON data."""
        return self.model_dump(mode="json", exclude={"architectures"})

    def file(self, architecture: str, seed: int) -> Path:
        """The file of one network."""
        named = self.files.replace("{architecture}", architecture)
        return Path(named.replace("{seed}", str(seed)))


def _table(solver: type[Descent]) -> type[SolverTable]:
    keys: dict[str, Any] = {
        field.name: (field.type, field.default)
        for field in fields(solver)
        if field.metadata != IN_PYTHON
    }
    keys["method"] = (Literal[solver.name], ...)
    text = f"Settings of `solvers.{solver.__name__}`."
    return pydantic.create_model(
        f"{solver.__name__}Table", __base__=SolverTable, __doc__=text, **keys
    )


TABLES = (*(_table(solver) for solver in SOLVERS.values()), FilesConfig)
if TYPE_CHECKING:
    AnySolver: TypeAlias = SolverTable | FilesConfig
else:
    AnySolver = reduce(or_, TABLES)
SolverConfig: TypeAlias = Annotated[AnySolver, Field(discriminator="method")]
