"""Values in a traced network: what their axes are made of, and what indexes those.

An axis is a product of dimensions: flattening (16, 8, 8) gives one axis of three dimensions, and
viewing it back costs nothing. A bundle says which places index one or several dimensions together;
`{head, entry}` is one bundle where the entries of each head move on their own. A dimension without
a bundle is uniform: the value is constant along it.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from toroids.discovery.axes.constraints import CHANNELS, SCALAR, Constraints, Ids, Loss

SCALE, SIGN, SHIFT = range(len(CHANNELS))


NONE = np.zeros(len(CHANNELS), np.int64)
# Types of tensors that choose where they are an index, instead of counting.
MASKS = (torch.bool, torch.uint8)


@dataclass(frozen=True, eq=False)
class Bundle:
    """Places that index some dimensions of a value together.

    Attributes:
        dims: which dimensions, ascending.
        ids: (4, *sizes): places, then exponents of scale, sign and shift.
    """

    dims: tuple[int, ...]
    ids: Ids

    @property
    def places(self) -> Ids:
        """The places alone."""
        return np.asarray(self.ids[0])

    @property
    def fixed(self) -> bool:
        """Whether none of the places ever moves."""
        return len(self.dims) == 1 and bool((self.ids[0] < 0).all())


class _Open:
    """A number that depends on the lengths of the inputs, as it is for the example.

    Attributes:
        expression: of the lengths, where it is known.
    """

    expression: Any = None

    def made_by(self, expression: Any) -> Self:
        """The same number, with what it is made of."""
        self.expression = expression
        return self


class OpenInt(_Open, int):
    """An integer, or truth, that depends on the lengths of the inputs."""


class OpenFloat(_Open, float):
    """A number that depends on the lengths of the inputs."""


def is_open(x: object) -> bool:
    """Whether a number depends on the lengths of the inputs."""
    return isinstance(x, OpenInt | OpenFloat)


@dataclass(frozen=True, eq=False)
class Loose:
    """A function that shifts add to a value, unknown but for the axes along which it varies.

    Attributes:
        ids: the exponents of the shifts, without which there is nothing to see.
        own: for every dimension of `ids` the axis of the value along which they lie, -1 for none.
        varies: axes along which the function varies otherwise.
    """

    ids: Ids
    own: tuple[int, ...]
    varies: frozenset[int]

    def moved(self, to: Callable[[int], int]) -> "Loose":
        """The same function of a value whose axes moved; `to` gives -1 for one that is gone."""
        own = tuple(to(axis) if axis >= 0 else -1 for axis in self.own)
        return Loose(self.ids, own, frozenset(to(axis) for axis in self.varies) - {-1})


def distinct(loose: Iterable[Loose]) -> tuple[Loose, ...]:
    """Leaves out what is said twice: a loop over time would double its state's at every step."""
    return tuple({(id(x.ids), x.own, x.varies): x for x in loose}.values())


@dataclass(frozen=True, eq=False)
class Held:
    """Numbers that follow from buffers alone.

    Attributes:
        buffers: their names.
        numbers: computes them, as they are now.
    """

    buffers: frozenset[str]
    numbers: Callable[[], Tensor]


@dataclass(frozen=True)
class Rows:
    """Entries of which each has chosen a unit, whose places index the rest.

    Attributes:
        key: of what chose.
        own: the axes of the value along which the choice varies, in its order.
    """

    key: int
    own: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Names:
    """What numbers that name places along an axis are: an index into an axis that may move.

    Attributes:
        places: (size,) the places that the numbers 0, 1, ... name.
        key: the same object for the same numbers, in whatever order.
        kind: "index"; "order" where every place is named once, along an axis of as many; or
            "ends" where they say how far the entries that name every place go, once sorted.
        rows: the same object for the same numbers in the same order.
    """

    places: Ids
    key: object = field(default_factory=object)
    kind: str = "index"
    rows: object = field(default_factory=object)


@dataclass(frozen=True)
class Level:
    """That entries of a value may be equal, more often than by chance.

    Attributes:
        by: the operator, or input, that makes them equal.
        zero: whether some may be zero.
        apart: axes along which they differ nevertheless, counted from the end.
        positive: whether all that are not zero differ.
    """

    by: str
    zero: bool
    apart: frozenset[int] = frozenset()
    positive: bool = False


