"""Two networks layer by layer: what was left untouched, what was changed, and what is new."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from toroids.compare.score import Cosines, excess
from toroids.compare.surrogate import uniform
from toroids.params import Params, products
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.offsets import as_read

State = Literal["untouched", "lightly changed", "new"]


@dataclass(frozen=True)
class Layer:
    """One layer of two aligned networks.

    Attributes:
        name: of the module, or of the tensor where no module holds it.
        parameters: how many it has.
        similarity: the cosine of its weights after alignment.
        before: the same as the two networks lie, both canonical.
        chance: what surrogates of the two networks reach; None where it was not measured.
        change: ||a - b|| / sqrt(||a|| ||b||) after alignment.
        state: "untouched", equal up to rounding; "lightly changed", more alike beyond chance than
            any matrix of two networks that were trained apart; or "new".

    See `Comparison` for layers in use.
    """

    name: str
    parameters: int
    similarity: float
    before: float
    chance: float | None
    change: float
    state: State


@dataclass(frozen=True)
class Limits:
    """Where a layer counts as changed, and as new.

    Attributes:
        rounding: the relative change up to which it counts as untouched.
        strange: the similarity up to which layers of strangers come.
        beyond: the same beyond chance, which decides where chance is known.
    """

    rounding: float
    strange: float
    beyond: float


Pair = tuple[Params, Params]


def layers(
    group: SymmetryGroup,
    aligned: Pair,
    start: Params,
    others: Sequence[Pair],
    limits: Limits,
    chance: Cosines | None = None,
) -> tuple[Layer, ...]:
    """Compares two aligned networks layer by layer, in the order of their state dict.

    Args:
        group: the architecture's symmetry group.
        aligned: two canonical networks, the second one moved onto the first.
        start: the second one before it was moved.
        others: the same two moved otherwise, since a change of one layer shows in others: with the
            scales they came with, and by what fits the least changed tensors.
        limits: of the states.
        chance: what surrogates reach, by layer.

    Returns:
        One entry per layer; those of constant vectors only, as gains that the canonical form
        makes one, are left out.
    """
    a, b, start = (as_read(group, x) for x in (*aligned, start))
    found = []
    for name, tensors in modules(group).items():
        if all(_constant(x[n]) for x in (a, b) for n in tensors):
            continue  # as a norm whose gains and biases others take up, in any network
        now = products(a, b, tensors)
        alike, change = now.cosine, now.change
        if change is None:
            continue
        random = None if chance is None else chance[name]
        known = alike > limits.strange
        if random is not None:
            known = excess(alike, random) > limits.beyond
        state: State = "lightly changed" if known else "new"
        ways = (products(*pair, tensors).change for pair in others)
        if min(change, *(x for x in ways if x is not None)) <= limits.rounding:
            state = "untouched"
        count = sum(a[n].numel() for n in tensors)
        before = products(a, start, tensors).cosine
        found.append(Layer(name, count, alike, before, random, change, state))
    return tuple(found)


def _constant(tensor: Tensor) -> bool:
    return tensor.ndim == 1 and len(tensor) > 1 and uniform(tensor)


def modules(group: SymmetryGroup) -> dict[str, list[str]]:
    """The tensors of every module, in order, without gains that the canonical form makes one.

    Args:
        group: the architecture's symmetry group.

    Returns:
        Names of tensors by the name of their module; by their own where no module holds them.
    """
    ones = {
        space.legs[gain].tensor
        for space in group.spaces if space.of("rotate")
        for gain in space.gains if gain is not None
    }  # fmt: skip
    found: dict[str, list[str]] = {}
    for name in group.parameters:
        if name not in ones:
            found.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return found
