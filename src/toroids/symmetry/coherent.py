"""Whether the parts of a group fit each other: legs, shapes, spaces and what lies within them."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from toroids.errors import ToroidsError
from toroids.symmetry.condition import Condition
from toroids.symmetry.space import Absorbed, Leg, Output, Space

Shapes: TypeAlias = Mapping[str, Sequence[int]]


def check_coherent(
    shapes: Shapes,
    spaces: Sequence[Space],
    output: Output,
    buffers: Collection[str],
    tied: Mapping[str, str],
    binary: Collection[str],
    conditions: Sequence[Condition],
) -> None:
    """Raises unless the parts of a group fit each other, all of them as in `SymmetryGroup`.

    Raises:
        ToroidsError: they do not; says which.
    """
    names = [space.name for space in spaces]
    if len(set(names)) < len(names):
        raise ToroidsError(f"the space names {names} are not unique; name every space apart.")
    known = set(names)
    taken: dict[tuple[str, int, int], list[tuple[Space, Leg]]] = {}
    for space in spaces:
        if not set(space.within) <= known:
            raise ToroidsError(
                f"space `{space.name}` is within {list(space.within)}, which the group lacks "
                f"in part; name spaces among {names}."
            )
        space.check_gains(tied)
        for leg in space.legs:
            _check_leg(shapes, leg, space.name, space)
            for other, earlier in taken.setdefault((leg.tensor, leg.axis, leg.span), []):
                _check_apart(shapes, space, leg, other, earlier)
            taken[leg.tensor, leg.axis, leg.span].append((space, leg))
        for generator in space.generators:
            for absorbed in generator.absorbed:
                _check_absorbed(shapes, space, absorbed)
    for leg in output.legs:
        _check_leg(shapes, leg, "output", None)
        own = [s for s, _ in taken.get((leg.tensor, leg.axis, 1), ()) if not s.is_still]
        if own:
            owner = own[0].name
            raise ToroidsError(
                f"axis {leg.axis} of `{leg.tensor}` writes the outputs and is a leg of "
                f"`{owner}`; outputs stay in their places."
            )
    for name, first in tied.items():
        if not {name, first} <= shapes.keys() or first in tied:
            raise ToroidsError(
                f"`{name}` is tied to `{first}`; name two tensors of the group, the second "
                "one tied to no other."
            )
    if not set(binary) <= shapes.keys() - set(buffers):
        raise ToroidsError(
            f"{sorted(binary)} are called binary; name parameters of the group only."
        )
    for condition in conditions:
        if condition.buffer not in shapes:
            raise ToroidsError(
                f"the group has a condition on `{condition.buffer}`, but no shape for it; name "
                "a buffer of the group."
            )
    classes = {shapes[leg.tensor][leg.axis] for leg in output.legs}
    if output.mode != "values" and (len(classes) > 1 or min(classes) < 2):
        raise ToroidsError(
            f"the legs that write the outputs have {sorted(classes)} classes; the mode "
            f"{output.mode!r} needs one number of them, 2 or more."
        )


def _check_leg(shapes: Shapes, leg: Leg, name: str, space: Space | None) -> None:
    shape = shapes.get(leg.tensor)
    if shape is None:
        raise ToroidsError(
            f"space `{name}` names the tensor `{leg.tensor}`, but the group has no shape "
            "for it; add its shape."
        )
    whole = leg.span >= min(1, len(shape))  # a tensor without axes has none to name
    if not whole or not 0 <= leg.axis <= leg.axis + leg.span <= len(shape):
        raise ToroidsError(
            f"space `{name}` names axis {leg.axis + leg.span - 1} of `{leg.tensor}`, which has "
            f"{len(shape)} axes; count axes from 0."
        )
    if space is None:
        return
    length = math.prod(shape[leg.axis : leg.axis + leg.span])
    units = space.size * space.copies
    if leg.positions is None:
        if units > 1 and length != units:
            raise ToroidsError(
                f"space `{name}` has {units} units but axis {leg.axis} of `{leg.tensor}` has "
                f"{length}; pass the tensors that the space indexes."
            )
    elif (
        not leg.positions
        or len(leg.positions) % units
        or len(set(leg.positions)) < len(leg.positions)
        or not 0 <= min(leg.positions) <= max(leg.positions) < length
    ):
        raise ToroidsError(
            f"space `{name}` lies at {len(leg.positions)} positions of `{leg.tensor}`; give "
            f"different ones below {length}, as many for each of its {units} units."
        )


def _check_absorbed(shapes: Shapes, space: Space, taken: Absorbed) -> None:
    if taken.rows is not None:
        _check_rows(shapes, space, taken, taken.rows)
        return
    reader, bias = (shapes.get(name, ()) for name in (taken.reader.tensor, taken.bias))
    known = taken.reader in space.legs and 0 <= taken.axis < len(reader)
    if not known or math.prod(bias) != reader[taken.axis]:
        raise ToroidsError(
            f"space `{space.name}` has `{taken.bias}` of shape {bias} absorb what axis "
            f"{taken.axis} of `{taken.reader.tensor}`, of shape {reader}, makes of a shift; "
            "name a leg of the space and a bias as long as that axis."
        )


def _check_rows(shapes: Shapes, space: Space, taken: Absorbed, rows: Sequence[int]) -> None:
    leg = taken.reader
    units = shapes.get(leg.tensor, ())[leg.axis : leg.axis + 1]
    own = leg in space.legs and (leg.tensor, leg.axis) == (taken.bias, taken.axis)
    count = math.prod(shapes.get(leg.tensor, ())) // max(math.prod(units), 1)
    good = bool(rows) and len(set(rows)) == len(rows) and 0 <= min(rows) <= max(rows) < count
    if not own or leg.span != 1 or not good:
        raise ToroidsError(
            f"space `{space.name}` has {len(rows)} rows of `{taken.bias}` take back a shift of "
            f"`{leg.tensor}` along axis {taken.axis}; name a leg of the space on the table, "
            f"its axis, and different rows below {count}."
        )


def _check_apart(shapes: Shapes, space: Space, leg: Leg, other: Space, earlier: Leg) -> None:
    """Legs of one space lie apart; a whole axis is shared only with what is nested in it.

    Or with a single unit that holds all of it, and acts alike on whatever moves inside.
    """
    if other.name in space.within or space.name in other.within:
        return
    if space is not other and (
        holds(shapes, space, leg, earlier) or holds(shapes, other, earlier, leg)
    ):
        return
    whole = leg.positions is None or earlier.positions is None
    # spaces that index the rows and the columns of a flattened axis share all its positions
    again = space is other and set(leg.positions or ()) & set(earlier.positions or ())
    if whole or again:
        raise ToroidsError(
            f"axis {leg.axis} of `{leg.tensor}` is a leg of `{other.name}` and again "
            f"of `{space.name}`; an axis is one leg of one space."
        )


def holds(shapes: Shapes, space: Space, leg: Leg, other: Leg) -> bool:
    """Whether a space is a single unit that holds all positions of another leg on its axes."""
    if not space.is_single or leg.positions is None:
        return space.is_single
    return set(other.places(shapes[leg.tensor])) <= set(leg.positions)
