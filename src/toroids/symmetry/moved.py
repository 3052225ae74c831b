"""A network that an element has moved, one tensor at a time."""

from collections.abc import Mapping
from functools import cached_property

from torch import Tensor

from toroids.computed import Computed
from toroids.params import Params
from toroids.symmetry.action import move_space
from toroids.symmetry.element import SpaceElement
from toroids.symmetry.shifting import shift_space
from toroids.symmetry.space import Space


class Moved(Computed):
    """The tensors that an element gives, each made whenever it is asked for.

    Nothing is kept but what moved together with the tensor that was asked for last, as the weight
    that says what becomes of a bias: a network that does not fit into memory is moved from one file
    to another.
    """

    def __init__(
        self, spaces: tuple[Space, ...], choices: Mapping[str, SpaceElement], params: Params
    ) -> None:
        """Takes spaces in the order in which they act, a checked choice for each, and what moves.

        Args:
            spaces: inner ones before those around them.
            choices: by name of the space.
            params: parameters and buffers by name, of the group's architecture.
        """
        super().__init__(params, self._tensor)
        self._spaces, self._choices, self._params = spaces, choices, params
        self._beside: dict[str, Tensor] = {}

    def _tensor(self, name: str) -> Tensor:
        part, self._beside = self._beside, {}
        if name not in part:
            del part  # before the next is made
            part = self._moved_with(name)
        found = part.pop(name)
        self._beside = part
        return found

    def _moved_with(self, name: str) -> dict[str, Tensor]:
        """A tensor moved, with all that is read to move it and the small ones that follow it."""
        needed = self._needed({name, *self._followers.get(name, ())})
        part = {other: self._params[other] for other in needed}
        spaces = [s for s in self._spaces if not needed.isdisjoint(self._touched[s.name])]
        for space in spaces:
            move_space(space, self._choices[space.name], part)
        for space in spaces:
            shift_space(space, self._choices[space.name], part)
        return part

    @cached_property
    def _touched(self) -> dict[str, set[str]]:
        """The tensors that each space changes."""
        return {
            space.name: {leg.tensor for leg in space.legs}
            | {norm.weight for norm in space.norms}
            | {norm.gain for norm in space.weight_norms}
            | {taken.bias for shift in space.of("shift") for taken in shift.absorbed}
            for space in self._spaces
        }

    @cached_property
    def _read(self) -> dict[str, set[str]]:
        """For every tensor, the others that are read where it is changed."""
        read: dict[str, set[str]] = {}
        for weight, followers in self._followers.items():
            for name in followers:
                read.setdefault(name, set()).add(weight)
        for space in self._spaces:
            for norm in space.norms:
                read.setdefault(norm.weight, set()).add(norm.variance)
            gains = {space.legs[gain].tensor for gain in space.gains if gain is not None}
            for leg in space.legs if space.of("rotate") else ():
                read.setdefault(leg.tensor, set()).update(gains)
        return read

    @cached_property
    def _followers(self) -> dict[str, set[str]]:
        """Biases and gains, by the weight that says what becomes of them."""
        found: dict[str, set[str]] = {}
        for space in self._spaces:
            for followed in space.weight_norms:
                found.setdefault(followed.weight, set()).add(followed.gain)
            for shift in space.of("shift"):
                for taken in shift.absorbed:
                    found.setdefault(taken.reader.tensor, set()).add(taken.bias)
        return found

    def _needed(self, names: set[str]) -> set[str]:
        """Tensors, and all that is read to move them."""
        needed, open_ = set(names), list(names)
        while open_:
            more = self._read.get(open_.pop(), set()) - needed
            needed |= more
            open_ += more
        return needed
