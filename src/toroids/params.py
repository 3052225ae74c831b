"""Parameters and buffers of a network, by name, as `model.state_dict()` gives them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from toroids.arguments.checked import checked
from toroids.arguments.networks import Params as Params
from toroids.arguments.networks import check_named as check_named
from toroids.errors import ParamsError, first_line
from toroids.files.reading import open_file, told
from toroids.files.writing import check_replaceable, write_atomically

# Entries that are converted to float64 at once: 512 KiB.
PIECE = 2**16


def check_finite(params: Params, what: str = "the parameters", masks: Collection[str] = ()) -> None:
    """Raises unless every floating tensor of `params` is free of NaN and infinity.

    Args:
        params: parameters and buffers by name.
        what: how the message calls them.
        masks: buffers that may be infinite, as what is added to scores that nobody shall see.

    Raises:
        ParamsError: names the first tensor that is not finite and how many of its entries are not.
    """
    for name, tensor in params.items():
        if _may_be_infinite(tensor):
            bad = tensor.isnan() if name in masks else ~torch.isfinite(tensor)
            count = int(bad.sum())
            if not count:
                continue
            raise ParamsError(
                f"`{name}` in {what} has {count} of {tensor.numel()} entries that are NaN or "
                "infinite; pass finite weights, in a wider precision where they overflow."
            )


def _may_be_infinite(tensor: torch.Tensor) -> bool:
    """Whether the sum of a tensor is not finite: quicker than a look at every entry."""
    if tensor.is_floating_point() and tensor.itemsize == 1:
        tensor = tensor.float()  # the narrowest types can hardly compute anything
    return tensor.is_floating_point() and not bool(torch.isfinite(tensor.sum()))


def infinite_in(params: Params) -> frozenset[str]:
    """Names of tensors that hold infinities."""
    return frozenset(n for n, x in params.items() if _may_be_infinite(x) and bool(x.isinf().any()))


def check_floating(params: Params, names: Iterable[str], what: str = "the parameters") -> None:
    """Raises unless the named tensors are real numbers of at least half precision.

    Args:
        params: parameters and buffers by name.
        names: of those that are computed with; names that are not there count not.
        what: how the message calls them.

    Raises:
        ParamsError: names the first that is of another type.
    """
    check_named(params, what)
    for name in names:
        tensor = params.get(name)
        if tensor is not None and not (tensor.is_floating_point() and tensor.itemsize > 1):
            raise ParamsError(
                f"`{name}` in {what} is of {tensor.dtype}; pass weights of float16, bfloat16, "
                "float32 or float64."
            )


def check_complete(params: Params, names: Iterable[str]) -> None:
    """Raises unless every name is that of a parameter.

    Args:
        params: parameters and buffers by name.
        names: those that are needed.

    Raises:
        ParamsError: names those that are missing.
    """
    if missing := sorted(set(names) - params.keys()):
        raise ParamsError(
            f"the parameters lack {_listed(missing)}; pass the state dict of the same architecture."
        )


def check_shapes(
    params: Params, shapes: Mapping[str, tuple[int, ...]], what: str, expected_by: str
) -> None:
    """Raises unless `params` has exactly the names and shapes of `shapes`.

    Args:
        params: parameters and buffers by name.
        shapes: the shape expected under every name.
        what: how the message calls `params`.
        expected_by: how the message calls the owner of `shapes`.

    Raises:
        ParamsError: names the missing, the unknown, or the first misshapen tensor; or `params`
            holds no tensors by name.
    """
    check_named(params, what)
    missing = sorted(shapes.keys() - params.keys())
    unknown = sorted(params.keys() - shapes.keys())
    if missing or unknown:
        lacks, has = ("lack", "have") if what.startswith("the parameters") else ("lacks", "has")
        parts = [f"{lacks} {_listed(missing)}"] * bool(missing)
        parts += [f"{has} {_listed(unknown)}, which {expected_by} does not have"] * bool(unknown)
        raise ParamsError(
            f"{what} {' and '.join(parts)}; pass the state dict of the same architecture."
        )
    for name, shape in shapes.items():
        if tuple(params[name].shape) != tuple(shape):
            raise ParamsError(
                f"`{name}` has shape {tuple(params[name].shape)} in {what} but {tuple(shape)} in "
                f"{expected_by}; pass parameters of the same architecture, those of a narrower "
                "network through widen()."
            )


FIRST, SECOND = "the first network", "the second network"


def check_alike(a: Params, b: Params, first: str = FIRST, second: str = SECOND) -> None:
    """Raises unless `a` and `b` agree in names, shapes, precision and device and are both finite.

    Args:
        a: parameters and buffers by name.
        b: those that are compared with them.
        first: how the message calls `a`.
        second: how it calls `b`.

    Raises:
        ParamsError: names the first tensor that differs, or that is not finite.
    """
    check_named(a, first)
    shapes = {name: tuple(tensor.shape) for name, tensor in a.items()}
    check_shapes(b, shapes, second, first)
    masks = {n: [torch.where(x[n].isinf(), x[n], 0).cpu() for x in (a, b)] for n in infinite_in(a)}
    alike = {name for name, (one, other) in masks.items() if torch.equal(one, other)}
    check_finite(a, first, alike)
    check_finite(b, second, alike)
    check_placed_alike(a, b, first, second)


def check_placed_alike(a: Params, b: Params, first: str = FIRST, second: str = SECOND) -> None:
    """Raises unless every tensor has the same precision and device in `a` as in `b`.

    Args:
        a: tensors by name.
        b: those that are compared with them.
        first: how the message calls `a`.
        second: how it calls `b`.

    Raises:
        ParamsError: names the first tensor that differs.
    """
    for name, tensor in a.items():
        other = b[name]
        if (tensor.dtype, tensor.device) != (other.dtype, other.device):
            raise ParamsError(
                f"`{name}` is {tensor.dtype} on {tensor.device} in {first} but "
                f"{other.dtype} on {other.device} in {second}; convert one of them."
            )


def rounding_of(tensors: Iterable[torch.Tensor]) -> float:
    """The relative rounding of the narrowest type among tensors; 0 where none has one.

    Args:
        tensors: of any types.

    Returns:
        The distance from 1 to the next number.
    """
    kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    return max((torch.finfo(kind).eps for kind in kinds), default=0.0)


def rows(tensor: Tensor) -> Tensor:
    """One row per entry of the first axis, also where there is no other axis, or no entry."""
    return tensor[..., None].flatten(start_dim=1)


def precise(tensor: torch.Tensor) -> torch.Tensor:
    """Converts to the most precise type that the tensor's device computes in.

    Norms are sums of squares, which overflow and underflow in the narrow types: 300 squared is
    infinite in float16, 1e-30 squared is zero in float32.

    Args:
        tensor: of any real type.

    Returns:
        float64, or float32 on Apple's MPS, which has nothing wider; gradients flow through.
    """
    return tensor.float() if tensor.device.type == "mps" else tensor.double()


def squares(tensor: torch.Tensor, axes: list[int]) -> torch.Tensor:
    """Sums squares along axes, in float64 and piece by piece; gradients flow through.

    Args:
        tensor: of any real type.
        axes: those that are summed over.

    Returns:
        The sums, with the other axes.
    """
    if 0 not in axes:
        if not axes:
            return precise(tensor).square()
        # the sum of a wider type is taken without a wider copy of the tensor
        kind = precise(tensor.new_empty(0)).dtype
        norms: torch.Tensor = torch.linalg.vector_norm(tensor, dim=axes, dtype=kind)
        return norms.square()
    rows = max(PIECE * len(tensor) // max(tensor.numel(), 1), 1)
    parts = [precise(part).square().sum(dim=axes) for part in torch.split(tensor, rows)]
    return torch.stack(parts).sum(dim=0)


def pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Goes through tensors of one shape together, piece by piece, in float64.

    Float64 copies of a whole embedding would be the largest thing in memory, and as slow to make.

    Args:
        tensors: of as many entries.

    Yields:
        The next entries of all of them.
    """
    parts = (torch.split(x.detach().reshape(-1), PIECE) for x in tensors)
    for found in zip(*parts, strict=True):
        yield tuple(map(precise, found))


