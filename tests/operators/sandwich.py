"""An operator between parameters: what writes its arguments and what reads its results.

Every argument is (W x).reshape(shape), so that each of its entries is a row of W, and every result
is read as V y.reshape(-1), so that each of its entries is a column of V. A symmetry of the module
is then a symmetry of the operator: entries of the arguments are moved, and the entries of the
results move along.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from operators.database import Sample
from torch import Tensor, nn
from torch.nn import functional

# Arguments near those of the sample, for operators that are not defined everywhere. The first that
# stays in the operator's domain under noise is used.
Move = Callable[[Tensor], Tensor]
PLACES: tuple[Move, ...] = (
    lambda a: a,
    lambda a: 0.5 * torch.tanh(a),
    lambda a: 0.35 + 0.1 * torch.tanh(a),
    lambda a: 2 + a.abs(),
    lambda a: a + 3 * a.abs().max() * torch.eye(*a.shape[-2:]) if a.ndim > 1 else a,
)
NOISE = 0.2  # twice the proof's own disturbance of parameters
LARGEST = 6000  # entries of a result
# Lengths that must add up to the size of the data, which is not checked everywhere.
LENGTHS = "_segment_reduce.lengths"
INNER = 3  # axis of the inputs
READ = 2  # outputs of every reader
MORE = 20  # draws, of whose indices some meet a slice of a few
SPECIAL = (0.0, 1.0, -1.0)


@dataclass(frozen=True)
class Draw:
    """Generic values of an operator's arguments, and of the other tensors that it is given."""

    arguments: list[Tensor]
    others: list[Tensor]


class Sandwich(nn.Module):
    """Writers, an operator, readers."""

    def __init__(self, sample: Sample, widths: Sequence[int]):
        super().__init__()
        self.sample = sample
        self.shapes = [argument.shape for argument in sample.arguments]
        numbers = {"dtype": torch.float64}
        self.writers = nn.ParameterList(
            torch.zeros(shape.numel(), INNER, **numbers) for shape in self.shapes
        )
        self.readers = nn.ParameterList(torch.zeros(READ, width, **numbers) for width in widths)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        arguments = [
            functional.linear(x, weight).reshape(shape)
            for weight, shape in zip(self.writers, self.shapes, strict=True)
        ]
        results = self.sample.run(arguments, others)
        if len(results) != len(self.readers):
            raise ValueError(f"{len(results)} results for {len(self.readers)} readers")
        terms = [
            functional.linear(y.reshape(1, -1), weight)
            for y, weight in zip(results, self.readers, strict=True)
        ]
        return sum(terms[1:], start=terms[0])


class Unusable(Exception):
    """An operator or a sample that no sandwich can be made of; says why."""


def near(sample: Sample, generator: torch.Generator) -> list[Tensor]:
    """Arguments near the sample's that the operator is defined around.

    Raises:
        Unusable: there are none.
    """
    reason = ""
    for move in PLACES:
        place = [move(argument) for argument in sample.arguments]
        tried = [_disturbed(place, NOISE, generator) for _ in range(20)]
        reason = next(filter(None, (failure(sample, a, sample.others) for a in tried)), "")
        if not reason:
            return place
    raise Unusable(reason)


def failure(sample: Sample, arguments: Sequence[Tensor], others: Sequence[Tensor]) -> str:
    """Why an operator gives no finite numbers; empty where it does."""
    try:
        results = sample.run([a.clone() for a in arguments], [t.clone() for t in others])
    except Exception as error:
        return f"does not run: {first_words(error)}"
    if not results:
        return "returns no tensor with entries"
    if any(r.numel() > LARGEST for r in results):
        return "has large results"
    finite = all(bool(result.isfinite().all()) for result in results)
    return "" if finite else "is not finite near its samples"


def first_words(error: BaseException) -> str:
    """The first line of an error, shortened."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:160]


def _disturbed(
    arguments: Sequence[Tensor], noise: float, generator: torch.Generator
) -> list[Tensor]:
    drawn = [_normal(a.shape, generator) for a in arguments]
    return [a * (1 + noise * n) + 0.01 * n for a, n in zip(arguments, drawn, strict=True)]


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Normal numbers without extremes, of which many entries always have some."""
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float64).clamp(-3, 3)


