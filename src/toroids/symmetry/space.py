"""Spaces of hidden units: which parameter axes they index, and what may act on them."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import ConfigDict

from toroids.errors import ToroidsError

Action = Literal["permute", "rescale"]
OutputMode = Literal["values", "logits", "classifier"]


@dataclass(frozen=True)
class Leg:
    """One axis of one tensor that is indexed by a space.

    Attributes:
        tensor: name in the state dict.
        axis: which axis, counted from 0.
        role: "write" where the unit's activation is written, "read" where it is read.
        operator: name of the layer that holds the tensor; legs of one writer share it.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    tensor: str
    axis: int
    role: Literal["write", "read"]
    operator: str


@dataclass(frozen=True)
class Generator:
    """One family of continuous symmetries of a space: one free log-scale per unit.

    Attributes:
        action: the kind of symmetry.
        exponents: for every leg of the space, in order, the power of the unit's scale it takes.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    action: Literal["rescale"]
    exponents: tuple[float, ...]


@dataclass(frozen=True)
class Space:
    """An index set of hidden units that several parameter axes share.

    Attributes:
        name: unique within the group.
        size: number of units.
        copies: independent copies of the space; groups written by hand have one.
        actions: what may act on it without changing the function.
        legs: the axes that it indexes, in topological order of their operators.
        generators: its continuous symmetries.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    size: int
    copies: int
    actions: frozenset[Action]
    legs: tuple[Leg, ...]
    generators: tuple[Generator, ...] = ()

    def __post_init__(self) -> None:
        if self.copies != 1:
            raise ToroidsError(
                f"space `{self.name}` has {self.copies} copies but only 1 is supported; "
                "write every copy as a space of its own."
            )
        if not any(leg.role == "write" for leg in self.legs):
            raise ToroidsError(f"space `{self.name}` has no leg that writes it; name its writer.")
        if ("rescale" in self.actions) != bool(self.generators):
            raise ToroidsError(
                f"space `{self.name}` has actions {sorted(self.actions)} and "
                f"{len(self.generators)} generators; give 'rescale' exactly with a generator."
            )
        for generator in self.generators:
            self._check_generator(generator)

    def _check_generator(self, generator: Generator) -> None:
        exponents = dict(zip(self.legs, generator.exponents, strict=False))
        if len(generator.exponents) != len(self.legs):
            raise ToroidsError(
                f"space `{self.name}` has {len(self.legs)} legs but a generator with "
                f"{len(generator.exponents)} exponents; give one exponent per leg."
            )
        of_writer = {exponents[leg] for leg in self.writer}
        finite = all(math.isfinite(exponent) for exponent in generator.exponents)
        if not finite or of_writer == {0.0} or len(of_writer) > 1:
            raise ToroidsError(
                f"space `{self.name}` has the exponents {list(generator.exponents)}; give finite "
                "ones, and one that is not zero to all legs of the first writer."
            )

    @property
    def writer(self) -> tuple[Leg, ...]:
        """The legs of the first operator, in topological order, that writes the space only.

        Empty where every writer also reads the space, as a recurrent layer does.
        """
        readers = {leg.operator for leg in self.legs if leg.role == "read"}
        writes = [leg for leg in self.legs if leg.role == "write" and leg.operator not in readers]
        return tuple(leg for leg in writes if leg.operator == writes[0].operator)


@dataclass(frozen=True)
class Output:
    """What the readers of the outputs cannot see, and the legs that write the outputs.

    Attributes:
        mode: "values" (everything counts), "logits" (a common shift does not), "classifier" (a
            common shift and one positive scale do not).
        legs: class axes of the tensors that write the outputs.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    mode: OutputMode = "values"
    legs: tuple[Leg, ...] = ()

    def __post_init__(self) -> None:
        modes = get_args(OutputMode)
        if self.mode not in modes:
            raise ToroidsError(f"there is no output mode {self.mode!r}; choose from {modes}.")
        if self.mode != "values" and not self.legs:
            raise ToroidsError(
                f"the output mode {self.mode!r} needs the legs that write the outputs; name them."
            )
