"""Weights g v / |v|, as a weight norm makes them: the size of v is hidden, and so it may change.

Where a gain g is read nowhere else, v may move as it likes along the axes over which its norm is
taken, if g follows that norm: g |v'| / |v| v' / |v'| moves as v does. So g v / |v| has the
symmetries of a plain product g v, in which the norm takes no part.

Reference: Salimans and Kingma, Weight normalization, 2016, arXiv 1602.07868.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from toroids.discovery.inference.offsets import CONVERSIONS, Offsets
from toroids.discovery.tracing.operators import operator_name
from toroids.discovery.tracing.program import Program

# For every gain the weight, and the axes over which its norm is taken.
WeightNorms = Mapping[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class _Found:
    """One place where a program divides a weight by its norm and multiplies it by a gain.

    Attributes:
        gain: the placeholder of the gain.
        weight: that of the weight.
        axes: of the weight, over which the norm is taken.
        sizes: operators that compute the norm.
        readers: operators that read the gain.
    """

    gain: fx.Node
    weight: fx.Node
    axes: tuple[int, ...]
    sizes: tuple[fx.Node, ...]
    readers: tuple[fx.Node, ...]


def weight_norms_of(programs: Sequence[Program], offsets: Offsets) -> WeightNorms:
    """Finds the gains that may follow the norms of weights.

    Args:
        programs: one module, as it was traced.
        offsets: parameters to which numbers are added.

    Returns:
        Those that every program reads in such places only.
    """
    known = [_known(program, offsets) for program in programs]
    first = known[0]
    return {name: x for name, x in first.items() if all(own.get(name) == x for own in known)}


def sizes_of(program: Program, norms: WeightNorms) -> set[fx.Node]:
    """The operators of a program that compute norms which gains follow."""
    found = _found(program) if norms else ()
    return {
        node for x in found if program.sources[x.gain.name].name in norms for node in x.sizes
    }  # fmt: skip


def _known(program: Program, offsets: Offsets) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The gains of one program that nothing else reads."""
    by_gain: dict[fx.Node, list[_Found]] = {}
    for x in _found(program):
        by_gain.setdefault(x.gain, []).append(x)
    norms = {}
    for gain, found in by_gain.items():
        weights = {(x.weight, x.axes) for x in found}
        readers = {node for x in found for node in x.readers}
        name = program.sources[gain.name].name
        if len(weights) == 1 and set(_readers(gain)) <= readers and name not in program.aliases:
            ((weight, axes),) = weights
            other = program.sources[weight.name].name
            if not {name, other} & offsets.keys() and _matches(program, gain, weight, axes):
                norms[name] = other, axes
    return norms


def _matches(program: Program, gain: fx.Node, weight: fx.Node, axes: Sequence[int]) -> bool:
    """Whether a gain has one number for every norm, in the same order."""
    own, shape = (program.sources[x.name].value.shape for x in (gain, weight))
    kept = [n for axis, n in enumerate(shape) if axis not in axes]
    if math.prod(shape[axis] for axis in axes) == 1:  # a norm of single numbers leaves their signs
        return False
    return [n for n in own if n != 1] == [n for n in kept if n != 1]


def _found(program: Program) -> Iterator[_Found]:
    for node in program.graph.graph.nodes:
        name = operator_name(node) if node.op == "call_function" else ""
        if name == "aten::_weight_norm":
            weight, gain = (_origin(program, x) for x in node.args[:2])
            dim = node.args[2] if len(node.args) > 2 else 0
            if weight is not None and gain is not None and node.args[0] is weight:
                rank = len(program.sources[weight.name].value.shape)
                axes = tuple(a for a in range(rank) if dim == -1 or a != dim % rank)
                yield _Found(gain, weight, axes, (), (node,))
        else:
            yield from _by_hand(program, node, name)


def _by_hand(program: Program, node: fx.Node, name: str) -> Iterator[_Found]:
    """Where a norm is written out: all that reads it divides by it what a gain multiplies."""
    norm = _norm(node, name)
    weight = None if norm is None else _origin(program, norm[0])
    if norm is None or weight is None or norm[0] is not weight:
        return
    _, dims, sizes = norm
    rank = len(program.sources[weight.name].value.shape)
    axes = tuple(sorted(d % rank for d in dims)) if dims else tuple(range(rank))
    gains = [_gain(program, user, node, weight) for user in _readers(node)]
    for gain in gains if None not in gains else ():
        yield _Found(gain[0], weight, axes, (*sizes, *_conversions(node)), gain[1])  # type: ignore[index]


