"""Where the network that moves has come to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from toroids.checkpoint import store
from toroids.params import Params, inner_product
from toroids.symmetry.action import move_space
from toroids.symmetry.choice import compose_choices, identity_choice, of_copies
from toroids.symmetry.element import Element, SpaceElement
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Space


class Position:
    """A network that moves, and what has been applied to it.

    Attributes:
        tensors: the network; tensors are replaced, never changed.
    """

    def __init__(
        self,
        group: SymmetryGroup,
        start: Params,
        element: Element | None = None,
        scratch: str | Path | None = None,
    ) -> None:
        """Begins at `start`, moved by `element`; what moves goes to files of `scratch`."""
        self._group = group
        self._choices = {space.name: identity_choice(space) for space in group.spaces}
        self.tensors = store(start, scratch)
        if element is not None:
            self._choices = dict(group.compose(element, group.identity()).choices)
            group.apply_(element, self.tensors)

    @property
    def element(self) -> Element:
        """What has been applied."""
        return Element(dict(self._choices))

    def state(self) -> dict[str, Any]:
        """What it goes on from, bit for bit: moves anew would round in other places."""
        return {"element": self.element.tensors(), "tensors": dict(self.tensors)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""
        self._choices = dict(Element.of(state["element"]).choices)
        for name, tensor in state["tensors"].items():
            self.tensors[name] = tensor.to(self.tensors[name].device)

    def move(self, space: Space, choice: SpaceElement) -> None:
        """Acts on one space."""
        move_space(space, choice, self.tensors)
        # the choice is for copies in their present places, an element's for those at the start
        came_from = self._group.copies_from(space, self._choices)
        first = of_copies(choice, torch.argsort(came_from))
        self._choices[space.name] = compose_choices(space, first, self._choices[space.name])

    def similarity(self, reference: Params) -> float:
        """The inner product with `reference` over all parameters."""
        return inner_product(self.tensors, reference, self._group.parameters)
