"""Whether a group contains a given permutation, rescaling or flip of a sandwich's parameters.

A sandwich's units are the rows of its writers and the columns of its readers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from operators.brute_force import Found
from torch import Tensor

import toroids as td
from toroids.symmetry.space import Leg, Space

Orders = Mapping[str, Tensor]


def named(found: Found) -> dict[str, Tensor]:
    """What a symmetry does to every parameter of a sandwich."""
    of_arguments = {f"writers.{i}": what for i, what in enumerate(found.arguments)}
    return of_arguments | {f"readers.{i}": what for i, what in enumerate(found.results)}


def named_alike(found: Found) -> dict[str, Tensor]:
    """Of every reader of a sandwich which columns read the same numbers."""
    return {f"readers.{i}": what for i, what in enumerate(found.alike)}


def grants_permutation(
    group: td.SymmetryGroup, sources: Orders, alike: Orders | None = None
) -> bool:
    """Whether some element brings every unit from its source, as given by parameter.

    A source of -1 is any unit. Units that are alike, as numbers given by parameter say, may stand
    for each other.

    The element is built from the outermost spaces inwards: each is read off its legs, and undone.
    """
    choices = dict(group.identity().choices)
    left = dict(sources)
    for space in sorted(group.spaces, key=lambda space: len(space.within)):
        if "permute" in space.actions:
            permutation = _read_off(space, left)
            if permutation is None:
                return False
            choices[space.name] = replace(choices[space.name], permutation=permutation)
            left = _without(space, permutation, left)
    element = td.symmetry.Element(choices)
    before = {
        name: _labels(shape, name, (alike or {}).get(name)) for name, shape in group.shapes.items()
    }
    after = group.apply(element, before)
    return all(
        torch.equal(
            after[name].movedim(_axis(name), 0)[order >= 0],
            before[name].movedim(_axis(name), 0)[order[order >= 0]],
        )
        for name, order in sources.items()
    )


def _axis(name: str) -> int:
    return 0 if name.startswith("writers") else 1


def _labels(shape: tuple[int, ...], name: str, numbers: Tensor | None) -> Tensor:
    """Parameters with a number for every unit."""
    numbers = torch.arange(shape[_axis(name)]) if numbers is None else numbers
    numbers = numbers.double()
    return numbers.expand(shape) if _axis(name) else numbers[:, None].expand(shape)


def _places(space: Space, leg: Leg, length: int) -> Tensor:
    """Where the units of a space lie on a leg: (copies, size, positions of one unit)."""
    held = torch.arange(length) if leg.index is None else leg.index
    return held.reshape(space.copies, space.size, -1)


def _legs(space: Space, names: Orders) -> Iterator[tuple[Leg, Tensor]]:
    for leg in space.legs:
        if leg.tensor in names and leg.axis == _axis(leg.tensor):
            yield leg, _places(space, leg, len(names[leg.tensor]))


def _read_off(space: Space, sources: Orders) -> Tensor | None:
    """The unit from which each unit of each copy comes; None where a unit is torn apart."""
    for leg, places in _legs(space, sources):
        unit = torch.full((len(sources[leg.tensor]),), -1)
        unit[places] = torch.arange(space.size)[None, :, None]
        given = sources[leg.tensor][places]  # one of every unit that is not any is enough
        if not bool((given >= 0).any(dim=2).all()):
            continue
        permutation = unit[given.gather(2, (given >= 0).int().argmax(dim=2, keepdim=True))[:, :, 0]]
        proper = permutation.sort(dim=1).values == torch.arange(space.size)
        return permutation if bool(proper.all()) else None
    return torch.arange(space.size).repeat(space.copies, 1)


def _without(space: Space, permutation: Tensor, sources: Orders) -> dict[str, Tensor]:
    """What is left of a permutation when a space's part of it, which acts last, is taken away."""
    left = dict(sources)
    for leg, places in _legs(space, sources):
        copies = torch.arange(space.copies)[:, None]
        moved = torch.empty_like(sources[leg.tensor])
        moved[:] = left[leg.tensor]
        moved[places[copies, permutation]] = left[leg.tensor][places]
        left[leg.tensor] = moved
    return left


def grants_factors(group: td.SymmetryGroup, powers: Orders, sign: bool) -> bool:
    """Whether some element multiplies every unit by a number to the given power.

    Args:
        group: a group of a sandwich.
        powers: by parameter; NaN where any will do.
        sign: whether the number is -1, so that powers count modulo two.

    Returns:
        Whether they are a combination of the group's generators.
    """
    # what the results are multiplied by, their readers are divided by
    wanted = torch.cat([-p if _axis(name) else p for name, p in powers.items()]).double()
    known = ~wanted.isnan()
    rows = torch.stack([*_generators(group, powers, sign), torch.zeros_like(wanted)])[:, known]
    return _spans_modulo_two(rows, wanted[known]) if sign else _spans(rows, wanted[known])


def _generators(group: td.SymmetryGroup, names: Orders, sign: bool) -> Iterator[Tensor]:
    starts, total = {}, 0
    for name, held in names.items():
        starts[name], total = total, total + len(held)
    for space in group.spaces:
        for generator in [*space.of("flip" if sign else "rescale"), *space.of("mix")]:
            rows = torch.zeros(space.copies, space.size, total, dtype=torch.float64)
            for leg, exponent in zip(space.legs, generator.exponents, strict=True):
                if leg.tensor in names and leg.axis == _axis(leg.tensor):
                    places = starts[leg.tensor] + _places(space, leg, len(names[leg.tensor]))
                    rows.scatter_add_(2, places, torch.full(places.shape, exponent).double())
            yield from rows.flatten(0, 1)


def _spans(rows: Tensor, wanted: Tensor) -> bool:
    solution = torch.linalg.lstsq(rows.T, wanted[:, None], driver="gelsd").solution
    return bool((rows.T @ solution - wanted[:, None]).abs().max() < 1e-6)


def _spans_modulo_two(rows: Tensor, wanted: Tensor) -> bool:
    """Elimination on rows as numbers of as many bits."""

    def bits(row: Tensor) -> int:
        return sum(1 << i for i in torch.nonzero(row.round() % 2)[:, 0].tolist())

    leading: dict[int, int] = {}

    def rest(row: int) -> int:
        while row and row.bit_length() in leading:
            row ^= leading[row.bit_length()]
        return row

    for row in rows:
        left = rest(bits(row))
        if left:
            leading[left.bit_length()] = left
    return rest(bits(wanted)) == 0
