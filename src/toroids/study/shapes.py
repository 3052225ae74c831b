"""The shapes that results have: fields that are there, and of their types.

A kind of task says the shape of its rows in these parts.
"""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

Measured = float | None  # where something is not finite a row holds None
Three = Field(min_length=3, max_length=3)
Names = Annotated[list[str], Three]
Two = Annotated[list[float], Field(min_length=2, max_length=2)]


class Shape(BaseModel):
    """Fields that are there, and of their types; others may be there, too."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Curve(Shape):
    """What was measured along a path."""

    t: list[float] = Field(min_length=1)
    error: list[Measured]
    error_stderr: list[Measured]
    loss: list[Measured]
    barrier: Measured

    @model_validator(mode="after")
    def _are_as_long(self) -> Self:
        alike(self.t, self.error, self.error_stderr, self.loss)
        return self


class Result(Shape):
    """What every task leaves."""

    architecture: str
    seconds: float


class OfNetwork(Result):
    """What is of one network."""

    name: str
    solver: str
    seed: int


class OfPair(Result):
    """What is of two networks, with what was measured along paths between them."""

    a: str
    b: str
    solver_a: str
    solver_b: str
    profiles: dict[str, Curve]


class OfThree(Result):
    """What is of three networks."""

    networks: Names
    solvers: Names


class Grid(Shape):
    """What was measured at the points of a grid on a plane."""

    x: list[float] = Field(min_length=1)
    y: list[float] = Field(min_length=1)
    error: list[list[Measured]]
    error_stderr: list[list[Measured]]
    loss: list[list[Measured]]

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        for values in (self.error, self.error_stderr, self.loss):
            alike(self.y, values)
            alike(self.x, *values)
        return self


def fits(shape: TypeAdapter[Any] | type[BaseModel], found: Any) -> bool:
    """Tells whether plain data have a shape."""
    try:
        if isinstance(shape, TypeAdapter):
            shape.validate_python(found)
        else:
            shape.model_validate(found)
    except ValidationError:
        return False
    return True


def alike(*values: list[Any]) -> None:
    """Raises ValueError unless lists are as long as each other."""
    if len({len(each) for each in values}) > 1:
        raise ValueError("they are not as long as each other")
