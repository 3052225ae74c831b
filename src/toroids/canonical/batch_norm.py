"""Folding of batch norms into the maps before them.

In evaluation mode a batch norm with mean m, variance v, weight g and bias b maps x to
(x - m) g / s + b, s = sqrt(v + eps). Folded, the map that writes x is multiplied by g / s, the bias
becomes b - m g / s, and the norm keeps m = 0, v = 1 - eps, g = 1, which leave what they are given.
A channel's filter and the norm's bias are then one vector, as in a network without norms.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toroids.canonical.exponents import basis
from toroids.errors import ToroidsError
from toroids.params import precise
from toroids.symmetry.group import SymmetryGroup, check_group
from toroids.symmetry.space import Action, Generator, Leg, Norm, Space
from toroids.symmetry.units import along, vectors

BATCH_NORM = ("keep", "fold")


@dataclass(frozen=True)
class _Fold:
    """A batch norm, in one space, and the legs of the map that it is folded into."""

    space: Space
    norm: Norm
    at: Leg
    into: tuple[Leg, ...]


class Folding:
    """How the batch norms of one architecture are folded.

    Attributes:
        group: of the same architecture with its norms folded; what acted on a norm's weight acts
            on the map before it.
        fixed: the tensors that folding makes constant, and their values.
        notes: the norms that stay, because what they read is no map of their own, as a sum.
    """

    def __init__(self, group: SymmetryGroup) -> None:
        """Finds the norms of `group` that can be folded."""
        self._folds = _folds(group)
        spaces = []
        for space in group.spaces:
            own = [fold for fold in self._folds if fold.space is space]
            if not own and space.is_single:
                spaces.append(_of_maps(space, self._folds, group.shapes))
                continue
            done = {fold.norm.variance for fold in own}
            around = [f for f in self._folds if f.norm.variance not in done]
            own += [fold for fold in around if _meets(space, fold.norm)]
            spaces.append(_without_norms(space, own) if own else space)
        self.group = replace(group, spaces=tuple(spaces))
        self.fixed: dict[str, float] = {}
        for norm in (fold.norm for fold in self._folds):
            self.fixed |= {norm.weight: 1.0, norm.mean: 0.0, norm.variance: 1.0 - norm.eps}
        norms = dict.fromkeys(n for s in group.spaces for n in s.norms)
        names = sorted(n.variance.rpartition(".")[0] for n in norms if n.variance not in self.fixed)
        listed = ", ".join(f"`{name}`" for name in names)
        note = f"not folded: {listed}; nothing but a map of its own may stand before a norm"
        self.notes = [note] if names else []

    def fold(self, params: MutableMapping[str, Tensor]) -> None:
        """Folds, replacing tensors in `params`.

        Args:
            params: checked parameters with their shifts removed; gradients flow through.
        """
        for fold in self._folds:
            norm = fold.norm
            spread = precise(params[norm.variance]) + norm.eps
            gains = precise(params[norm.weight]) / spread.sqrt()
            factors = vectors(gains, fold.at, fold.space.copies, fold.space.size)
            for leg in fold.into:
                tensor = params[leg.tensor]
                params[leg.tensor] = tensor * along(factors.to(tensor.dtype), tensor, leg, 1.0)
        for norm in dict.fromkeys(fold.norm for fold in self._folds):
            spread = precise(params[norm.variance]) + norm.eps
            shift = precise(params[norm.mean]) * precise(params[norm.weight]) / spread.sqrt()
            assert norm.bias is not None  # _folds leaves others out
            params[norm.bias] = (precise(params[norm.bias]) - shift).to(params[norm.bias].dtype)
        for name, value in self.fixed.items():
            params[name] = torch.full_like(params[name], value)


def folding(group: SymmetryGroup, batch_norm: str) -> Folding | None:
    """Finds the folding of `group`, if `batch_norm` asks for it.

    Returns:
        The folding for "fold", None for "keep".

    Raises:
        ToroidsError: another word, or `group` is none.
    """
    check_group(group)
    if batch_norm not in BATCH_NORM:
        raise ToroidsError(f"there is no batch_norm={batch_norm!r}; choose from {BATCH_NORM}.")
    return Folding(group) if batch_norm == "fold" else None


def _folds(group: SymmetryGroup) -> list[_Fold]:
    found = [fold for space in group.spaces for n in space.norms if (fold := _fold(space, n))]
    found = [f for f in found if all(_follows(space, f) for space in group.spaces)]
    # A norm over several spaces is folded in all of them or in none.
    covered: dict[str, int] = {}
    cut = {x.tensor for space in group.spaces if space.is_single for x in space.legs if x.positions}
    found = [f for f in found if cut.isdisjoint((f.norm.weight, f.norm.mean, f.norm.variance))]
    for fold in found:
        units = fold.space.copies * fold.space.size
        covered[fold.norm.variance] = covered.get(fold.norm.variance, 0) + units
    return [f for f in found if covered[f.norm.variance] == group.shapes[f.norm.variance][0]]


def _meets(space: Space, norm: Norm) -> bool:
    """Whether scales of a space, or signs, move what folding makes constant."""
    held = {norm.weight, norm.mean, norm.variance}
    generators = [g for g in space.generators if g.action in ("rescale", "flip")]
    powers = ([g.exponents[n] for g in generators] for n in range(len(space.legs)))
    return any(leg.tensor in held and any(p) for leg, p in zip(space.legs, powers, strict=True))


def _follows(space: Space, fold: _Fold) -> bool:
    """Whether the map before a norm can take what a space, as one around, does to the norm."""
    places = {(leg.tensor, leg.axis, leg.span) for leg in space.legs}
    inside = all((leg.tensor, leg.axis, leg.span) in places for leg in fold.into)
    return space is fold.space or space.is_single or inside or not _meets(space, fold.norm)


def _fold(space: Space, norm: Norm) -> _Fold | None:
    """A norm can be folded if scaling and flipping what it reads moves only the map before it."""
    table = np.array([g.exponents for g in space.of("rescale")]).T
    held = {norm.weight, norm.bias, norm.mean, norm.variance}
    buffers = {name for other in space.norms for name in (other.mean, other.variance)}
    rest = {n for other in space.norms for n in (other.weight, other.bias)}
    wanted, rows, maps = [], [], []
    for leg, row in zip(space.legs, table, strict=True):
        if leg.tensor in buffers | rest or leg.role == "read":
            rows.append(row)
            of_norm = {norm.mean: 1.0, norm.variance: 2.0}
            wanted.append(of_norm.get(leg.tensor, 0.0))
        else:
            maps.append((leg, row))
    direction, *_ = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)
    if not np.allclose(np.array(rows) @ direction, wanted):
        return None
    powers = [float(row @ direction) for _, row in maps]
    if norm.bias is None or not all(np.isclose(p, 0) or np.isclose(p, 1) for p in powers):
        return None
    into = tuple(leg for (leg, _), p in zip(maps, powers, strict=True) if np.isclose(p, 1))
    at = [leg for leg in space.legs if leg.tensor in held]
    places = {(leg.axis, leg.span, leg.positions) for leg in at}
    units = space.copies * space.size
    one_each = len(at) == len(held) and len(places) == 1
    positions = at[0].positions
    one_each = one_each and (positions is None or len(positions) == units)
    if not (into and one_each):
        return None
    # a gain may be negative, of which nothing between the map and the norm may take notice
    turned = tuple(float(x in into or x.tensor in (norm.weight, norm.mean)) for x in space.legs)
    flips = [generator.exponents for generator in space.of("flip")]
    is_flip = len(basis([*flips, turned], True)) == len(basis(flips, True))
    return _Fold(space, norm, at[0], into) if is_flip else None


def _without_norms(space: Space, folds: Sequence[_Fold]) -> Space:
    """Moves the exponents of the norms' weights to the maps before them."""
    numbers: dict[tuple[str, int, int], list[int]] = {}
    for number, leg in enumerate(space.legs):
        numbers.setdefault((leg.tensor, leg.axis, leg.span), []).append(number)
    generators: list[Generator] = []
    for action in ("rescale", "flip", "shift"):
        rows: list[tuple[float, ...]] = []
        for generator in space.of(action):
            powers = list(generator.exponents)
            done: set[tuple[str, int]] = set()  # of a norm that spaces share, which one holds whole
            for fold in folds if action != "shift" else ():
                norm, at = fold.norm, (fold.at.axis, fold.at.span)
                gain = generator.exponents[numbers[norm.weight, *at][0]]
                spread = generator.exponents[numbers[norm.variance, *at][0]]
                for leg in fold.into:
                    for number in numbers.get((leg.tensor, leg.axis, leg.span), ()):
                        if (norm.variance, number) in done:
                            continue
                        done.add((norm.variance, number))
                        powers[number] += gain - spread / 2
                        if action == "flip":
                            powers[number] %= 2
                for name in (norm.weight, norm.mean, norm.variance):
                    for number in numbers[name, *at]:
                        powers[number] = 0.0
            rows.append(tuple(powers))
        taken = {row: g.absorbed for row, g in zip(rows, space.of(action), strict=True)}
        generators += [Generator(action, r, taken[r]) for r in basis(rows, action == "flip")]
    actions: set[Action] = {generator.action for generator in generators}
    return replace(
        space,
        actions=frozenset(actions | (space.actions & {"permute"})),
        generators=tuple(generators),
        norms=tuple(n for n in space.norms if all(n != fold.norm for fold in folds)),
    )