def _gain(
    program: Program, user: fx.Node, size: fx.Node, weight: fx.Node
) -> tuple[fx.Node, tuple[fx.Node, ...]] | None:
    """The gain that multiplies what a norm divides, and who reads it; None for anything else."""
    if operator_name(user) != "aten::div" or len(user.args) != 2 or user.kwargs:
        return None
    above, below = user.args
    if below not in {size, *_conversions(size)} or not isinstance(above, fx.Node):
        return None
    origin = _origin(program, above)
    if origin is None:  # (g v) / |v|
        pair = _factors(program, above)
        if pair is None or weight not in pair or set(_readers(above)) != {user}:
            return None
        gain = pair[0] if pair[1] is weight else pair[1]
        return gain, (above,)
    # g (v / |v|), or v (g / |v|)
    gains = set()
    readers = list(_readers(user))
    for reader in readers:
        others = [x for x in reader.all_input_nodes if x not in {user, *_conversions(user)}]
        other = _origin(program, others[0]) if len(others) == 1 else None
        if operator_name(reader) != "aten::mul" or other is None:
            return None
        gains.add(other)
    if len(gains) != 1:
        return None
    (other,) = gains
    if origin is weight:
        return other, tuple(readers)
    return (origin, (user,)) if other is weight else None


def _factors(program: Program, node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """The two parameters of a product."""
    if operator_name(node) != "aten::mul" or not all(isinstance(x, fx.Node) for x in node.args):
        return None
    first, second = (_origin(program, x) for x in node.args[:2])
    return None if first is None or second is None or first is second else (first, second)


def _norm(node: fx.Node, name: str) -> tuple[fx.Node, Sequence[int], tuple[fx.Node, ...]] | None:
    """What a Euclidean norm is of, its axes, and the operators that compute it."""
    given: dict[str, Any] = {}
    if name in ("aten::linalg_vector_norm", "aten::norm"):
        names = [x.name for x in node.target._schema.arguments]  # type: ignore[union-attr]
        given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
        power = given.get("ord", given.get("p", 2))
        if power != 2 or not isinstance(given.get("self", node.args[0]), fx.Node):
            return None
        return node.args[0], _dims(given.get("dim")), (node,)  # type: ignore[return-value]
    if name != "aten::sqrt":
        return None
    total = node.args[0]
    if not isinstance(total, fx.Node) or operator_name(total) != "aten::sum":
        return None
    square = total.args[0]
    if not isinstance(square, fx.Node) or {*total.users, *square.users} != {node, total}:
        return None
    if not _is_square(square):
        return None
    dims = _dims(total.args[1] if len(total.args) > 1 else total.kwargs.get("dim"))
    return square.args[0], dims, (square, total, node)  # type: ignore[return-value]


def _is_square(node: fx.Node) -> bool:
    name = operator_name(node) if node.op == "call_function" else ""
    if name == "aten::mul":
        return node.args[0] is node.args[1]
    return name == "aten::square" or (name == "aten::pow" and node.args[1:] == (2,))


def _dims(given: Any) -> Sequence[int]:
    """Axes that an operator is given; none for all."""
    return [given] if isinstance(given, int) else list(given or ())


def _origin(program: Program, node: Any) -> fx.Node | None:
    """The placeholder of a parameter that a value is, perhaps in another shape."""
    while isinstance(node, fx.Node) and node.op == "call_function":
        if operator_name(node) not in CONVERSIONS:
            return None
        node = node.args[0]
    if not isinstance(node, fx.Node) or node.op != "placeholder":
        return None
    source = program.sources.get(node.name)
    known = source is not None and source.kind == "parameter" and isinstance(source.value, Tensor)
    return node if known else None


def _conversions(node: fx.Node) -> Iterator[fx.Node]:
    """The same numbers in another shape."""
    for user in node.users:
        if user.op == "call_function" and operator_name(user) in CONVERSIONS:
            yield user
            yield from _conversions(user)


def _readers(node: fx.Node) -> Iterator[fx.Node]:
    """Who reads a value, in whatever shape."""
    for user in node.users:
        if user.op == "call_function" and operator_name(user) in CONVERSIONS:
            yield from _readers(user)
        elif user.op != "call_function" or not operator_name(user).startswith("aten::sym_"):
            yield user
