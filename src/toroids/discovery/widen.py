"""A narrow network inside a wide one of the same architecture, its function unchanged.

The spaces of both say where the units of the narrow network lie in the wide one's tensors. What
the wide one has more is added with zero weights: nothing writes these units, nothing reads them.
Aligned to a wide network, the result takes part in a partial assignment: its own units find
partners, and the added ones stand beside those that are left over.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from toroids.arguments.checked import checked
from toroids.discovery.discover import group_of
from toroids.discovery.proof.proof import TOLERANCE, deviation
from toroids.discovery.tracing.draws import drawn_params
from toroids.discovery.tracing.example import Inputs
from toroids.discovery.tracing.explore import explore
from toroids.errors import ToroidsError
from toroids.evaluation.running import check_module
from toroids.params import Params, check_finite, check_shapes
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Leg, Space

# So many widened spaces are named in a message.
SHOWN = 3


@checked
def widen(
    narrow: nn.Module,
    params: Params,
    wide: nn.Module,
    inputs: Inputs,
    *,
    output_key: str | int | None = None,
) -> dict[str, Tensor]:
    """Brings a narrow network to the shapes of a wide one, and proves that it computes the same.

    Args:
        narrow: the module that `params` belong to; not touched.
        params: its parameters and buffers by name, as `narrow.state_dict()` gives them.
        wide: a module of the same architecture with as many or more units in every space.
        inputs: one batch that both modules run on: a tensor, a tuple of positional or a dict of
            keyword arguments.
        output_key: which entry of a structured output counts; all of them when None.

    Returns:
        Parameters and buffers of `wide`. Units keep their numbers; those that are added come
        after them, with weights and statistics of zero, and variances of one.

    Raises:
        ParamsError: `params` are not those of `narrow` or not finite.
        ToroidsError: the modules are of different architectures, `wide` is the narrower one in
            some space, or the function would change, as it does where a layer norm counts the
            units, attention is scaled by their number, or weights are -1 and +1.

    Example:
        >>> import torch, toroids as td
        >>> narrow, wide = (td.models.fully_connected([4, n, 3], seed=n) for n in (5, 8))
        >>> inputs = torch.randn(2, 4)
        >>> b = td.widen(narrow, narrow.state_dict(), wide, inputs)
        >>> group = td.discover(wide, inputs)
        >>> alignment = td.align(group, b, to=wide.state_dict())
        >>> {space: len(units) for space, units in alignment.unmatched.items()}
        {'hidden1': 3}
    """
    check_module(narrow, "the narrow model")
    check_module(wide, "the wide model")
    shapes = {name: tuple(tensor.shape) for name, tensor in narrow.state_dict().items()}
    check_shapes(params, shapes, "the parameters", "the narrow model")
    check_finite(params, masks={name for name, _ in narrow.named_buffers()})
    explored = [explore(model, inputs, output_key) for model in (narrow, wide)]
    embedding = _Embedding(*(group_of(one) for one in explored))
    main, example = explored[0].main, explored[0].points[0].example
    generator = torch.Generator().manual_seed(0)
    drawn = drawn_params(narrow.state_dict(), main.aliases, main.parameters, generator)
    expected = main.run(drawn, inputs=example.tensors)
    found = explored[1].main.run(embedding(drawn), inputs=example.tensors)
    if [x.shape for x in found] != [x.shape for x in expected]:
        raise ToroidsError(
            f"the outputs have the shapes {[tuple(x.shape) for x in expected]} in the narrow model "
            f"and {[tuple(x.shape) for x in found]} in the wide one; pick one with output_key."
        )
    changed = max(deviation(a, b)[0] for a, b in zip(found, expected, strict=True))
    if not changed <= TOLERANCE:
        raise ToroidsError(
            f"with {embedding.widened} the outputs would change by {changed:.1g} of their size: "
            "something counts the units, as a layer norm or the scale of attention does; give both "
            "models as many there."
        )
    return embedding(params)


class _Embedding:
    """Where every entry of a narrow network's tensors lies in a wide one's."""

    def __init__(self, narrow: SymmetryGroup, wide: SymmetryGroup) -> None:
        """Matches the spaces of two groups."""
        missing = sorted(narrow.shapes.keys() ^ wide.shapes.keys())
        if missing:
            raise ToroidsError(
                f"only one of the two models has `{missing[0]}`; pass two of one architecture."
            )
        self._shapes, self._tied = wide.shapes, wide.tied
        self._variances = {norm.variance for space in wide.spaces for norm in space.norms}
        pairs = _matched(narrow, wide)
        changed = [
            f"{_units(b)} units of space `{a.name}` in place of {_units(a)}"
            for a, b in pairs
            if _units(a) != _units(b)
        ]
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        self.widened = ", ".join(changed[:SHOWN]) + more
        self._maps = {
            name: _axis_maps(name, narrow.shapes[name], wide.shapes[name], pairs)
            for name in wide.shapes
            if name not in wide.tied and narrow.shapes[name] != wide.shapes[name]
        }
        if binary := sorted(self._maps.keys() & wide.binary):
            raise ToroidsError(
                f"only the signs of `{binary[0]}` are read, so that no unit can be added whose "
                "weights are zero; give both models as many units there."
            )

    def __call__(self, params: Params) -> dict[str, Tensor]:
        """Places the tensors of a narrow network in those of a wide one."""
        return {name: self._placed(name, params[name]) for name in self._shapes}

    def _placed(self, name: str, tensor: Tensor) -> Tensor:
        name = self._tied.get(name, name)
        if name not in self._maps:
            return tensor.detach().clone()
        maps = self._maps[name]
        whole = tensor.new_full(
            [length for length, _ in maps], 1.0 if name in self._variances else 0.0
        )
        places = torch.meshgrid(*(index.to(tensor.device) for _, index in maps), indexing="ij")
        whole[places] = tensor.detach().reshape(places[0].shape)
        return whole.reshape(self._shapes[name])


def _units(space: Space) -> str:
    return f"{space.copies} x {space.size}" if space.copies > 1 else str(space.size)


def _matched(narrow: SymmetryGroup, wide: SymmetryGroup) -> list[tuple[Space, Space]]:
    """Pairs the spaces of two groups by what they index."""

    def kind(space: Space) -> tuple[tuple[object, ...], ...]:
        return tuple(sorted((x.tensor, x.axis, x.span, x.role) for x in space.legs))

    # several spaces may index the same axes, as the parts of a fused layer do: in order
    left: dict[object, list[Space]] = {}
    for space in narrow.spaces:
        left.setdefault((kind(space), len(space.within)), []).append(space)
    pairs = []
    for space in wide.spaces:
        others = left.get((kind(space), len(space.within)))
        if not others:
            raise ToroidsError(
                f"the wide model has a space `{space.name}` that the narrow one lacks; pass two "
                "models of one architecture."
            )
        other = others.pop(0)
        if other.size > space.size or other.copies > space.copies:
            raise ToroidsError(
                f"space `{space.name}` has {_units(other)} units in the narrow model and "
                f"{_units(space)} in the wide one; the wide one must have as many or more "
                "everywhere."
            )
        pairs.append((other, space))
    rest = [space.name for spaces in left.values() for space in spaces]
    if rest:
        raise ToroidsError(
            f"the narrow model has a space `{rest[0]}` that the wide one lacks; pass two models "
            "of one architecture."
        )
    return pairs


def _axis_maps(
    name: str,
    narrow: tuple[int, ...],
    wide: tuple[int, ...],
    pairs: list[tuple[Space, Space]],
) -> list[tuple[int, Tensor]]:
    """For every axis, or axes that are indexed jointly, its length and where positions go."""
    legs = [(a, x, b, y) for a, b in pairs for x, y in zip(_on(a, name), _on(b, name), strict=True)]
    maps: list[tuple[int, Tensor]] = []
    axis = 0
    while axis < len(wide):
        here = [leg for leg in legs if leg[1].axis == axis]
        span = max((x.span for _, x, _, _ in here), default=1)
        lengths = [math.prod(shape[axis : axis + span]) for shape in (narrow, wide)]
        places: dict[int, int] = {}
        for a, x, b, y in here:
            if x.span == span:
                places |= _places(a, x, lengths[0], b, y, lengths[1])
        maps.append((lengths[1], _completed(name, axis, lengths, places)))
        axis += span
    return maps


def _on(space: Space, tensor: str) -> list[Leg]:
    return sorted(
        (leg for leg in space.legs if leg.tensor == tensor), key=lambda leg: (leg.axis, leg.span)
    )


def _places(a: Space, x: Leg, n: int, b: Space, y: Leg, m: int) -> Mapping[int, int]:
    """Where the positions of one leg go; nothing where units hold unequal numbers of them."""
    held = [
        torch.arange(length) if leg.index is None else leg.index for leg, length in ((x, n), (y, m))
    ]
    here, there = (
        h.view(space.copies, space.size, -1) for h, space in zip(held, (a, b), strict=True)
    )
    if here.shape[2] != there.shape[2]:
        return {}
    there = there[: a.copies, : a.size]
    return dict(zip(here.flatten().tolist(), there.flatten().tolist(), strict=True))


def _completed(name: str, axis: int, lengths: list[int], places: Mapping[int, int]) -> Tensor:
    """Adds the positions that no space indexes, which must be as many in both networks."""
    rest = [i for i in range(lengths[0]) if i not in places]
    if rest and lengths[0] != lengths[1]:
        raise ToroidsError(
            f"axis {axis} of `{name}` has {lengths[0]} positions in the narrow model and "
            f"{lengths[1]} in the wide one, and no space indexes it; only the number of hidden "
            "units may differ."
        )
    free = dict(zip(rest, sorted(set(range(lengths[1])) - set(places.values())), strict=False))
    return torch.tensor([places[i] if i in places else free[i] for i in range(lengths[0])])
