"""Elements of a symmetry group: one concrete choice of action per space."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from torch import Tensor

from toroids.arguments.checked import check_fields, checked_methods
from toroids.errors import ToroidsError
from toroids.params import Params, load_params, save_params
from toroids.result import Result
from toroids.symmetry.space import Action


@dataclass(frozen=True, repr=False)
class SpaceElement(Result):
    """One choice of action on one space.

    A space without copies may leave the axis of copies out. What is None does not act.

    Attributes:
        permutation: (copies, size) integers; unit i of the result is unit permutation[c, i] before.
        log_scales: (generators of "rescale", copies, size) in float64.
        signs: (generators of "flip", copies, size), 1 or -1.
        shifts: (generators of "shift", copies, size), in units of the parameter.
        mix: (copies, size, size) invertible matrices; orthogonal ones where the space rotates.
        phases: (generators of "phase", copies, size) angles in radians.

    Example:
        >>> import torch, toroids as td
        >>> swap = td.symmetry.SpaceElement(torch.tensor([1, 0, 2]), log_scales=torch.zeros(1, 3))
        >>> swap.permutation.shape, swap.log_scales.shape
        (torch.Size([1, 3]), torch.Size([1, 1, 3]))
    """

    permutation: Tensor
    log_scales: Tensor | None = None
    signs: Tensor | None = None
    shifts: Tensor | None = None
    mix: Tensor | None = None
    phases: Tensor | None = None

    def __post_init__(self) -> None:
        check_fields(self, bounded=False)
        if self.permutation.ndim == 1:
            object.__setattr__(self, "permutation", self.permutation[None])
        for name in ("log_scales", "signs", "shifts", "phases"):
            value = getattr(self, name)
            if value is not None and value.ndim == 2:
                object.__setattr__(self, name, value[:, None])
            if value is not None and value.numel() == 0 and len(value) == 0:
                object.__setattr__(self, name, None)


# The field of `SpaceElement` that holds what an action chooses.
PARTS: dict[Action, str] = {
    "permute": "permutation", "rescale": "log_scales", "flip": "signs", "shift": "shifts",
    "mix": "mix", "rotate": "mix", "phase": "phases",
}  # fmt: skip
FIELDS = tuple(field.name for field in fields(SpaceElement))


@checked_methods
@dataclass(frozen=True)
class Element:
    """One concrete choice of action per space, by the space's name.

    Example:
        >>> import torch, toroids as td
        >>> params = {"hidden.weight": torch.eye(2), "output.weight": torch.ones(1, 2)}
        >>> group = td.symmetry.fully_connected_group(params)
        >>> doubled = torch.full((1, 2), 2.0, dtype=torch.float64).log()
        >>> swapped = td.symmetry.SpaceElement(torch.tensor([1, 0]), doubled)
        >>> swap = td.symmetry.Element({"hidden": swapped})
        >>> group.apply(swap, params)["hidden.weight"]
        tensor([[0., 2.],
                [2., 0.]])
    """

    choices: Mapping[str, SpaceElement]

    def __str__(self) -> str:
        return f"Element({len(self.choices)} spaces)"

    __repr__ = __str__

    def __post_init__(self) -> None:
        check_fields(self, bounded=False)

    def save(self, path: str | Path) -> None:
        """Writes the element as a safetensors file."""
        save_params(self.tensors(), path)

    def tensors(self) -> dict[str, Tensor]:
        """Names what every space is acted on by, as `save` writes it."""
        parts = {
            f"{name}/{part}": getattr(choice, part)
            for name, choice in self.choices.items()
            for part in FIELDS
        }
        return {name: value for name, value in parts.items() if value is not None}

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
        for name in {key.rpartition("/")[0] for key in tensors}:
            if f"{name}/permutation" not in tensors:
                raise ToroidsError(
                    f"`{path}` lacks '{name}/permutation'; pass a file that Element.save wrote."
                )
        return Element.of(tensors)

    @staticmethod
    def of(tensors: Params) -> "Element":
        """The element whose `tensors` these are."""
        names = sorted({key.rpartition("/")[0] for key in tensors})
        return Element(
            {
                name: SpaceElement(*(tensors.get(f"{name}/{part}") for part in FIELDS))  # type: ignore[arg-type]
                for name in names
            }
        )
