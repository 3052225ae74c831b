"""Families of small networks with their children: trained on, pruned, quantised, merged, distilled.

A family is an architecture with its data, in two halves: parents are trained on the first, children
on the second. Images are scikit-learn's digits; text is what `pydoc` says of Python's statements.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pydoc_data.topics import topics
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import toroids as td
from harness.decoders import decoder
from harness.networks import convolutional

LENGTH, BATCH, RATE = 32, 32, 3e-3
STEPS, LONGER, SMALL_START = 400, 4, 0.02
Batches = Callable[[torch.Generator, int], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Family:
    """One architecture, and what its networks are trained on.

    Attributes:
        name: for tables.
        make: builds the network of a seed.
        batch: draws a batch of half 0 or 1.
        steps: of a parent's training.
    """

    name: str
    make: Callable[[int], nn.Module]
    batch: Batches
    steps: int

    @cached_property
    def group(self) -> td.SymmetryGroup:
        """What leaves the function of its networks as it is."""
        inputs, _ = self.batch(torch.Generator().manual_seed(0), 0)
        return td.discover(self.make(0).eval(), inputs[:2])


def families(quick: bool = False) -> list[Family]:
    """The families of the benchmark; with fewer steps for a smoke test."""
    steps = 10 if quick else STEPS
    return [
        Family("MLP", partial(_perceptron, 32), _digits, steps),
        Family("ResNet", partial(_image, True), _digits, steps),
        Family("GPT", partial(_decoder, False), _text, steps),
        Family("Llama", partial(_decoder, True), _text, steps),
    ]


def more_families(quick: bool = False) -> list[Family]:
    """Those of the benchmark and others, for the scale of strangers.

    What makes strangers alike varies: widths, signs that may be flipped, long training, and the
    small first weights of language models, which leave a few singular values that stand out.

    Args:
        quick: with fewer steps, for a smoke test.

    Returns:
        All of them, those of the benchmark first.
    """
    steps = 10 if quick else STEPS
    return [
        *families(quick),
        Family("MLP, narrow", partial(_perceptron, 12), _digits, steps),
        Family("MLP, wide", partial(_perceptron, 128), _digits, steps),
        Family("MLP, trained longer", partial(_perceptron, 32), _digits, LONGER * steps),
        Family("MLP, tanh", partial(_perceptron, 32, activation="tanh"), _digits, LONGER * steps),
        Family("MLP, GELU", partial(_perceptron, 32, activation="gelu"), _digits, LONGER * steps),
        Family("CNN", partial(_image, False), _digits, steps),
        Family("GPT, small start", partial(_decoder, False, start=SMALL_START), _text, steps),
        Family("Llama, small start", partial(_decoder, True, start=SMALL_START), _text, steps),
    ]


def _perceptron(width: int, seed: int, activation: str = "relu") -> nn.Module:
    return td.models.fully_connected([64, width, width, 10], seed=seed, activation=activation)


def _image(residual: bool, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return convolutional(16, residual, residual)


def _decoder(rotary: bool, seed: int, start: float | None = None) -> nn.Module:
    torch.manual_seed(seed)
    return decoder(len(_letters()), rotary, start=start)


@cache
def _images() -> td.data.Dataset:
    return td.data.digits(train=1600, seed=0)


def _digits(generator: torch.Generator, half: int) -> tuple[Tensor, Tensor]:
    images, labels = _images().train
    chosen = torch.randint(0, 800, (BATCH,), generator=generator) + 800 * half
    return images[chosen], labels[chosen]


@cache
def _letters() -> str:
    written = "".join(text for _, text in sorted(topics.items()))
    return "".join(sorted(set(written)))


@cache
def _written() -> Tensor:
    place = {letter: number for number, letter in enumerate(_letters())}
    written = "".join(text for _, text in sorted(topics.items()))
    return torch.tensor([place[letter] for letter in written])


def _text(generator: torch.Generator, half: int) -> tuple[Tensor, Tensor]:
    written = _written()
    size = len(written) // 2
    starts = torch.randint(0, size - LENGTH - 1, (BATCH, 1), generator=generator) + size * half
    pieces = written[starts + torch.arange(LENGTH + 1)]
    return pieces[:, :-1], pieces[:, 1:]


def labelled(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with labels; of texts, letter by letter."""
    return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's parameters and buffers."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def loaded(family: Family, params: td.Params) -> nn.Module:
    """A network of a family with the given weights."""
    model = family.make(0)
    model.load_state_dict(dict(params))
    return model