def draws(sample: Sample, place: Sequence[Tensor], generator: torch.Generator) -> list[Draw]:
    """Generic arguments near a place and, where the operator is defined there, anywhere.

    A symmetry must hold for any mask and any index, so those are drawn as well.
    """
    close = [_disturbed(place, 0.1, generator) for _ in range(4)]
    wide = [[1.5 * _normal(a.shape, generator) for a in place] for _ in range(4)]
    if any(failure(sample, arguments, sample.others) for arguments in wide):
        wide = []
    found = []
    for arguments in [*wide[:2], *close, *wide[2:]]:
        others = _others(sample, arguments, generator) if found else sample.others
        found.append(Draw(arguments, others))
    return found


def further(
    sample: Sample, place: Sequence[Tensor], moved: Sequence[Tensor], generator: torch.Generator
) -> Iterator[Draw]:
    """More draws, on which something that the first few did not show may show.

    Other masks and indices; and numbers that are special to some operators, but not met by chance,
    in one of the arguments: at one of the entries that are moved, and everywhere if none of it is.

    Args:
        sample: the operator.
        place: what the arguments are near.
        moved: for every argument (entries,) where every entry comes from.
        generator: of the draws.
    """
    for _ in range(MORE):
        arguments = _disturbed(place, 0.1, generator)
        yield Draw(arguments, _others(sample, arguments, generator))
    touched = [torch.nonzero(order != torch.arange(len(order)))[:1, 0] for order in moved]
    first = next((own for own in touched if len(own)), slice(1))
    for number, special in itertools.product(range(len(place)), SPECIAL):
        for where in (first,) if len(touched[number]) else (first, slice(None)):
            arguments = [a.contiguous() for a in _disturbed(place, 0.1, generator)]
            flat = arguments[number].reshape(-1)
            flat[where % len(flat) if isinstance(where, Tensor) else where] = special
            yield Draw(arguments, sample.others)


def _others(
    sample: Sample, arguments: Sequence[Tensor], generator: torch.Generator
) -> list[Tensor]:
    """Other masks and indices: redrawn, else shuffled, else as they are; what is allowed."""
    redrawn = [functools.partial(_redrawn, low=0, beyond=beyond) for beyond in (4, 3, 2, 1, 0)]
    redrawn += [functools.partial(_redrawn, low=None, beyond=0)]
    for change in (_shuffled,) if sample.operator == LENGTHS else (*redrawn, _shuffled):
        others = [t if _stays(t) else change(t, generator) for t in sample.others]
        if not failure(sample, arguments, others):
            return others
    return sample.others


def _stays(tensor: Tensor) -> bool:
    """Whether a tensor is sparse, or ascends from zero as offsets do."""
    if tensor.layout != torch.strided:
        return True
    if tensor.dtype == torch.bool or tensor.is_complex() or not tensor.ndim or len(tensor) < 2:
        return False
    ascends = bool((tensor.double().diff(dim=-1) >= 0).all())
    return ascends and bool((tensor[..., 0] == 0).all())


def _redrawn(tensor: Tensor, generator: torch.Generator, low: int | None, beyond: int) -> Tensor:
    """Truth values, and integers from `low`, or the lowest there is, to some beyond the highest."""
    if tensor.is_floating_point() or tensor.is_complex():
        return tensor
    if tensor.dtype == torch.bool:
        return torch.randint(2, tensor.shape, generator=generator).bool()
    first, last = int(tensor.min()) if low is None else low, int(tensor.max()) + beyond
    drawn = torch.randint(min(first, last), last + 1, tensor.shape, generator=generator)
    return drawn.to(tensor.dtype)


def _shuffled(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """The entries of the last axis in another order."""
    if not tensor.ndim:
        return tensor
    return tensor[..., torch.randperm(tensor.shape[-1], generator=generator)]


def fresh(
    model: Sandwich, place: Sequence[Tensor], generator: torch.Generator
) -> tuple[dict[str, Tensor], Tensor]:
    """Parameters and inputs with which the operator's arguments lie near a place."""
    params = {}
    for number, (weight, argument) in enumerate(zip(model.writers, place, strict=True)):
        [moved] = _disturbed([argument], 0.05, generator)
        # far from zero, so that the proof does not strengthen them, and with them the arguments
        rest = _normal((len(weight), INNER - 1), generator)
        rest = 2 * torch.sign(rest) + 0.3 * rest
        params[f"writers.{number}"] = torch.cat([moved.reshape(-1, 1), rest], dim=1)
    for number, weight in enumerate(model.readers):
        params[f"readers.{number}"] = _normal(weight.shape, generator)
    x = torch.cat(
        [torch.ones(1, 1, dtype=torch.float64), 0.02 * _normal((1, INNER - 1), generator)], dim=1
    )
    return params, x