def inner_product(a: Params, b: Params, names: Iterable[str]) -> float:
    """Sums the products of corresponding entries of the named tensors, in float64."""
    total = 0.0
    for name in names:
        if a[name] is b[name]:
            total += sum(float(x @ x) for (x,) in pieces(a[name]))
        else:
            total += sum(float(x @ y) for x, y in pieces(a[name], b[name]))
    return total


@dataclass(frozen=True)
class Products:
    """The inner products of two networks, and of what is between them, in float64.

    Attributes:
        both: <a, b>.
        first: <a, a>.
        second: <b, b>.
        step: <b - a, b - a>.
    """

    both: float
    first: float
    second: float
    step: float

    @property
    def cosine(self) -> float:
        """In [-1, 1]; 0 where one of them is zero."""
        size = (self.first * self.second) ** 0.5
        return self.both / size if self.first and self.second else 0.0

    @property
    def change(self) -> float | None:
        """||a - b|| / sqrt(||a|| ||b||); over the larger where one is zero, None where both are."""
        left, right = self.first**0.5, self.second**0.5
        size = (left * right) ** 0.5 or max(left, right)
        return self.step**0.5 / size if size else None


def products(a: Params, b: Params, names: Iterable[str]) -> Products:
    """Computes the inner products of two networks in one pass.

    Args:
        a: a network.
        b: another one.
        names: of the tensors that count, taken together.

    Returns:
        The products.
    """
    total = [0.0] * 4
    for name in names:
        for x, y in pieces(a[name], b[name].to(a[name].device)):
            step = y - x
            for k, found in enumerate((x @ y, x @ x, y @ y, step @ step)):
                total[k] += float(found)
    return Products(*total)