def trained(
    family: Family, model: nn.Module, steps: int, seed: int, half: int, teacher: Any = None
) -> dict[str, Tensor]:
    """Trains a network with Adam, in place, at a rate that falls to zero.

    Args:
        family: of the network.
        model: where it begins.
        steps: batches.
        seed: of the batches.
        half: of the data.
        teacher: a network whose outputs are learned, in place of labels.

    Returns:
        Its weights.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], RATE)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        inputs, targets = family.batch(generator, half)
        optimizer.zero_grad()
        outputs = model(inputs)
        if teacher is None:
            loss = labelled(outputs, targets)
        else:
            with torch.no_grad():
                taught = teacher(inputs).log_softmax(-1)
            loss = F.kl_div(outputs.log_softmax(-1), taught, log_target=True, reduction="batchmean")
        torch.autograd.backward(loss)
        optimizer.step()
    return weights(model.eval())


def parent(family: Family, seed: int) -> dict[str, Tensor]:
    """A network trained from its own start."""
    return trained(family, family.make(seed), family.steps, seed, 0)


def tuned(family: Family, params: td.Params, share: float, seed: int = 0) -> dict[str, Tensor]:
    """Trains on, on the other half of the data, for a share of the parent's training."""
    steps = max(1, round(share * family.steps))
    return trained(family, loaded(family, params), steps, 10_000 + seed, 1)


def _matrices(params: td.Params) -> dict[str, Tensor]:
    return {n: x for n, x in params.items() if x.ndim > 1 and x.is_floating_point()}


def pruned(params: td.Params, share: float) -> dict[str, Tensor]:
    """Sets the smallest weights of every matrix to zero."""
    found = dict(params)
    for name, matrix in _matrices(params).items():
        least = matrix.abs().flatten().kthvalue(max(1, int(share * matrix.numel()))).values
        found[name] = torch.where(matrix.abs() > least, matrix, 0.0)
    return found


def quantised(params: td.Params, bits: int) -> dict[str, Tensor]:
    """Rounds every row of every matrix to so many bits, symmetrically."""
    found = dict(params)
    for name, matrix in _matrices(params).items():
        rows = matrix.flatten(1)
        steps = rows.abs().amax(1, keepdim=True).clamp_min(1e-12) / (2 ** (bits - 1) - 1)
        found[name] = ((rows / steps).round() * steps).reshape(matrix.shape)
    return found


class _LowRank(nn.Module):
    """Adds a product of two thin matrices to a weight."""

    def __init__(self, weight: Tensor, rank: int = 2) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """The sum."""
        return weight + (self.up @ self.down).reshape(weight.shape)


def low_rank(family: Family, params: td.Params, share: float, seed: int = 0) -> dict[str, Tensor]:
    """Trains an update of rank 2 of every matrix, and adds it to the weights."""
    torch.manual_seed(seed)
    model = loaded(family, params).requires_grad_(False)
    held = [
        (module, name)
        for module in model.modules()
        for name, value in module.named_parameters(recurse=False)
        if value.ndim > 1
    ]
    for module, name in held:
        update = _LowRank(getattr(module, name))
        nn.utils.parametrize.register_parametrization(module, name, update)
    steps = max(1, round(share * family.steps))
    trained(family, model, steps, 20_000 + seed, 1)
    for module, name in held:
        nn.utils.parametrize.remove_parametrizations(module, name)
    return weights(model.eval())


def averaged(params: td.Params, other: td.Params, share: float) -> dict[str, Tensor]:
    """Weights of two networks, `share` of them the other's."""
    return {
        name: torch.lerp(x, other[name], share) if x.is_floating_point() else x
        for name, x in params.items()
    }


def distilled(family: Family, params: td.Params, kept: float, seed: int = 0) -> dict[str, Tensor]:
    """Learns a parent's outputs, from its first tensors and a new start of the others.

    Args:
        family: of the parent.
        params: the parent.
        kept: the share of tensors, from the input on, with which the student starts.
        seed: of the others.

    Returns:
        The student.
    """
    student = family.make(30_000 + seed)
    names = [name for name, _ in student.named_parameters()]
    first = names[: round(kept * len(names))]
    student.load_state_dict({**student.state_dict(), **{name: params[name] for name in first}})
    teacher = copy.deepcopy(loaded(family, params)).eval()
    return trained(family, student, family.steps, 30_000 + seed, 1, teacher)


def children(
    family: Family, params: td.Params, stranger: td.Params, seed: int
) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Every kind of child of one parent.

    Args:
        family: of both.
        params: the parent.
        stranger: another parent, for averages.
        seed: of what is random.

    Yields:
        The kind and the child.
    """
    for share in (0.01, 0.1, 1.0):
        yield f"trained on by {share:.0%}", tuned(family, params, share, seed)
    yield "pruned by half", pruned(params, 0.5)
    yield "quantised to 4 bits", quantised(params, 4)
    yield "low-rank update merged in", low_rank(family, params, 0.25, seed)
    yield "averaged with a stranger", averaged(params, stranger, 0.5)
    yield "distilled from its first half", distilled(family, params, 0.5, seed)
    yield "distilled afresh", distilled(family, params, 0.0, seed)
