"""Elements of a symmetry group: one concrete choice of action per space."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from toroids.errors import ToroidsError
from toroids.params import load_params, save_params


@dataclass(frozen=True)
class SpaceElement:
    """One choice of action on one space.

    Attributes:
        permutation: (size,) integers; unit i of the result is unit permutation[i] before.
        log_scales: (generators, size) in float64.
    """

    permutation: Tensor
    log_scales: Tensor


@dataclass(frozen=True)
class Element:
    """One concrete choice of action per space, by the space's name."""

    choices: Mapping[str, SpaceElement]

    def save(self, path: str | Path) -> None:
        """Writes the element as a safetensors file."""
        tensors = {}
        for name, choice in self.choices.items():
            tensors[f"{name}/permutation"] = choice.permutation
            tensors[f"{name}/log_scales"] = choice.log_scales
        save_params(tensors, path)

    @staticmethod
    def load(path: str | Path) -> "Element":
        """Reads an element that `save` wrote.

        Args:
            path: a safetensors file; nothing in it is executed.

        Returns:
            The element.

        Raises:
            ToroidsError: the file holds something else.
        """
        tensors = load_params(path)
        names = sorted({key.rpartition("/")[0] for key in tensors})
        try:
            choices = {
                name: SpaceElement(tensors[f"{name}/permutation"], tensors[f"{name}/log_scales"])
                for name in names
            }
        except KeyError as error:
            raise ToroidsError(
                f"`{path}` lacks {error}; pass a file that Element.save wrote."
            ) from error
        return Element(choices)
