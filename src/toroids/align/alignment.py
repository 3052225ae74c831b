"""Alignment: the discrete symmetries of one network chosen so that it comes close to another."""

from dataclasses import dataclass

from toroids.align.descent import descent
from toroids.align.greedy import greedy
from toroids.align.problem import Problem
from toroids.canonical.degenerate import degenerate_units
from toroids.canonical.form import CanonicalParams, canonicalize
from toroids.canonical.plan import Plan
from toroids.errors import ToroidsError
from toroids.params import Params, check_alike, inner_product
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup

METHODS = {"descent": descent, "greedy": greedy}


@dataclass(frozen=True)
class Alignment:
    """One network aligned to another, both in canonical form.

    Attributes:
        params: the moved network, canonical.
        reference: the network that it was aligned to, canonical.
        element: the permutations, signs and orthogonal matrices that were applied to the moved
            network's canonical form.
        similarity: inner product of `reference` and `params` over all parameters.
        similarity_before: the same before moving.
        method: the name of the method.
    """

    params: CanonicalParams
    reference: CanonicalParams
    element: Element
    similarity: float
    similarity_before: float
    method: str


def align(
    group: SymmetryGroup, params: Params, to: Params, method: str = "descent", bias: bool = True
) -> Alignment:
    """Moves the network `params` onto the network `to` within its symmetry class.

    Both are brought to canonical form first; the moved network computes the same function as
    before, up to what `group.output` removes.

    Args:
        group: the architecture's symmetry group.
        params: the network to move.
        to: the network that stays.
        method: "descent", space by space until the similarity does not rise; or "greedy", the
            published single pass from the input, by cosine similarity of incoming weights.
        bias: whether biases are coordinates of the spheres, as in `canonicalize`.

    Returns:
        Both canonical networks, the element, and the similarity before and after. One greedy pass
        may end below where it began, descent never does.

    Raises:
        ParamsError: the networks are of different architectures or not finite.
        ToroidsError: an unknown method.

    Example:
        >>> import torch, toroids as td
        >>> a = td.models.fully_connected([4, 8, 3], seed=0).double().state_dict()
        >>> group = td.fully_connected_group(a, output="classifier")
        >>> b = group.apply(group.random(torch.Generator().manual_seed(0)), a)  # a in disguise
        >>> alignment = td.align(group, b, to=a)
        >>> td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-12
        True

    Reference:
        Pittorino et al., Deep Networks on Toroids, 2022, arXiv 2202.03038.
    """
    if method not in METHODS:
        raise ToroidsError(f"there is no method {method!r}; choose from {sorted(METHODS)}.")
    check_alike(to, params)
    reference = canonicalize(group, to, bias=bias)
    start = canonicalize(group, params, bias=bias)
    found = METHODS[method](Problem(group, start, reference))
    element = found.element
    moved_tensors = group.apply(element, start)
    moved = CanonicalParams(moved_tensors, degenerate_units(Plan(group, bias), moved_tensors))
    return Alignment(
        params=moved,
        reference=reference,
        element=element,
        similarity=similarity(group, reference, moved),
        similarity_before=similarity(group, reference, start),
        method=method,
    )


def similarity(group: SymmetryGroup, a: Params, b: Params) -> float:
    """Computes the inner product of two networks over all parameters, buffers left out."""
    return inner_product(a, b, group.parameters)