@dataclass(frozen=True, eq=False)
class Value:
    """One tensor of a traced network.

    Attributes:
        axes: for every axis the sizes of the dimensions that it is a product of.
        bundles: what indexes the dimensions; they may overlap.
        scalar: (3,) exponents of the value as a whole.
        tensor: the numbers, where they are constant.
        zero: whether all numbers are zero.
        name: the parameter that this is, perhaps seen in another shape.
        loose: functions that shifts have added.
        held: the numbers, where they follow from buffers.
        mask: whether the entries are true or false, so that as an index they choose.
        names: the places that the entries name, where those may move.
        rows: choices of units, for which templates stand.
        counts: for counts of how often every place is named, the key of those names.
        level: which entries may be equal; None where all differ that nothing says to be the same.
    """

    axes: tuple[tuple[int, ...], ...]
    bundles: tuple[Bundle, ...] = ()
    scalar: Ids = field(default_factory=lambda: NONE)
    tensor: Tensor | None = None
    zero: bool = False
    name: str | None = None
    loose: tuple[Loose, ...] = ()
    held: Held | None = None
    mask: bool = False
    names: Names | None = None
    counts: object = None
    rows: tuple[Rows, ...] = ()
    level: Level | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(int(math.prod(sizes)) for sizes in self.axes)

    @property
    def sizes(self) -> list[int]:
        """Sizes of all dimensions, axis after axis."""
        return [size for axis in self.axes for size in axis]

    def dims(self, axis: int) -> tuple[int, ...]:
        """The dimensions of an axis; it may be counted from the end."""
        axis %= len(self.axes)
        start = sum(len(sizes) for sizes in self.axes[:axis])
        return tuple(range(start, start + len(self.axes[axis])))

    def axis_of(self, dim: int) -> int:
        """The axis on which a dimension lies."""
        ends = np.cumsum([len(sizes) for sizes in self.axes])
        return int(np.searchsorted(ends, dim, side="right"))

    def bundles_on(self, dims: Iterable[int]) -> list[Bundle]:
        """The bundles that index any of `dims`."""
        wanted = set(dims)
        return [bundle for bundle in self.bundles if wanted & set(bundle.dims)]


def wide(value: Value) -> frozenset[int]:
    """The axes of a value, counted from the end, that have several positions."""
    return frozenset(k - len(value.axes) for k, size in enumerate(value.shape) if size > 1)


def varied(value: Value) -> frozenset[int]:
    """Those of them along no part of which the value is constant."""
    uniform = {d for d, size in enumerate(value.sizes) if size > 1}
    uniform -= {d for bundle in value.bundles for d in bundle.dims}
    return wide(value) - {value.axis_of(d) - len(value.axes) for d in uniform}


def fixed(size: int) -> Ids:
    """Returns places that never move, without exponents: (4, size)."""
    return np.stack([-1 - np.arange(size), *(np.zeros(size, np.int64),) * len(CHANNELS)])


def fixed_value(shape: Sequence[int]) -> Value:
    """A value whose axes never move: an input, or what an unknown operator gave."""
    axes = tuple((int(size),) if size != 1 else () for size in shape)
    value = Value(axes)
    return replace(
        value,
        bundles=tuple(Bundle((dim,), fixed(size)) for dim, size in enumerate(value.sizes)),
    )


def parameter(c: Constraints, name: str, shape: Sequence[int]) -> Value:
    """A parameter: every axis has places of its own."""
    axes = tuple((int(size),) for size in shape)
    c.owned.append(c.places)
    bundles = tuple(Bundle((dim,), c.fresh((size,))) for dim, (size,) in enumerate(axes))
    c.owned.append(c.places)
    return Value(axes, bundles, c.unknowns(np.full((), SCALAR)), name=name)


def buffer(c: Constraints, value: Value, numbers: Held) -> Value:
    """A buffer: its units move with those that they meet, but nothing scales, flips or shifts."""
    return replace(without(value, (SCALE, SIGN, SHIFT)), held=numbers)