def average(networks: Sequence[Params]) -> dict[str, torch.Tensor]:
    """Averages the floating tensors of networks; integer buffers are copies of the first's."""
    return {
        name: torch.stack([network[name] for network in networks]).mean(dim=0)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in networks[0].items()
    }


def computing(tensor: torch.Tensor) -> torch.dtype:
    """The type in which a tensor's entries are computed: float32 for the half precisions."""
    halves = (torch.float16, torch.bfloat16)
    return torch.float32 if tensor.dtype in halves else tensor.dtype


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@checked
def save_params(params: Params, path: str | Path) -> None:
    """Writes `params` as a safetensors file, atomically.

    Args:
        params: parameters and buffers by name, on any device.
        path: the file to write; its folder is made when missing.

    Raises:
        ParamsError: `params` holds no tensors by name.
        ToroidsError: what is at `path` is no file, but a folder, a pipe, a socket or a device.

    Example:
        >>> import tempfile, torch, toroids as td
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     td.save_params({"weight": torch.ones(2)}, f"{folder}/a.safetensors")
        ...     td.load_params(f"{folder}/a.safetensors")
        {'weight': tensor([1., 1.])}
    """
    check_named(params)
    check_replaceable(path)  # before a copy of all weights is made
    write_atomically(path, encode_params(params))


def encode_params(params: Params, metadata: dict[str, str] | None = None) -> bytes:
    """Writes parameters as bytes in the safetensors format.

    Args:
        params: parameters and buffers by name, on any device.
        metadata: texts by name, for the header.

    Returns:
        The content of a file.
    """
    try:
        return safetensors.torch.save(apart(params), metadata)
    except KeyError as error:  # of a type that the format does not know
        raise ParamsError(
            f"safetensors files hold no tensors of {error}; convert them first."
        ) from error


def apart(params: Params) -> dict[str, torch.Tensor]:
    """Copies tied and sliced tensors out of their storage: a file holds each on its own."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in params.items()}


@checked
def load_params(path: str | Path, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
    """Reads a safetensors file; nothing in it is ever unpickled or executed.

    Args:
        path: a file as `save_params` writes it.
        device: where the tensors go.

    Returns:
        The tensors by name.

    Raises:
        ParamsError: the file is missing, is a pickle, or is not a safetensors file; or the device
            is not there.

    Example:
        >>> import toroids as td
        >>> weights = td.load_params("weights.safetensors", device="cuda:0")  # doctest: +SKIP

        See `save_params` for one that runs.
    """
    path = Path(path)
    with told(path, "weight file", "pass a safetensors file", ParamsError):
        refuse_pickle(path)
    try:
        tensors = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ParamsError(
            f"`{path}` is not a whole safetensors file ({error}); write weights with "
            "safetensors.torch.save_file(model.state_dict(), path)."
        ) from error
    try:
        return {name: tensor.to(device) for name, tensor in tensors.items()}
    except (RuntimeError, AssertionError) as error:  # torch raises either where there is no CUDA
        raise ParamsError(unusable(device, error)) from error


def unusable(device: str | torch.device, error: Exception) -> str:
    """The sentence for a device that is not there."""
    cause = first_line(error)
    return f"the device {str(device)!r} cannot be used: {cause}; pass one that is here, as 'cpu'."


def refuse_pickle(path: Path) -> None:
    """Raises where a file is a pickle, as `torch.save` writes it; looks at its first bytes only.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be read.
        ParamsError: says how to convert it.
    """
    with open_file(path) as stream:
        start = stream.read(9)
    if start[8:] == b"{":  # safetensors: eight bytes of length, which may look like a pickle's
        return
    # a zip archive, as torch.save makes; or pickle's protocol 2 to 5
    if start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise ParamsError(
            f"`{path}` is a pickle, which could execute code; convert it: safetensors.torch."
            "save_file(torch.load(path, weights_only=True), new_path)."
        )
