"""Networks that share a part: what is compared, and what only follows.

Two classifiers of 80 and of 20 classes have the same trunk under heads of other shapes. What their
groups move is the same; the heads follow the units that they read.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from toroids.errors import ParamsError
from toroids.params import Params
from toroids.symmetry.element import PARTS, Element
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Action, Output, Space

# With one row for every generator.
ROWED: tuple[Action, ...] = ("rescale", "flip", "shift", "phase")


def shared_names(group: SymmetryGroup, only: Sequence[str]) -> frozenset[str]:
    """The tensors that parts name.

    Args:
        group: the architecture's.
        only: names of tensors, or of modules that hold them.

    Returns:
        Names of tensors.

    Raises:
        ParamsError: a part names none, or there are no parts.
    """
    if not only:
        raise ParamsError(
            "only is empty; name tensors or modules that are compared, or leave it out."
        )
    found: set[str] = set()
    for part in only:
        own = {name for name in group.shapes if name == part or name.startswith(f"{part}.")}
        if not own:
            raise ParamsError(
                f"only={part!r} names no parameter of the group; name tensors, as "
                f"{next(iter(group.shapes))!r}, or modules that hold some."
            )
        found |= own
    return frozenset(found)


def own_shapes(
    held: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    shared: Collection[str],
    tied: Mapping[str, str],
) -> dict[str, tuple[int, ...]]:
    """The shapes that the tensors of an architecture have in a file, where they may differ.

    Args:
        held: shapes in the file by name, perhaps with a prefix.
        expected: shapes of the architecture by name.
        shared: names of tensors whose shapes must be the architecture's.
        tied: names of tensors that are the same as another one, of which a file may hold one only,
            and the name of that one.

    Returns:
        Shapes by the architecture's names.
    """
    found = {name: tuple(shape) for name, shape in expected.items()}
    alike: dict[str, set[str]] = {}
    for name in found:
        alike.setdefault(tied.get(name, name), set()).add(name)
    for name in found.keys() - set(shared):
        names = alike[tied.get(name, name)]
        if not names & set(shared):
            own = {tuple(x) for other, x in held.items() if is_one_of(other, names)}
            if len(own) == 1:
                found[name] = own.pop()
    return found


def is_one_of(held: str, names: Collection[str]) -> bool:
    """Whether a name in a file, perhaps with a prefix or without one, is one of some names."""
    return any(f".{held}".endswith(f".{name}") for name in names)


def own_group(group: SymmetryGroup, network: Params, shared: Collection[str]) -> SymmetryGroup:
    """The group of a network of which only some tensors have the architecture's shapes.

    Args:
        group: the architecture's.
        network: parameters by name.
        shared: names of tensors whose shapes must be those of the group.

    Returns:
        The same spaces, on the network's own shapes.

    Raises:
        ParamsError: a tensor is missing, or its units are not as many.
    """
    shapes = dict(group.shapes)
    for name in shapes.keys() - set(shared):
        if name not in network:
            raise ParamsError(
                f"`{name}` is missing in one of the networks; pass networks of one architecture, "
                "whose tensors may have other shapes where `only` leaves them out."
            )
        shapes[name] = tuple(network[name].shape)
    for space in group.spaces:
        for leg in space.legs:
            before, after = (
                math.prod(x[leg.tensor][leg.axis : leg.axis + leg.span])
                for x in (group.shapes, shapes)
            )
            if before != after or len(shapes[leg.tensor]) != len(group.shapes[leg.tensor]):
                raise ParamsError(
                    f"`{leg.tensor}` has the shape {shapes[leg.tensor]}, not "
                    f"{group.shapes[leg.tensor]}, and a symmetry moves axis {leg.axis}; only what "
                    "no symmetry moves may differ. Leave the parts that differ out of `only`, and "
                    "pass a group whose outputs they are."
                )
    return replace(group, shapes=shapes)


def compared(group: SymmetryGroup, shared: Collection[str]) -> SymmetryGroup:
    """What a group does to some tensors alone, without what moves none of them.

    Args:
        group: the architecture's.
        shared: names of tensors.

    Returns:
        A group of these tensors, whose elements are those of the spaces that move any of them.
    """
    spaces = [space for space in (_within(space, shared) for space in group.spaces) if space]
    names = {space.name for space in spaces}
    return replace(
        group,
        spaces=tuple(
            replace(space, within=tuple(x for x in space.within if x in names)) for space in spaces
        ),
        shapes={name: shape for name, shape in group.shapes.items() if name in shared},
        output=Output(),
        buffers=group.buffers & set(shared),
        tied={a: b for a, b in group.tied.items() if a in shared and b in shared},
        binary=group.binary & set(shared),
        conditions=tuple(c for c in group.conditions if c.buffer in shared),
    )


def extended(element: Element, group: SymmetryGroup, shared: Collection[str]) -> Element:
    """An element of what was compared as one of the whole group, which leaves the rest in place.

    Args:
        element: of `compared(group, shared)`.
        group: the whole.
        shared: names of tensors.

    Returns:
        The element; what it does not say does nothing.
    """
    choices = dict(group.identity().choices)
    for space in group.spaces:
        if space.name not in element.choices:
            continue
        found, whole = element.choices[space.name], choices[space.name]
        mix = whole.mix if found.mix is None else found.mix
        own: dict[str, Tensor | None] = {"permutation": found.permutation, "mix": mix}
        for action in ROWED:
            rows, values = _kept(space, action, shared), getattr(found, PARTS[action])
            filled = getattr(whole, PARTS[action])
            if filled is not None and values is not None and rows:
                filled = filled.to(values.device).index_copy(
                    0, torch.tensor(rows, device=values.device), values.to(filled.dtype)
                )
            own[PARTS[action]] = filled
        choices[space.name] = replace(whole, **own)  # type: ignore[arg-type]
    return Element(choices)


def _kept(space: Space, action: Action, shared: Collection[str]) -> list[int]:
    """Which generators of an action move any of some tensors, each in its own way."""
    seen: set[tuple[float, ...]] = set()
    kept = []
    for number, generator in enumerate(space.of(action)):
        pairs = zip(space.legs, generator.exponents, strict=True)
        exponents = tuple(x for leg, x in pairs if leg.tensor in shared)
        if any(exponents) and exponents not in seen:
            seen.add(exponents)
            kept.append(number)
    return kept


def _holds_gains(space: Space, shared: Collection[str]) -> bool:
    """Whether every gain that stands before a shared leg is shared too."""
    return all(
        gain is not None and space.legs[gain].tensor in shared
        for number, gain in enumerate(space.gains)
        if number in _kept(space, "rescale", shared)
    )


def _within(space: Space, shared: Collection[str]) -> Space | None:
    legs = [number for number, leg in enumerate(space.legs) if leg.tensor in shared]
    if not legs:
        return None
    generators = [
        replace(
            generator,
            exponents=tuple(generator.exponents[number] for number in legs),
            absorbed=tuple(
                x for x in generator.absorbed if {x.bias, x.reader.tensor} <= set(shared)
            ),
        )
        for action in (*ROWED, "mix", "rotate")
        for generator in (space.of(action)[n] for n in _kept(space, action, shared))
        if action != "rotate" or _holds_gains(space, shared)
    ]
    return replace(
        space,
        legs=tuple(space.legs[number] for number in legs),
        generators=tuple(generators),
        actions=frozenset({g.action for g in generators} | (space.actions & {"permute"})),
        norms=tuple(norm for norm in space.norms if norm.variance in shared),
        weight_norms=tuple(x for x in space.weight_norms if {x.gain, x.weight} <= set(shared)),
    )
