"""The symmetries of one architecture as plain data, and how their elements act on parameters.

A group is a list of spaces. A space is an index set of hidden units; its legs are the parameter
axes that it indexes. An element chooses, for every space, a permutation p, log-scales s and so on,
and acts on every leg with exponent e as

    new[i] = exp(sum_m e_m s_m[i]) old[p[i]]

along the leg's axis: the units are permuted first, then scaled in their new places. Spaces within
others act first; the others then move their copies as wholes. How is in `action`.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, get_args

import pydantic
import torch
from pydantic import ConfigDict, TypeAdapter
from torch import Tensor

from toroids.arguments.checked import check_fields, checked_methods
from toroids.arguments.shown import shown
from toroids.errors import ToroidsError
from toroids.files.objects import read_object
from toroids.params import Params, check_finite, check_shapes
from toroids.symmetry.action import carry_shift, move_space
from toroids.symmetry.choice import (
    check_choice,
    compose_choices,
    identity_choice,
    inverse_choice,
    of_copies,
    random_choice,
)
from toroids.symmetry.coherent import check_coherent
from toroids.symmetry.condition import Condition, check_conditions
from toroids.symmetry.element import Element, SpaceElement
from toroids.symmetry.moved import Moved
from toroids.symmetry.repeated import repeated
from toroids.symmetry.shifting import shift_space
from toroids.symmetry.space import Action, Leg, Output, Space
from toroids.symmetry.table import table
from toroids.symmetry.units import along, vectors

FORMAT = "toroids-symmetry-group-1"


def check_group(group: object) -> None:
    """Raises unless `group` is a symmetry group.

    Args:
        group: what came as one.

    Raises:
        ToroidsError: it is something else.
    """
    if not isinstance(group, SymmetryGroup):
        raise ToroidsError(
            f"the group is a {type(group).__name__}; pass a SymmetryGroup, as td.discover(model, "
            "inputs) gives."
        )


@checked_methods
@dataclass(frozen=True)
class SymmetryGroup:
    """All symmetries of one architecture: plain data that can be saved as JSON or written by hand.

    Attributes:
        spaces: in topological order of their first writers.
        shapes: the shape of every parameter and buffer of the architecture.
        output: what the readers of the outputs cannot see.
        buffers: names in `shapes` that are not parameters; they count in no distance.
        notes: what was left out, and why.
        tied: names under which another tensor appears again, and the name of that tensor; they
            move with it and count in nothing twice.
        binary: parameters of which only the signs are read, as those of binary layers; in canonical
            form they are -1 and +1.
        conditions: buffers that decide which symmetries there are; parameters in which one of them
            differs are refused.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.fully_connected([4, 8, 3], seed=0).double()
        >>> group = td.discover(model, torch.randn(2, 4, dtype=torch.float64))
        >>> element = group.random(torch.Generator().manual_seed(0))
        >>> moved = group.apply(element, model.state_dict())  # other weights, the same function
        >>> back = group.apply(group.inverse(element), moved)
        >>> all(torch.allclose(back[name], tensor) for name, tensor in model.state_dict().items())
        True
        >>> td.SymmetryGroup.from_json(group.to_json()) == group
        True
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    spaces: tuple[Space, ...]
    shapes: dict[str, tuple[int, ...]]
    output: Output = field(default_factory=Output)
    buffers: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    tied: dict[str, str] = field(default_factory=dict)
    binary: frozenset[str] = frozenset()
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, bounded=False)
        check_coherent(
            self.shapes, self.spaces, self.output, self.buffers, self.tied, self.binary,
            self.conditions,
        )  # fmt: skip

    def check(self, params: Params, what: str = "the parameters") -> None:
        """Raises unless `params` has the group's names and shapes and is finite.

        Raises:
            ParamsError: names the tensor that is missing, unknown, misshapen or not finite, or a
                buffer that differs from the one for which the group was found.
        """
        check_shapes(params, self.shapes, what, "the group")
        check_finite(params, what, self.masks)
        check_conditions(self.conditions, params, what)

    def without(self, space: str, action: Action) -> "SymmetryGroup":
        """The group without an action of one space; what that acted on stays in place.

        Args:
            space: its name.
            action: of the space.

        Returns:
            The rest of it. A space to which nothing is left goes, unless others lie in it. With
            the scales of gains that stand on a stream go its rotations, which act where these
            gains are one.

        Raises:
            ToroidsError: there is no such space.

        Example:
            >>> import torch, toroids as td
            >>> group = td.discover(td.models.fully_connected((4, 3, 2)), torch.randn(1, 4))
            >>> sorted(group.without("hidden1", "rescale").spaces[0].actions)
            ['permute']
        """
        if all(own.name != space for own in self.spaces):
            names = ", ".join(f"`{own.name}`" for own in self.spaces)
            raise ToroidsError(f"there is no space `{space}`; pass one of {names}.")
        return self._keeping(lambda own: own.actions - ({action} if own.name == space else set()))

    def restricted(self, actions: Collection[Action]) -> "SymmetryGroup":
        """The group without all actions but some; what the others acted on stays in place.

        Args:
            actions: those that stay, wherever the group has them.

        Returns:
            The rest of it; see `without`.

        Raises:
            ToroidsError: these are no actions.

        Example:
            >>> import torch, toroids as td
            >>> group = td.discover(td.models.fully_connected((4, 3, 2)), torch.randn(1, 4))
            >>> sorted(group.restricted({"permute", "rotate"}).spaces[0].actions)
            ['permute']
        """
        known = get_args(Action)
        several = isinstance(actions, set | frozenset | list | tuple)
        if not several or not all(action in known for action in actions):
            raise ToroidsError(f"`actions` is {shown(actions)}; pass some of {', '.join(known)}.")
        return self._keeping(lambda own: own.actions & {*actions})

    def _keeping(self, kept: Callable[[Space], frozenset[Action]]) -> "SymmetryGroup":
        """The group with some actions of every space; those without any go, if they hold none."""
        spaces: dict[str, Space] = {}
        holding: set[str] = set()
        for own in sorted(
            self.spaces, key=lambda own: -len(own.within)
        ):  # what lies in others first
            actions = kept(own)
            if "rescale" not in actions and any(gain is not None for gain in own.gains):
                actions -= {"rotate"}  # matrices turn where gains are one, which the scales tell
            if actions or own.name in holding:
                generators = tuple(g for g in own.generators if g.action in actions)
                spaces[own.name] = replace(own, actions=actions, generators=generators)
                holding.update(own.within)
        names = [own.name for own in self.spaces if own.name in spaces]
        return replace(self, spaces=tuple(spaces[name] for name in names))

    def identity(self) -> Element:
        """Returns the element that moves nothing."""
        return Element({space.name: identity_choice(space) for space in self.spaces})

    def random(self, generator: torch.Generator | None = None) -> Element:
        """Draws uniform permutations and signs, log-scales and shifts from N(0, 1), and mixes.

        Args:
            generator: source of randomness on the CPU; the global one when None.

        Returns:
            An element that leaves the outputs exactly as they are; the condition of its matrices
            is at most 10.
        """
        return Element({space.name: random_choice(space, generator) for space in self.spaces})

    def compose(self, g: Element, h: Element) -> Element:
        """Returns the element that first acts with `h`, then with `g`."""
        first = {space.name: self._choice(h, space) for space in self.spaces}
        second = {space.name: self._choice(g, space) for space in self.spaces}
        choices = {}
        for space in self.spaces:
            came_from = self.copies_from(space, first)
            then = of_copies(second[space.name], torch.argsort(came_from))
            choices[space.name] = compose_choices(space, then, first[space.name])
        for space in self.spaces:
            both = [self._carried(space, second, first[space.name].shifts)]
            both.append(second[space.name].shifts)
            total = sum((shifts for shifts in both if shifts is not None), torch.zeros(()))
            shifts = total if total.ndim else None
            choices[space.name] = replace(choices[space.name], shifts=shifts)
        return Element(choices)

    def inverse(self, g: Element) -> Element:
        """Returns the element that undoes `g`."""
        choices: dict[str, SpaceElement] = {}
        for space in sorted(self.spaces, key=lambda space: len(space.within)):
            came_from = self.copies_from(space, choices)
            moved = of_copies(self._choice(g, space), torch.argsort(came_from))
            choices[space.name] = inverse_choice(space, moved)
        linear = dict(choices)
        for space in self.spaces:
            shifts = self._carried(space, linear, self._choice(g, space).shifts)
            back = None if shifts is None else -shifts
            choices[space.name] = replace(choices[space.name], shifts=back)
        return Element({space.name: choices[space.name] for space in self.spaces})

    def _carried(
        self, space: Space, choices: Mapping[str, SpaceElement], shifts: Tensor | None
    ) -> Tensor | None:
        """What becomes of shifts when choices act on the network that was shifted."""
        if shifts is None:
            return None
        found = []
        for values, generator in zip(shifts, space.of("shift"), strict=True):
            # all legs that are shifted move alike, so that one stands for all
            leg = space.legs[next(i for i, e in enumerate(generator.exponents) if e)]
            here = [
                (other, i)
                for other in self._in_order
                for i, x in enumerate(other.legs)
                if x.tensor == leg.tensor and _overlap(x, leg)
            ]
            axes = {
                a for s, i in here for a in range(s.legs[i].axis, s.legs[i].axis + s.legs[i].span)
            }
            # a shift is the same along all other axes
            shape = [n if a in axes else 1 for a, n in enumerate(self.shapes[leg.tensor])]
            tensor = along(values.double(), torch.zeros(shape), leg, 0.0).expand(shape)
            for other, i in here:
                tensor = carry_shift(other, i, choices[other.name], tensor)
            found.append(vectors(tensor, leg, space.copies, space.size)[..., 0])
        return torch.stack(found)

    @cached_property
    def _in_order(self) -> list[Space]:
        """The spaces in the order in which they act: inner ones before those around them."""
        return sorted(self.spaces, key=lambda space: -len(space.within))

    def copies_from(self, space: Space, choices: Mapping[str, SpaceElement]) -> Tensor:
        """Which copy of a space comes to lie in every place, when the spaces around it act.

        Args:
            space: one of the group.
            choices: what acts, at least on the spaces around it.

        Returns:
            For every place the copy that is moved there; shape (copies,).
        """
        outer = [self._by_name[name] for name in space.within]
        if not outer:
            return torch.arange(space.copies)
        sizes = [o.size for o in outer]
        digits = torch.unravel_index(torch.arange(space.copies), sizes)
        source: dict[str, Tensor] = {}
        for position in sorted(range(len(outer)), key=lambda i: len(outer[i].within)):
            around = outer[position]
            copy = torch.zeros(space.copies, dtype=torch.long)
            for name in around.within:
                copy = copy * self._by_name[name].size + source[name]
            source[around.name] = choices[around.name].permutation[copy, digits[position]]
        total = torch.zeros(space.copies, dtype=torch.long)
        for o in outer:
            total = total * o.size + source[o.name]
        return total

    @cached_property
    def _by_name(self) -> dict[str, Space]:
        return {space.name: space for space in self.spaces}

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
        self.apply_(element, moved)
        what = "the moved network, where a scale leaves the range of the precision,"
        check_finite(moved, what, self.masks)
        return moved

    def apply_(self, element: Element, params: MutableMapping[str, Tensor]) -> None:
        """Replaces the tensors of `params` that `element` moves; they are trusted, none is changed.

        Args:
            element: one choice per space of this group.
            params: parameters and buffers by name.

        Raises:
            ToroidsError: `element` belongs to another group.
        """
        choices = self._choices(element)
        for space in self._in_order:
            move_space(space, choices[space.name], params)
        for space in self.spaces:
            shift_space(space, choices[space.name], params)

    def moved(self, element: Element, params: Params) -> Moved:
        """Moves `params`, trusted as in `apply_`, one tensor at a time, as each is asked for.

        Args:
            element: one choice per space of this group.
            params: parameters and buffers by name.

        Returns:
            The moved tensors by name; none is kept in memory.

        Raises:
            ToroidsError: `element` belongs to another group.

        Example:
            >>> import torch, toroids as td
            >>> model = td.models.fully_connected((4, 3, 2))
            >>> group = td.discover(model, torch.randn(1, 4))
            >>> params, element = model.state_dict(), group.random()
            >>> moved, one_by_one = group.apply(element, params), group.moved(element, params)
            >>> all(torch.equal(moved[name], one_by_one[name]) for name in params)
            True
        """
        return Moved(tuple(self._in_order), self._choices(element), params)

    def _choices(self, element: Element) -> dict[str, SpaceElement]:
        return {space.name: self._choice(element, space) for space in self.spaces}

    def _choice(self, element: Element, space: Space) -> SpaceElement:
        if element.choices.keys() != {known.name for known in self.spaces}:
            raise ToroidsError(
                f"the element has the spaces {sorted(element.choices)} but the group has "
                f"{[known.name for known in self.spaces]}; pass an element of this group."
            )
        choice = element.choices[space.name]
        check_choice(space, choice)
        return choice

    def to_json(self) -> str:
        """Returns the group as JSON text, the same text for the same group."""
        data = _GROUP.dump_python(self, mode="json")
        data["buffers"] = sorted(data["buffers"])
        data["binary"] = sorted(data["binary"])
        for optional in ("tied", "binary", "conditions"):
            if not data[optional]:
                del data[optional]
        for space in data["spaces"]:
            space["actions"] = sorted(space["actions"])
            for leg in space["legs"]:  # what is as in most groups is not spelt out
                if leg["span"] == 1:
                    del leg["span"]
                if leg["positions"] is None:
                    del leg["positions"]
                if not leg["offset"]:
                    del leg["offset"]
            for generator in space["generators"]:
                for optional in ("absorbed", "fixes_mean", "hides_mean"):
                    if not generator[optional]:
                        del generator[optional]
                for taken in generator.get("absorbed", ()):
                    if taken["rows"] is None:
                        del taken["rows"]
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
            data = read_object(text)
        except ValueError as error:
            raise ToroidsError(
                f"the group cannot be read: {error}; pass the text that to_json wrote."
            ) from error
        if data.pop("format", None) != FORMAT:
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
        """Names of the tensors that are parameters, not buffers; tied ones once."""
        return tuple(n for n in self.shapes if n not in self.buffers and n not in self.tied)

    @cached_property
    def masks(self) -> frozenset[str]:
        """Names of the buffers that are permuted at most: they may be infinite, as masks are."""
        moved = {norm.variance for space in self.spaces for norm in space.norms}
        for space in self.spaces:
            for generator in space.generators:
                legs = zip(space.legs, generator.exponents, strict=True)
                moved |= {leg.tensor for leg, exponent in legs if exponent}
        return self.buffers - moved

    @cached_property
    def log10_order(self) -> float:
        """Base-10 logarithm of the number of discrete symmetries: permutations and flips.

        Where matrices mix units, permutations and signs are among the matrices and not counted.
        """
        total = 0.0
        for space in self.spaces:
            if "permute" in space.actions and space.matrix is None:
                total += space.copies * math.lgamma(space.size + 1)
            total += space.copies * space.size * len(space.of("flip")) * math.log(2)
        return total / math.log(10)

    @property
    def dimension(self) -> int:
        """Number of continuous symmetries that leave the outputs exactly as they are.

        Every weight of which only the sign is read counts for one: its size. Scales that others
        make count once.
        """
        sizes = (math.prod(self.shapes[name]) for name in self.binary if name not in self.tied)
        found = sum(space.dimension for space in self.spaces) + sum(sizes)
        return found - repeated(self.spaces, self.shapes)

    @property
    def share_moved(self) -> float:
        """Share of the parameters' entries that some space touches, in [0, 1]."""
        touched = {leg.tensor for space in self.spaces for leg in space.legs}
        sizes = {name: math.prod(self.shapes[name]) for name in self.parameters}
        return sum(sizes[n] for n in sizes if n in touched) / max(sum(sizes.values()), 1)

    def __str__(self) -> str:
        totals = (
            f"output: {self.output.mode}; discrete order 10^{self.log10_order:.1f}; "
            f"continuous dimension {self.dimension}; {100 * self.share_moved:.1f} % of the "
            "parameters are touched"
        )
        return table(self.spaces, (*(f"note: {note}" for note in self.notes), totals))

    __repr__ = __str__


def _overlap(a: Leg, b: Leg) -> bool:
    """Whether two legs of one tensor have an axis in common."""
    return a.axis < b.axis + b.span and b.axis < a.axis + a.span


_GROUP: TypeAdapter[Any] = TypeAdapter(SymmetryGroup)
