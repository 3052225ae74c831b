"""Alignment: the discrete symmetries of one network chosen so that it comes close to another."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from toroids.align.activations import activations
from toroids.align.best import best
from toroids.align.bound import upper_bound
from toroids.align.descent import descent
from toroids.align.exact import exact
from toroids.align.frank_wolfe import frank_wolfe
from toroids.align.fresh import fresh
from toroids.align.greedy import greedy
from toroids.align.loss import loss
from toroids.align.position import Position
from toroids.align.problem import Effort, Found, Problem, check_budget, problem_of
from toroids.align.restarts import as_copy, restarts
from toroids.align.trunk import compared, extended, own_group, shared_names
from toroids.arguments.checked import checked
from toroids.canonical.batch_norm import folding
from toroids.canonical.degenerate import degenerate_units
from toroids.canonical.form import CanonicalParams, canonicalize, moved_weights
from toroids.canonical.plan import Plan
from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.params import Params, check_alike, check_floating, inner_product
from toroids.probe import Probe
from toroids.progress import Progress
from toroids.result import Result
from toroids.symmetry.element import Element
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.offsets import as_read
from toroids.symmetry.units import vectors

METHODS: dict[str, Callable[[Problem], Found]] = {
    "descent": descent,
    "greedy": greedy,
    "fresh": fresh,
    "activations": activations,
    "frank-wolfe": frank_wolfe,
    "best": best,
    "exact": exact,
    "loss": loss,
}
# These look at data, so that they need more than two networks.
METHODS_ON_DATA = {"activations", "loss"}
# Without a budget these go on where a moved copy has not come back; the others are single passes.
SEARCHING = {"descent", "frank-wolfe", "best"}


@dataclass(frozen=True, repr=False)
class Alignment(Result):
    """One network aligned to another, both in canonical form.

    Attributes:
        params: the moved network, canonical.
        reference: the network that it was aligned to, canonical.
        start: the moved network before, canonical.
        element: the permutations, signs and orthogonal matrices that were applied to the moved
            network's canonical form.
        similarity: inner product of `reference` and `params` over all parameters, as the network
            reads them.
        similarity_before: the same before moving.
        method: the name of the method; of "best", the one that won.
        sweeps: how many times the method went over all spaces.
        converged: whether it stopped because nothing gained, not because its time was up.
        seconds: wall time of the method, canonical forms not included.
        group: the group that `element` belongs to; that of the folded network for
            batch_norm="fold".
        compared: what of the group was compared: all of it without `only`.

    See `align` for an example.
    """

    params: CanonicalParams
    reference: CanonicalParams
    start: CanonicalParams
    element: Element
    similarity: float
    similarity_before: float
    method: str
    sweeps: int
    converged: bool
    seconds: float
    group: SymmetryGroup
    compared: SymmetryGroup

    @cached_property
    def bound(self) -> float:
        """What the similarity cannot exceed, whatever the permutations, signs and matrices.

        Computed when first asked for; see `toroids.align.bound`.
        """
        return upper_bound(self.compared, self.reference, self.params)

    @cached_property
    def unmatched(self) -> dict[str, tuple[int, ...]]:
        """By space the units of `reference` that stand beside a unit without any weights.

        These are what is left over where a narrow network was widened to be aligned; units count
        copy after copy.
        """
        found = {}
        for space in self.compared.spaces:
            legs = [leg for leg in space.legs if leg.tensor in self.compared.parameters]
            if not legs:
                continue
            weights, others = (
                [vectors(x[leg.tensor], leg, space.copies, space.size).abs() for leg in legs]
                for x in (self.params, self.reference)
            )
            zero, used = (
                torch.cat(parts, dim=2).amax(dim=2).flatten() for parts in (weights, others)
            )
            units = ((zero == 0) & (used > 0)).nonzero()[:, 0].tolist()
            if units:
                found[space.name] = tuple(units)
        return found

    @property
    def gap(self) -> float:
        """By how much the best element could at most be better: `bound` minus `similarity`."""
        return max(self.bound - self.similarity, 0.0)


@checked
def align(
    group: SymmetryGroup,
    params: Params,
    to: Params,
    method: str = "descent",
    bias: bool = True,
    *,
    batch_norm: str = "keep",
    budget: float | None = None,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
    probe: Probe | None = None,
    landscape: Landscape | None = None,
    only: Sequence[str] | None = None,
    scratch: str | Path | None = None,
    checkpoint: str | Path | None = None,
) -> Alignment:
    """Moves the network `params` onto the network `to` within its symmetry class.

    Both are brought to canonical form first; the moved network computes the same function as
    before, up to what `group.output` removes.

    Args:
        group: the architecture's symmetry group.
        params: the network to move; a narrower one goes through `widen` first.
        to: the network that stays.
        method: "descent", space by space until the similarity does not rise; "greedy", the
            published single pass from the input, by cosine similarity of incoming weights;
            "fresh", descent that forgets where both networks lie, so that its similarity is the
            same for all networks of their orbits, whichever moves;
            "frank-wolfe", all spaces at once in a relaxation, then rounded, then descent;
            "activations", by correlation of what units compute on data, which can leave units
            antipodal where a batch norm's weight may change its sign; "best", whichever of
            descent, frank-wolfe and (with a probe) activations reaches the largest similarity;
            "exact", the best of all elements, for networks of a few units; "loss", from
            "best" on in steps that lower the loss at the middle of the geodesic.
        bias: whether biases are coordinates of the spheres, as in `canonicalize`.
        batch_norm: "keep" or "fold", as in `canonicalize`.
        budget: seconds after which the best so far is handed back; what a method leaves of them
            is spent on restarts that raise the similarity, and by "loss" on further steps. None:
            until the method is done, with restarts of "descent", "frank-wolfe" and "best" (and of
            "fresh", of which only a copy counts) only where lengths of tensors and sums over
            units do not tell the networks apart, as those of a moved copy.
        generator: source of randomness of the restarts, on the CPU; a fixed seed when None.
        progress: called with a text, the number of steps done, and of all steps (0: unknown).
        probe: shows what the units compute on data: `Probe(model, group, inputs)`.
        landscape: measures the loss on data: `Landscape(model, (inputs, labels))`; a few hundred
            examples are enough.
        only: names of parameters, or of modules that hold them, which are compared: a trunk under
            heads of other shapes. The rest follows the units that it reads, keeps the function of
            its network, and may have other shapes where no symmetry moves it. All when None.
        scratch: a folder on a disk for networks that do not fit into memory: both canonical
            forms, and what moves, are then mapped from files that take none, on the CPU. They go
            when the result does. In memory when None.
        checkpoint: a file from which a killed "loss" goes on, where there is one, and to write now
            and then; the result is the same, bit for bit on a CPU, where no budget ends it.

    Returns:
        Both canonical networks, the element, and the similarity before and after. "greedy",
        "fresh", "activations" and "loss" may end below where they began, the others never do.

    Raises:
        ParamsError: the networks are of different architectures or not finite.
        ToroidsError: an unknown method, a method that lacks its data, a budget that is not
            positive, or a checkpoint of a method that keeps none.
        CheckpointError: the checkpoint is of another alignment, or is not whole.

    Example:
        >>> import torch, toroids as td
        >>> a = td.models.fully_connected([4, 8, 3], seed=0).double().state_dict()
        >>> group = td.symmetry.fully_connected_group(a, output="classifier")
        >>> b = group.apply(group.random(torch.Generator().manual_seed(0)), a)  # a in disguise
        >>> alignment = td.align(group, b, to=a)
        >>> td.Toroid(group).distance(alignment.reference, alignment.params) < 1e-12
        True
        >>> alignment.gap < 1e-12  # no element can do better
        True

    Reference:
        Pittorino et al., Deep Networks on Toroids, 2022, arXiv 2202.03038.
    """
    if method not in METHODS:
        raise ToroidsError(f"there is no method {method!r}; choose from {sorted(METHODS)}.")
    check_budget(budget)
    if checkpoint is not None and method != "loss":
        raise ToroidsError(
            f"method={method!r} keeps no checkpoint, only 'loss' does; leave checkpoint= out."
        )
    if only is not None and method in METHODS_ON_DATA:
        raise ToroidsError(
            f"method={method!r} looks at whole networks, and only= at parts; leave one of them out."
        )
    shared = frozenset(group.shapes) if only is None else shared_names(group, only)
    groups = (
        [own_group(group, network, shared) for network in (to, params)] if only else [group] * 2
    )
    for network in (params, to):
        check_floating(network, moved_weights(group))
    stays, moves = ({n: x for n, x in w.items() if n in shared} for w in (to, params))
    check_alike(stays, moves, "the reference", "the network to be moved")
    reference, start = (
        canonicalize(own, network, bias=bias, batch_norm=batch_norm, scratch=scratch)
        for own, network in zip(groups, (to, params), strict=True)
    )
    folded = folding(groups[1], batch_norm)
    group = folded.group if folded else groups[1]
    parts = group if only is None else compared(group, shared)
    begun = time.monotonic()
    effort = Effort(math.inf if budget is None else begun + budget, progress=progress)
    if generator is not None:
        effort.generator = generator
    networks: list[Params] = [start, reference]
    if only is not None:
        networks = [{name: x[name] for name in parts.shapes} for x in networks]
    problem = problem_of(
        parts, networks[0], networks[1], effort, probe=probe, landscape=landscape, bias=bias,
        scratch=scratch, checkpoint=checkpoint,
    )  # fmt: skip
    found = METHODS[method](problem)
    if method in SEARCHING or (budget is not None and method != "loss"):
        # restarts climb the similarity, which "loss" has left behind
        found = restarts(problem, found)
    elif method == "fresh":
        found = as_copy(problem, found)
    seconds = time.monotonic() - begun
    element = extended(found.element, group, shared) if only is not None else found.element
    moved = Position(group, start, element, scratch).tensors
    plan = Plan(group, bias)
    return Alignment(
        params=CanonicalParams(moved, (*plan.notes, *degenerate_units(plan, moved))),
        reference=reference,
        start=start,
        element=element,
        similarity=similarity(parts, reference, moved),
        similarity_before=similarity(parts, reference, start),
        method=found.method,
        sweeps=found.sweeps,
        converged=found.converged,
        seconds=seconds,
        group=group,
        compared=parts,
    )


def similarity(group: SymmetryGroup, a: Params, b: Params) -> float:
    """Computes the inner product of what two networks read of their parameters."""
    return inner_product(as_read(group, a), as_read(group, b), group.parameters)
