"""The symmetries of one architecture as plain data, and how their elements act on parameters.

A group is a list of spaces. A space is an index set of hidden units; its legs are the parameter
axes that it indexes. An element chooses, for every space, a permutation p and log-scales s, and
acts on every leg with exponent e as

    new[i] = exp(sum_m e_m s_m[i]) old[p[i]]

along the leg's axis: the units are permuted first, then scaled in their new places.
"""

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pydantic
import torch
from pydantic import ConfigDict, TypeAdapter
from torch import Tensor

from toroids.errors import ToroidsError
from toroids.params import Params, check_finite, check_shapes
from toroids.symmetry.element import Element, SpaceElement
from toroids.symmetry.space import Leg, Output, Space
from toroids.symmetry.table import table
from toroids.symmetry.units import along

FORMAT = "toroids-symmetry-group-1"


@dataclass(frozen=True)
class SymmetryGroup:
    """All symmetries of one architecture: plain data that can be saved as JSON or written by hand.

    Attributes:
        spaces: in topological order of their first writers.
        shapes: the shape of every parameter and buffer of the architecture.
        output: what the readers of the outputs cannot see.
        buffers: names in `shapes` that are not parameters; they count in no distance.
        notes: what was left out, and why.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    spaces: tuple[Space, ...]
    shapes: dict[str, tuple[int, ...]]
    output: Output = field(default_factory=Output)
    buffers: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [space.name for space in self.spaces]
        if len(set(names)) < len(names):
            raise ToroidsError(f"the space names {names} are not unique; name every space apart.")
        taken: dict[tuple[str, int], str] = {}
        for space in self.spaces:
            for leg in space.legs:
                self._check_leg(leg, space.name, space.size)
                axis = (leg.tensor, leg.axis)
                if axis in taken:
                    raise ToroidsError(
                        f"axis {leg.axis} of `{leg.tensor}` is a leg of `{taken[axis]}` and again "
                        f"of `{space.name}`; an axis is one leg of one space."
                    )
                taken[axis] = space.name
        for leg in self.output.legs:
            self._check_leg(leg, "output", None)
            if (leg.tensor, leg.axis) in taken:
                raise ToroidsError(
                    f"axis {leg.axis} of `{leg.tensor}` writes the outputs and is a leg of "
                    f"`{taken[leg.tensor, leg.axis]}`; outputs stay in their places."
                )
        classes = {self.shapes[leg.tensor][leg.axis] for leg in self.output.legs}
        if self.output.mode != "values" and (len(classes) > 1 or min(classes) < 2):
            raise ToroidsError(
                f"the legs that write the outputs have {sorted(classes)} classes; the mode "
                f"{self.output.mode!r} needs one number of them, 2 or more."
            )

    def _check_leg(self, leg: Leg, space: str, size: int | None) -> None:
        shape = self.shapes.get(leg.tensor)
        if shape is None:
            raise ToroidsError(
                f"space `{space}` names the tensor `{leg.tensor}`, but the group has no shape "
                "for it; add its shape."
            )
        if not 0 <= leg.axis < len(shape):
            raise ToroidsError(
                f"space `{space}` names axis {leg.axis} of `{leg.tensor}`, which has "
                f"{len(shape)} axes; count axes from 0."
            )
        if size is not None and shape[leg.axis] != size:
            raise ToroidsError(
                f"space `{space}` has {size} units but axis {leg.axis} of `{leg.tensor}` has "
                f"{shape[leg.axis]}; pass the tensors that the space indexes."
            )

    def check(self, params: Params, what: str = "the parameters") -> None:
        """Raises unless `params` has the group's names and shapes and is finite.

        Raises:
            ParamsError: names the tensor that is missing, unknown, misshapen or not finite.
        """
        check_shapes(params, self.shapes, what, "the group")
        check_finite(params, what)

    def identity(self) -> Element:
        """Returns the element that moves nothing."""
        return Element(
            {
                space.name: SpaceElement(
                    torch.arange(space.size),
                    torch.zeros(len(space.generators), space.size, dtype=torch.float64),
                )
                for space in self.spaces
            }
        )

    def random(self, generator: torch.Generator | None = None) -> Element:
        """Draws uniform permutations and log-scales from N(0, 1).

        Args:
            generator: source of randomness on the CPU; the global one when None.

        Returns:
            An element that leaves the outputs exactly as they are.
        """
        choices = {}
        for space in self.spaces:
            permutation = torch.arange(space.size)
            if "permute" in space.actions:
                permutation = torch.randperm(space.size, generator=generator)
            log_scales = torch.randn(
                len(space.generators), space.size, dtype=torch.float64, generator=generator
            )
            choices[space.name] = SpaceElement(permutation, log_scales)
        return Element(choices)

    def compose(self, g: Element, h: Element) -> Element:
        """Returns the element that first acts with `h`, then with `g`."""
        choices = {}
        for space in self.spaces:
            first, second = self._choice(h, space), self._choice(g, space)
            choices[space.name] = SpaceElement(
                first.permutation[second.permutation],
                second.log_scales + first.log_scales[:, second.permutation],
            )
        return Element(choices)

    def inverse(self, g: Element) -> Element:
        """Returns the element that undoes `g`."""
        choices = {}
        for space in self.spaces:
            choice = self._choice(g, space)
            back = torch.argsort(choice.permutation)
            choices[space.name] = SpaceElement(back, -choice.log_scales[:, back])
        return Element(choices)

    def apply(self, element: Element, params: Params) -> dict[str, Tensor]:
        """Moves `params` with `element`; the network computes the same function afterwards.

        Args:
            element: one choice per space of this group.
            params: parameters and buffers by name; gradients flow through.

        Returns:
            Every key of `params`, in its order: new tensors where something moved, the same
            ones elsewhere.

        Raises:
            ParamsError: `params` is not of this architecture or is not finite.
            ToroidsError: `element` belongs to another group.
        """
        self.check(params)
        moved = dict(params)
        for space in self.spaces:
            move_space(space, self._choice(element, space), moved)
        check_finite(moved, "the moved network, where a scale leaves the range of the precision,")
        return moved

    def _choice(self, element: Element, space: Space) -> SpaceElement:
        if element.choices.keys() != {known.name for known in self.spaces}:
            raise ToroidsError(
                f"the element has the spaces {sorted(element.choices)} but the group has "
                f"{[known.name for known in self.spaces]}; pass an element of this group."
            )
        choice = element.choices[space.name]
        shape = (len(space.generators), space.size)
        if (
            tuple(choice.log_scales.shape) != shape
            or choice.permutation.shape != shape[1:]
            or sorted(choice.permutation.tolist()) != list(range(space.size))
            or choice.permutation.is_floating_point()
            or not bool(torch.isfinite(choice.log_scales).all())
        ):
            raise ToroidsError(
                f"the element's choice on `{space.name}` is not a permutation of {space.size} "
                f"units with finite log-scales of shape {shape}; pass an element of this group."
            )
        if "permute" not in space.actions and choice.permutation.tolist() != list(
            range(space.size)
        ):
            raise ToroidsError(
                f"the element permutes `{space.name}`, whose actions are {sorted(space.actions)}; "
                "permute only spaces that allow it."
            )
        return choice

    def to_json(self) -> str:
        """Returns the group as JSON text, the same text for the same group."""
        data = _GROUP.dump_python(self, mode="json")
        data["buffers"] = sorted(data["buffers"])
        for space in data["spaces"]:
            space["actions"] = sorted(space["actions"])
        return json.dumps({"format": FORMAT, **data}, indent=2)

    @staticmethod
    def from_json(text: str) -> "SymmetryGroup":
        """Reads a group that `to_json` wrote or that was written by hand in the same form.

        Args:
            text: the JSON text.

        Returns:
            The group, its legs checked against its shapes.

        Raises:
            ToroidsError: the text is not JSON, or not a group; says where.
        """
        try:
            data = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ToroidsError(f"the group is not JSON: {error}.") from error
        if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
            raise ToroidsError(f'the group lacks "format": "{FORMAT}"; pass what to_json wrote.')
        try:
            group: SymmetryGroup = _GROUP.validate_python(data)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            cause = first.get("ctx", {}).get("error")
            if isinstance(cause, ToroidsError):
                raise cause from error
            where = ".".join(str(part) for part in first["loc"])
            raise ToroidsError(f"the group's `{where}` is wrong: {first['msg']}.") from error
        return group

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the tensors that are parameters, not buffers."""
        return tuple(name for name in self.shapes if name not in self.buffers)

    @cached_property
    def log10_order(self) -> float:
        """Base-10 logarithm of the number of permutations in the group."""
        sizes = [space.size for space in self.spaces if "permute" in space.actions]
        return sum(math.lgamma(size + 1) for size in sizes) / math.log(10)

    @property
    def dimension(self) -> int:
        """Number of continuous symmetries that leave the outputs exactly as they are."""
        return sum(space.size * len(space.generators) for space in self.spaces)

    def __str__(self) -> str:
        totals = (
            f"output: {self.output.mode}; discrete order 10^{self.log10_order:.1f}; "
            f"continuous dimension {self.dimension}"
        )
        return table(self.spaces, (*(f"note: {note}" for note in self.notes), totals))


_GROUP: TypeAdapter[Any] = TypeAdapter(SymmetryGroup)


def move_space(space: Space, choice: SpaceElement, params: dict[str, Tensor]) -> None:
    """Acts with `choice` on one space, replacing the tensors of its legs in `params`.

    Args:
        space: the space.
        choice: a checked choice of action on it.
        params: parameters and buffers by name; the mapping changes, no tensor does.
    """
    for position, leg in enumerate(space.legs):
        params[leg.tensor] = _act(params[leg.tensor], leg, position, choice, space)


def _act(tensor: Tensor, leg: Leg, position: int, choice: SpaceElement, space: Space) -> Tensor:
    permutation = choice.permutation.to(tensor.device)
    tensor = tensor.index_select(leg.axis, permutation)
    exponents = torch.tensor([g.exponents[position] for g in space.generators], dtype=torch.float64)
    if not bool(exponents.any()):
        return tensor
    factors = torch.exp(exponents @ choice.log_scales).to(tensor.device, tensor.dtype)
    return tensor * along(factors, tensor, leg.axis)
