"""Many networks compared in pairs, and the tree that their likeness makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import torch
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform
from torch import Tensor

from toroids.arguments.checked import checked
from toroids.arguments.networks import check_several
from toroids.compare.checks import check_network
from toroids.compare.compare import Comparison, compare
from toroids.errors import ToroidsError
from toroids.params import Params
from toroids.progress import Progress
from toroids.result import Result
from toroids.symmetry.group import SymmetryGroup


@dataclass(frozen=True)
class Branch:
    """Two parts of a family tree that join.

    Attributes:
        members: the networks below, from left to right.
        height: where they join, 1 minus the mean score of pairs across.
        parts: the two parts; none for a single network.
    """

    members: tuple[str, ...]
    height: float
    parts: tuple["Branch", ...] = ()


@dataclass(frozen=True, repr=False)
class Family(Result):
    """Several networks of one architecture, compared in pairs.

    Attributes:
        names: of the networks.
        comparisons: by pairs of places, the smaller first.

    See `compare_many` for an example.
    """

    names: tuple[str, ...]
    comparisons: Mapping[tuple[int, int], Comparison]

    @property
    def distances(self) -> Tensor:
        """Distances on the toroid after alignment, symmetric; shape (networks, networks)."""
        return self._matrix("distance", 0.0)

    @property
    def scores(self) -> Tensor:
        """Mean cosines of matrices after alignment, symmetric, 1 on the diagonal."""
        found = torch.eye(len(self.names), dtype=torch.float64)
        for (i, j), comparison in self.comparisons.items():
            found[i, j] = found[j, i] = comparison.score.mean
        return found

    def _matrix(self, which: str, diagonal: float) -> Tensor:
        found = torch.full((len(self.names),) * 2, diagonal, dtype=torch.float64)
        for (i, j), comparison in self.comparisons.items():
            found[i, j] = found[j, i] = getattr(comparison, which)
        return found

    @cached_property
    def linkage(self) -> Tensor:
        """The tree by average linkage of 1 minus score, as scipy writes it; (networks - 1, 4)."""
        apart = (1 - self.scores).clamp(min=0).fill_diagonal_(0)
        packed = squareform(apart.numpy(), checks=False)
        return torch.from_numpy(optimal_leaf_ordering(linkage(packed, "average"), packed))

    @property
    def order(self) -> tuple[int, ...]:
        """Places of the networks along the tree, so that neighbours are alike."""
        return tuple(int(x) for x in leaves_list(self.linkage.numpy()))

    @property
    def tree(self) -> Branch:
        """The whole tree."""
        parts = [Branch((name,), 0.0) for name in self.names]
        for left, right, height, _ in self.linkage.tolist():
            both = (parts[int(left)], parts[int(right)])
            parts.append(Branch(both[0].members + both[1].members, height, both))
        return parts[-1]

    def row(self) -> dict[str, Any]:
        """Writes what was found as plain data, for JSON."""
        return {
            "names": list(self.names),
            "distances": self.distances.tolist(),
            "scores": self.scores.tolist(),
            "linkage": self.linkage.tolist(),
            "pairs": [
                {"networks": [self.names[i], self.names[j]], **comparison.row()}
                for (i, j), comparison in self.comparisons.items()
            ],
        }


@checked
def compare_many(
    group: SymmetryGroup,
    networks: Sequence[Params],
    names: Sequence[str] | None = None,
    bias: bool = True,
    *,
    progress: Progress | None = None,
) -> Family:
    """Compares every pair of networks, and makes a family tree of them.

    Args:
        group: the architecture's symmetry group.
        networks: two or more, parameters and buffers by name.
        names: of the networks, all different; numbers from 0 when None.
        bias: whether biases are coordinates of the spheres, as in `canonicalize`.
        progress: called with a text, the number of pairs done, and of all pairs.

    Returns:
        All comparisons, the matrix of distances, and the tree.

    Raises:
        ParamsError: the networks are of different architectures, not finite, or quantised.
        ToroidsError: fewer than two networks, or names that are not as many and all different.

    Example:
        >>> import torch, toroids as td
        >>> make = td.models.fully_connected
        >>> a, b = (make([4, 8, 3], seed=seed).double().state_dict() for seed in (0, 1))
        >>> group = td.symmetry.fully_connected_group(a)
        >>> copy = group.apply(group.random(torch.Generator().manual_seed(0)), a)
        >>> family = td.compare_many(group, [a, b, copy], ["a", "b", "copy"])
        >>> sorted(family.tree.parts[1].members)  # what joins first
        ['a', 'copy']
    """
    check_several(networks, 2, "networks to compare")
    names = [str(i) for i in range(len(networks))] if names is None else list(names)
    if len(names) != len(networks) or len(set(names)) < len(names):
        raise ToroidsError(
            f"there are {len(networks)} networks and the names {names}; give every network a name "
            "of its own."
        )
    for name, network in zip(names, networks, strict=True):
        check_network(group, network, f"`{name}`")
    pairs = list(combinations(range(len(networks)), 2))
    found = {}
    for done, (i, j) in enumerate(pairs):
        if progress is not None:
            progress(f"{names[i]} and {names[j]}", done, len(pairs))
        found[i, j] = compare(group, networks[i], networks[j], bias)
    return Family(tuple(names), found)
