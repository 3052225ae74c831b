r"""How alike two aligned networks are: cosines of their matrices.

With A_n and B_n the matrices of two canonical networks, the second moved onto the first,

    c_n = <A_n, B_n> / (||A_n|| ||B_n||),

the *mean* of all c_n, each matrix counted once, says how alike the networks are as wholes, the
*peak*, the largest, whether any part of them is. Vectors do not count: gains are one after the
canonical form, and biases are few. Networks without matrices are scored on all they have.

What aligns anything to anything is *chance*: the same two numbers of networks of random weights of
the same architecture. It is the same for all networks of the architecture.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.align.alignment import align
from toroids.params import Params, inner_product
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.offsets import as_read

# Scores of random weights by architecture, and how many are remembered.
_REMEMBERED: dict[str, "Score"] = {}
MOST = 64


@dataclass(frozen=True)
class Score:
    """How alike two networks of one architecture are once aligned.

    Attributes:
        mean: the mean cosine of their matrices.
        peak: the largest.

    Example:
        >>> from toroids.compare.score import Score
        >>> Score(mean=0.6, peak=0.9).beyond(Score(mean=0.2, peak=0.5))
        Score(mean=0.5, peak=0.8)
    """

    mean: float
    peak: float

    def beyond(self, chance: "Score") -> "Score":
        """What of it is not chance: 0 at chance, 1 where all is equal."""
        return Score(_excess(self.mean, chance.mean), _excess(self.peak, chance.peak))


def _excess(value: float, chance: float) -> float:
    return round((value - chance) / max(1 - chance, 1e-9), 12)


def counted(group: SymmetryGroup) -> list[str]:
    """Names of the parameters that count in the score."""
    matrices = [name for name in group.parameters if len(group.shapes[name]) > 1]
    return matrices or list(group.parameters)


def cosine(a: Params, b: Params, names: Sequence[str]) -> float:
    """The cosine of two networks over some tensors; 0 where one of them is zero there.

    Args:
        a: a network as it is read.
        b: another one.
        names: of the tensors, taken together.

    Returns:
        A number in [-1, 1].
    """
    product, left, right = (inner_product(x, y, names) for x, y in ((a, b), (a, a), (b, b)))
    return product / (left * right) ** 0.5 if left and right else 0.0


def score(group: SymmetryGroup, a: Params, b: Params) -> Score:
    """Scores two aligned networks.

    Args:
        group: the architecture's symmetry group.
        a: a canonical network.
        b: another one, moved onto `a`.

    Returns:
        The mean and the largest cosine of their matrices.
    """
    a, b = as_read(group, a), as_read(group, b)
    found = [cosine(a, b, [name]) for name in counted(group)]
    return Score(sum(found) / len(found), max(found))


def chance(group: SymmetryGroup, like: Params) -> Score:
    """Scores two networks of random weights, to see what alignment alone reaches.

    Args:
        group: the architecture's symmetry group.
        like: a network of this architecture, whose buffers that nothing moves are taken.

    Returns:
        The score; it depends on nothing else of `like`, and is remembered.
    """
    kinds = ",".join(f"{name}:{tensor.dtype}" for name, tensor in like.items())
    known = hashlib.sha256(f"{group.to_json()}{kinds}".encode()).hexdigest()
    if known not in _REMEMBERED:
        if len(_REMEMBERED) >= MOST:
            _REMEMBERED.clear()
        _REMEMBERED[known] = _chance(group, like)
    return _REMEMBERED[known]


def _chance(group: SymmetryGroup, like: Params) -> Score:
    a, b = (_random(group, like, seed) for seed in (0, 1))
    found = align(group, b, to=a, method="fresh")
    return score(group, found.reference, found.params)


def _random(group: SymmetryGroup, like: Params, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    moved = {leg.tensor for space in group.spaces for leg in space.legs}
    drawn: dict[str, Tensor] = {}
    for name, tensor in like.items():
        if name in group.tied:
            continue
        if name not in group.buffers:
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            # vectors are mostly biases, which are small beside what they are added to
            drawn[name] = (noise if tensor.ndim > 1 else 0.1 * noise).to(tensor)
        else:
            free = name in moved and tensor.is_floating_point()
            drawn[name] = torch.ones_like(tensor) if free else tensor
    return {name: drawn[group.tied.get(name, name)] for name in like}