def grouped_parameter(c: Constraints, name: str, shape: Sequence[int], groups: int) -> Value:
    """The weight of a grouped convolution: in every group the second axis has its own places."""
    first, second, *kernel = (int(size) for size in shape)
    axes = ((groups, first // groups), (second,), *((size,) for size in kernel))
    bundles = (
        Bundle((0, 1), c.fresh((groups, first // groups))),
        Bundle((0, 2), c.fresh((groups, second))),
        *(Bundle((3 + i,), c.fresh((size,))) for i, size in enumerate(kernel)),
    )
    rows = project(c, bundles[0], [0])
    c.same(rows, project(c, bundles[1], [0]))
    return Value(axes, bundles, c.unknowns(np.full((), SCALAR)), name=name)


def stacked_parameter(
    c: Constraints,
    name: str,
    shape: Sequence[int],
    joint: Sequence[Sequence[int]],
    still: Collection[int] = (),
) -> Value:
    """A parameter that stacks others: some of its axes have joint places, some stay in place."""
    axes = tuple((int(size),) for size in shape)
    held = {axis for own in joint for axis in own}
    c.owned.append(c.places)
    bundles = [Bundle((d,), c.fresh((n,))) for d, (n,) in enumerate(axes) if d not in held]
    bundles += [Bundle(tuple(own), c.fresh([axes[d][0] for d in own])) for own in joint]
    rows: dict[int, Ids] = {}
    for bundle in bundles:
        for dim in bundle.dims if len(bundle.dims) > 1 else ():
            if dim in still:
                c.under(bundle.places, _along(bundle, dim, fixed(axes[dim][0])[0]))
            elif sum(dim in own for own in joint) > 1:
                own = project(c, bundle, [dim])
                c.same(rows.setdefault(dim, own), own)
    c.owned.append(c.places)
    return Value(axes, tuple(bundles), c.unknowns(np.full((), SCALAR)), name=name)


def _along(bundle: Bundle, dim: int, places: Ids) -> Ids:
    """Shapes what lies along one dimension so that it broadcasts over a bundle."""
    return places.reshape([-1 if d == dim else 1 for d in bundle.dims])


def constant(tensor: Tensor) -> Value:
    """Known numbers: fixed along an axis, uniform where they do not vary."""
    axes: list[tuple[int, ...]] = []
    bundles: list[Bundle] = []
    for axis, size in enumerate(tensor.shape):
        if size <= 1:
            axes.append(())
            continue
        dim = sum(len(sizes) for sizes in axes)
        axes.append((size,))
        if tensor.numel() and not bool((tensor == tensor.narrow(axis, 0, 1)).all()):
            bundles.append(Bundle((dim,), fixed(size)))
    is_zero = bool((tensor == 0).all()) if tensor.numel() else True
    return Value(
        tuple(axes), tuple(bundles), tensor=tensor, zero=is_zero, mask=tensor.dtype in MASKS
    )


def numbers_of(c: Constraints, value: Value) -> Tensor | None:
    """The numbers of a value that depends on no input and no parameter, else None.

    What is granted because of them is granted on the condition that the buffers hold them.

    Returns:
        The numbers as they are now.
    """
    if value.tensor is not None:
        return value.tensor
    if value.held is None:
        return None
    c.conditions |= value.held.buffers
    return value.held.numbers()


def settle(c: Constraints, value: Value) -> None:
    """States that shifts have added nothing to a value: somebody would see it."""
    for loose in value.loose:
        if id(loose.ids) not in c.settled:  # a residual stream carries what every layer adds
            c.settled[id(loose.ids)] = loose.ids
            c.equation(SHIFT, (1, loose.ids))


def unseen(c: Constraints, loose: Loose, axis: int) -> None:
    """States that what shifts have added is the same all along an axis, or nothing.

    Then a softmax over that axis does not see it.
    """
    if axis in loose.varies or axis in loose.own:
        c.equation(SHIFT, (1, loose.ids))


def moved_rows(rows: Sequence[Rows], to: Callable[[int], int]) -> tuple[Rows, ...]:
    """Choices of a value whose axes moved; those are lost of which an axis is gone."""
    moved = [Rows(x.key, tuple(to(axis) for axis in x.own)) for x in rows]
    return tuple(x for x in moved if -1 not in x.own)


def joined_rows(c: Constraints, values: Sequence[Value]) -> tuple[Rows, ...]:
    """Choices of values that meet, axis by axis; where they differ, all units move alike."""
    found: dict[int, Rows] = {}
    for value in values:
        own = {x.key: x for x in value.rows}
        for key in c.keys_of(_places(value)):
            if key not in own or found.setdefault(key, own[key]) != own[key]:
                c.collapsed.add(key)
    return tuple(found.values())


def keep_rows(c: Constraints, value: Value) -> Value:
    """States that all units move alike where it was lost which entry has chosen which."""
    if c.templates:
        kept = {x.key for x in value.rows}
        c.collapsed |= c.keys_of(_places(value)) - kept
    return value


def _places(value: Value) -> Ids:
    return np.concatenate([np.zeros(0, np.int64), *(b.places.ravel() for b in value.bundles)])


def unnamed(c: Constraints, value: Value) -> Value:
    """States that the places that a value names never move: then its entries are plain numbers."""
    if value.names is None:
        return value
    places = value.names.places
    c.see(places)
    if (places >= 0).any():
        c.same(places, fixed(len(places))[0])
        c.losses.append(Loss(f"{c.operator} looks at numbers of places", places[places >= 0]))
    return replace(value, names=None)


def pin(c: Constraints, value: Value, axes: Iterable[int] | None = None) -> None:
    """States that a value's axes (all of them by default) never move, scale or flip."""
    if axes is None:
        settle(c, value)
        unnamed(c, value)
    numbers = range(len(value.axes)) if axes is None else axes
    dims = [dim for axis in numbers for dim in value.dims(axis)]
    for bundle in value.bundles_on(dims):
        keep_bundle(c, bundle, dims)
    if axes is None:
        zero_scalar(c, value)


def keep_bundle(c: Constraints, bundle: Bundle, dims: Iterable[int]) -> None:
    """States that the given dimensions of one bundle never move, scale or flip."""
    pin_bundle(c, bundle, dims)
    for channel in range(len(CHANNELS)):
        c.equation(channel, (1, bundle.ids[1 + channel]))


def pin_bundle(c: Constraints, bundle: Bundle, dims: Iterable[int]) -> None:
    """States that the given dimensions of one bundle never move."""
    if bundle.fixed:
        return
    c.see(bundle.places)
    if len(bundle.dims) == 1:
        c.same(bundle.places, fixed(len(bundle.places))[0], forced=True)
        return
    for position, dim in enumerate(bundle.dims):
        if dim in set(dims):
            c.under(bundle.places, _along(bundle, dim, fixed(bundle.places.shape[position])[0]))


def zero_scalar(c: Constraints, value: Value, channels: Sequence[int] = (0, 1, 2)) -> None:
    """States that a value as a whole neither scales nor flips."""
    for channel in channels:
        c.equation(channel, (1, value.scalar[channel]))


def zero(
    c: Constraints, value: Value, channels: Sequence[int] = (0, 1, 2), dims: Iterable[int] = ()
) -> None:
    """States that a value takes no exponents in some channels, on some dimensions or anywhere."""
    bundles = value.bundles_on(dims) if dims else value.bundles
    for bundle in bundles:
        for channel in channels:
            c.equation(channel, (1, bundle.ids[1 + channel]))
    if not dims:
        zero_scalar(c, value, channels)
        if SHIFT in channels:
            settle(c, value)


def as_a_whole(c: Constraints, value: Value, bundle: Bundle) -> Value:
    """States that exponents are the same all over a bundle, and gives them to the whole value."""
    c.equation(SHIFT, (1, bundle.ids[1 + SHIFT]))
    scalar = value.scalar.copy()
    for channel in (SCALE, SIGN):
        own = bundle.ids[1 + channel]
        if own.any():
            common, total = (c.unknowns(np.full((), SCALAR))[channel] for _ in range(2))
            c.equation(channel, (1, own), (-1, common))
            c.equation(channel, (-1, total), (1, common), (1, scalar[channel]))
            scalar[channel] = total
    return replace(value, scalar=scalar)


def unmixed(c: Constraints, value: Value) -> None:
    """States that no matrices may mix what indexes a value."""
    for bundle in value.bundles:
        c.mark_nonlinear(bundle.places)


def stop(c: Constraints, value: Value, why: str) -> None:
    """Notes that an operator stops scales, though what comes of them is known in other cases."""
    for bundle in value.bundles:
        c.stopped.append(Loss(f"{c.operator} {why}", bundle.places[bundle.places >= 0].ravel()))


def without(value: Value, channels: Sequence[int]) -> Value:
    """Replaces the exponents of some channels by zero, stating nothing of the old ones."""
    bundles = []
    for bundle in value.bundles:
        ids = bundle.ids.copy()
        ids[[1 + channel for channel in channels]] = 0
        bundles.append(Bundle(bundle.dims, ids))
    scalar = value.scalar.copy()
    scalar[list(channels)] = 0
    kept = () if SHIFT in channels else value.loose
    return replace(value, bundles=tuple(bundles), scalar=scalar, tensor=None, loose=kept)


def project(c: Constraints, bundle: Bundle, keep: Sequence[int]) -> Ids:
    """New places for some of a bundle's dimensions: the rows in which its places lie."""
    sizes = [bundle.places.shape[bundle.dims.index(dim)] for dim in keep]
    rows = np.asarray(c.fresh(sizes)[0])
    shape = [bundle.places.shape[i] if d in keep else 1 for i, d in enumerate(bundle.dims)]
    c.under(bundle.places, np.broadcast_to(rows.reshape(shape), bundle.places.shape))
    return rows
