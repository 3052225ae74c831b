"""The symmetry group of fully connected ReLU networks, written by hand.

Hidden unit i of layer k is written by row i of W_k and entry i of b_k, and read by column i of
W_{k+1}. Its units may be permuted, and because relu(c x) = c relu(x) for c > 0, scaled by c where
they are written and by 1 / c where they are read. This is the reference that discovery is tested
against.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from toroids.arguments.checked import checked
from toroids.errors import ParamsError
from toroids.params import Params, check_named
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Generator, Leg, Output, OutputMode, Space


@checked
def fully_connected_group(
    params: Params,
    output: OutputMode = "values",
    layers: Sequence[str] | None = None,
    buffers: Iterable[str] = (),
) -> SymmetryGroup:
    """Writes down the symmetry group of consecutive linear layers with ReLU between them.

    The parameters do not say what stands between the layers: that it is a ReLU (or another
    positively homogeneous activation) is the caller's word; `verify` checks it on the module.

    Args:
        params: the state dict; weights of shape (out, in), biases of shape (out,) or absent.
        output: what the reader of the outputs cannot see: "values" (nothing), "logits" (a common
            shift) or "classifier" (a common shift and a positive scale).
        layers: names of the linear layers from input to output. By default every `NAME.weight`,
            in the one order in which their shapes fit; the order of `params` is not trusted,
            because files of weights are often sorted by name.
        buffers: names in `params` that are not parameters, as `dict(model.named_buffers())` lists
            them; they count in no distance. Tensors of integers never do.

    Returns:
        One space per hidden layer.

    Raises:
        ParamsError: layers that are missing, not linear, or that do not fit each other; shapes
            that fit in several orders or in none, so that the layers must be named.

    Example:
        >>> import toroids as td
        >>> model = td.models.fully_connected([4, 8, 3], seed=0)
        >>> group = td.symmetry.fully_connected_group(model.state_dict())
        >>> [(space.size, sorted(space.actions)) for space in group.spaces]
        [(8, ['permute', 'rescale'])]
    """
    check_named(params)
    unknown = sorted(set(buffers) - params.keys())
    if unknown:
        raise ParamsError(f"the buffers {unknown} are not in the parameters; name some that are.")
    if layers is None:
        layers = _in_order(params)
    _check_layers(params, layers)
    _check_untied(params, layers)
    spaces = []
    for writer, reader in pairwise(layers):
        legs = (*_written(params, writer), Leg(f"{reader}.weight", 1, "read", reader))
        exponents = tuple(1.0 if leg.role == "write" else -1.0 for leg in legs)
        spaces.append(
            Space(
                name=writer,
                size=params[f"{writer}.weight"].shape[0],
                copies=1,
                actions=frozenset({"permute", "rescale"}),
                legs=legs,
                generators=(Generator("rescale", exponents),),
            )
        )
    classes = params[f"{layers[-1]}.weight"].shape[0]
    notes: tuple[str, ...] = ()
    if output != "values" and classes < 2:
        notes = (f"output: nothing is removed, {output!r} needs two or more classes, got 1",)
        output = "values"
    return SymmetryGroup(
        spaces=tuple(spaces),
        shapes={name: tuple(tensor.shape) for name, tensor in params.items()},
        output=Output(output, _written(params, layers[-1])),
        buffers=frozenset(buffers) | {n for n, t in params.items() if not t.is_floating_point()},
        notes=notes,
    )


def _written(params: Params, layer: str) -> tuple[Leg, ...]:
    names = [name for name in (f"{layer}.weight", f"{layer}.bias") if name in params]
    return tuple(Leg(name, 0, "write", layer) for name in names)


def _in_order(params: Params) -> Sequence[str]:
    """Puts the layers into the one order in which every layer reads what the one before writes."""
    layers = [name.removesuffix(".weight") for name in params if name.endswith(".weight")]
    shapes = {layer: tuple(params[f"{layer}.weight"].shape) for layer in layers}
    if not all(len(shape) == 2 for shape in shapes.values()):
        return layers  # not linear: refused by name in a moment
    order = _forced_order(shapes)
    if order is None and layers:
        raise ParamsError(
            f"the shapes of the layers {layers} do not tell their order; "
            "name them from input to output with layers=."
        )
    return order or layers


def _forced_order(shapes: dict[str, tuple[int, ...]]) -> list[str] | None:
    """Walks from the layer whose input no other writes; None where the walk has a choice."""
    rest = dict(shapes)
    ready = [a for a in shapes if all(shapes[b][0] != shapes[a][1] for b in shapes if b != a)]
    order: list[str] = []
    while len(ready) == 1:
        written = rest.pop(ready[0])[0]
        order += ready
        ready = [layer for layer, shape in rest.items() if shape[1] == written]
        square = [layer for layer in ready if rest[layer][0] == written]
        again = [a for a, shape in rest.items() if shape[0] == written and a not in square]
        if len(ready) == 2 and len(square) == 1 and not again:
            ready = square  # it leads back here, so it must come before the layer that leaves
    return order if not rest else None


def _check_layers(params: Params, layers: Sequence[str]) -> None:
    if not layers:
        raise ParamsError("the parameters hold no `NAME.weight`; name the linear layers.")
    for layer in layers:
        weight = params.get(f"{layer}.weight")
        if weight is None:
            raise ParamsError(f"the parameters hold no `{layer}.weight`; name the linear layers.")
        if weight.ndim != 2:
            raise ParamsError(
                f"`{layer}.weight` has {weight.ndim} axes; a linear layer's weight has 2 "
                "(out, in); name the linear layers with layers=."
            )
        bias = params.get(f"{layer}.bias")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ParamsError(
                f"`{layer}.bias` has shape {tuple(bias.shape)} but `{layer}.weight` writes "
                f"{weight.shape[0]} units (axis 0); pass a bias of that length."
            )
    for writer, reader in pairwise(layers):
        written, read = params[f"{writer}.weight"].shape[0], params[f"{reader}.weight"].shape[1]
        if written != read:
            raise ParamsError(
                f"`{writer}.weight` writes {written} units (axis 0) but `{reader}.weight` reads "
                f"{read} (axis 1); name consecutive layers from input to output."
            )


def _check_untied(params: Params, layers: Sequence[str]) -> None:
    used = [leg.tensor for layer in layers for leg in _written(params, layer)]
    owner: dict[int, str] = {}
    for name, tensor in params.items():
        first = owner.setdefault(tensor.data_ptr(), name)
        if first != name and tensor.data_ptr() and {first, name} & set(used):
            raise ParamsError(
                f"`{first}` and `{name}` share their memory (tied weights): moving one would move "
                "the other; this group describes untied layers only."
            )
