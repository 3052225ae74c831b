"""How alike two aligned networks are: cosines of their matrices, and what strangers have of them.

With both networks canonical and b moved onto a by an alignment that forgets where both lie, and the
cosine of every matrix n,

    c_n = <A_n, B_n> / (||A_n|| ||B_n||),

the *mean* of all c_n, each matrix counted once, says how alike the networks are as wholes, the
*peak*, the largest, whether any part of them is. Vectors do not count: gains are one after the
canonical form, and biases are few. Networks without matrices are scored on all they have.

*Chance* are the same cosines s_n of surrogates of both networks (see `toroids.compare.surrogate`),
which have their second moments and singular values and nothing else in common. *Beyond* chance,

    (mean c - mean s) / (1 - mean s),        max (c_n - s_n) / (1 - s_n),

are 0 at chance and 1 where all is equal. These two decide, since they mean the same in networks of
every architecture: a matrix whose singular values fall steeply is like any other such matrix.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from toroids.align.alignment import Alignment, align
from toroids.compare.surrogate import surrogate
from toroids.params import Params, inner_product, products
from toroids.progress import Progress
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.offsets import as_read

Cosines = Mapping[str, float]  # by tensor, or by whatever has a name
# A matrix of which surrogates have all but so much of the likeness tells nothing by the rest.
LEAST = 0.05
# Pairs of surrogates that are aligned: one varies by some hundredths where units are few.
DRAWS, DRAWS_OF_LARGE, LARGE = 2, 1, 2_000_000


@dataclass(frozen=True)
class Score:
    """How alike two networks of one architecture are once aligned.

    Attributes:
        mean: the mean cosine of their matrices, or what of it is beyond chance.
        peak: the largest.

    Example:
        >>> from toroids.compare.score import Score, beyond
        >>> Score.of({"first": 0.5, "second": 0.7})
        Score(mean=0.6, peak=0.7)
        >>> beyond({"first": 0.5, "second": 0.7}, {"first": 0.1, "second": 0.5})
        Score(mean=0.428571428571, peak=0.444444444444)
    """

    mean: float
    peak: float

    @staticmethod
    def of(cosines: Cosines) -> "Score":
        """The mean and the largest of some cosines."""
        return Score(sum(cosines.values()) / len(cosines), max(cosines.values()))


def beyond(cosines: Cosines, chance: Cosines) -> Score:
    """What of some cosines is not chance.

    Args:
        cosines: of two networks.
        chance: of their surrogates, under the same names.

    Returns:
        The mean and the largest, 0 at chance and 1 where all is equal.
    """
    found, random = Score.of(cosines), Score.of({name: chance[name] for name in cosines})
    peak = max(excess(value, chance[name]) for name, value in cosines.items())
    return Score(excess(found.mean, random.mean), peak)


def excess(value: float, chance: float) -> float:
    """What of a cosine is beyond chance; of nothing where chance leaves no room."""
    return round((value - chance) / max(1 - chance, LEAST), 12)


def counted(group: SymmetryGroup) -> list[str]:
    """Names of the parameters that count in the score."""
    matrices = [name for name in group.parameters if len(group.shapes[name]) > 1]
    return matrices or list(group.parameters)


def cosines(group: SymmetryGroup, a: Params, b: Params, parts: Mapping[str, list[str]]) -> Cosines:
    """The cosines of two aligned networks.

    Args:
        group: the architecture's symmetry group.
        a: a canonical network.
        b: another one, moved onto `a`.
        parts: names of tensors that are taken together, by the name of the part.

    Returns:
        One per part.
    """
    a, b = as_read(group, a), as_read(group, b)
    return {part: products(a, b, names).cosine for part, names in parts.items()}


def chance(
    found: Alignment, bias: bool, parts: Mapping[str, list[str]], progress: Progress | None = None
) -> Cosines:
    """The cosines that surrogates of two aligned networks reach.

    Args:
        found: the networks.
        bias: whether biases are coordinates of the spheres.
        parts: as in `cosines`.
        progress: as in `align`.

    Returns:
        The mean over some draws, by part.
    """
    group = found.compared
    a, b = ({name: x[name] for name in group.shapes} for x in (found.reference, found.params))
    if inner_product(a, a, group.parameters) > inner_product(b, b, group.parameters):
        a, b = b, a  # whichever was named first
    size = sum(a[name].numel() for name in group.parameters)
    draws = DRAWS if size <= LARGE else DRAWS_OF_LARGE
    total = dict.fromkeys(parts, 0.0)
    for seed in range(draws):  # both ways round where there are two
        left, right = surrogate(group, a, seed), surrogate(group, b, 1 - seed)
        aligned = align(group, right, to=left, method="fresh", bias=bias, progress=progress)
        for part, value in cosines(group, aligned.reference, aligned.params, parts).items():
            total[part] += value / draws
    return total