def _of_maps(space: Space, folds: Sequence[_Fold], shapes: Mapping[str, tuple[int, ...]]) -> Space:
    """What moves all of a norm at once moves the maps before it instead."""
    columns = np.array([generator.exponents for generator in space.generators]).T
    held = {leg.tensor: row for leg, row in zip(space.legs, columns, strict=True)}
    moved = [(fold, _of_norm(fold.norm, held)) for fold in folds]
    taken = [(leg, row) for fold, row in moved if row is not None for leg in fold.into]
    own = zip(space.legs, columns, strict=True)
    parts = [(part, row) for leg, row in own for part in _cut(leg, [x for x, _ in taken], shapes)]
    powers: dict[Leg, Any] = {}
    for leg, row in (*parts, *taken):
        powers[leg] = powers.get(leg, 0.0) + row
    norms = [fold.norm for fold in folds]
    gone = {name for norm in norms for name in (norm.weight, norm.mean, norm.variance)}
    even = np.array([generator.action == "flip" for generator in space.generators])
    rows = {leg: np.where(even, row % 2, row) for leg, row in powers.items()}
    left = {leg: row for leg, row in rows.items() if leg.tensor not in gone and row.any()}
    columns = np.array([*left.values()]).T
    return replace(
        space,
        legs=tuple(left),
        generators=tuple(
            replace(generator, exponents=tuple(row.tolist()))
            for generator, row in zip(space.generators, columns, strict=True)
        ),
        norms=tuple(norm for norm in space.norms if norm not in norms),
    )


def _of_norm(norm: Norm, held: Mapping[str, Any]) -> Any:
    """The powers that the map before a norm takes; None where a space does not move the norm."""
    powers = [held[n] * f for n, f in ((norm.weight, 1.0), (norm.variance, -0.5)) if n in held]
    return sum(powers) if powers else None


def _cut(leg: Leg, parts: Sequence[Leg], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Leg]:
    """A leg that holds a whole tensor, cut along legs that hold parts of it."""
    inside = list(dict.fromkeys(part for part in parts if part.tensor == leg.tensor))
    if leg.positions is not None or not inside:
        yield leg
        return
    yield from inside
    shape = shapes[leg.tensor]
    whole = replace(inside[0], positions=None)
    rest = sorted({*whole.places(shape)} - {at for part in inside for at in part.places(shape)})
    if rest:
        yield replace(whole, positions=tuple(rest))
