"""Merging: the mean of several networks on the toroid, made to work again with data."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from toroids.align.activations import probe_on
from toroids.align.alignment import align
from toroids.align.many import align_many
from toroids.arguments.checked import checked
from toroids.arguments.networks import check_several
from toroids.canonical.form import CanonicalParams
from toroids.computed import Computed
from toroids.errors import NotFiniteError, ParamsError, ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import check_params
from toroids.evaluation.summary import Evaluation, joined, summarise
from toroids.geometry.toroid import Toroid
from toroids.landscape.recalibrate import batch_norms, recalibrate
from toroids.landscape.repair import repair
from toroids.params import Params, average, computing
from toroids.progress import Progress
from toroids.symmetry.group import SymmetryGroup


@checked
def merge(
    group: SymmetryGroup,
    networks: Sequence[Params],
    landscape: Landscape | None = None,
    method: str = "descent",
    *,
    bias: bool = True,
    budget: float | None = None,
    progress: Progress | None = None,
    scratch: str | Path | None = None,
) -> CanonicalParams:
    """Makes one network of several: their aligned mean on the toroid.

    Args:
        group: the architecture's symmetry group.
        networks: two or more networks.
        landscape: on its training data the statistics of batch norms are estimated anew, or, in a
            network without batch norms, pre-activations are given the statistics of the networks'
            (`repair`), without a look at targets. Nothing of this when None.
        method: of alignment, as in `align_many`; "activations" and "loss" look at the data of the
            landscape, the latter at targets, too.
        bias: whether biases are coordinates of the spheres, as in `canonicalize`.
        budget: seconds for the alignment.
        progress: called with a text, the number of steps done, and of all steps (0: unknown).
        scratch: a folder on a disk for networks that do not fit into memory, as in `align`. All are
            aligned to the first; of more than two the projected average stands for the mean. Half
            precision is not rounded again.

    Returns:
        Parameters that load into the model, with `.notes` on what was done.

    Raises:
        ParamsError: different architectures, or weights that are not finite.
        DataError: as in `recalibrate` and `repair`.
        ToroidsError: fewer than two networks, an unknown method, or a budget that is not positive.

    Example:
        >>> import torch, toroids as td
        >>> a, b = (td.models.fully_connected([4, 8, 3], seed=seed) for seed in (0, 1))
        >>> group = td.symmetry.fully_connected_group(a.state_dict())
        >>> inputs = torch.randn(32, 4)
        >>> landscape = td.Landscape(a, (inputs, a(inputs).argmax(dim=1)))
        >>> merged = td.merge(group, [a.state_dict(), b.state_dict()], landscape)
        >>> merged.notes
        ('pre-activations were given the statistics of the networks',)
        >>> a.load_state_dict(merged)
        <All keys matched successfully>
    """
    check_several(networks, 2, "networks to merge")
    if landscape is not None:
        check_params(landscape.model, networks[0], "the first network")
    if scratch is not None:
        if landscape is not None:
            raise ToroidsError(
                "scratch= is for networks that do not fit into memory, and landscape= runs them; "
                "leave one of them out."
            )
        return _streamed(group, networks, method, bias, budget, progress, scratch)
    probe = None
    if method == "activations" and landscape is not None:
        probe = probe_on(landscape.calibration, group, networks[0])
    many = align_many(
        group, networks, method, bias, budget=budget, progress=progress, probe=probe,
        landscape=landscape,
    )  # fmt: skip
    notes: list[str] = []
    try:
        mean: Params = many.mean
        notes += many.mean.notes
    except ParamsError as error:
        mean = many.toroid.project(average(many.params))
        notes.append(f"the projected average instead of the mean on the toroid, for {error}")
    if landscape is None:
        return CanonicalParams(mean, tuple(notes))
    model, data, batch_size = landscape.model, landscape.calibration.data, landscape.batch_size
    if batch_norms(model):
        notes.append("the statistics of batch norms were estimated anew")
        fixed = recalibrate(model, mean, data, batch_size=batch_size)
    else:
        fixed = repair(
            model, mean, many.params, data, batch_size=batch_size, output_key=landscape.output_key
        )
        if any(fixed[name] is not mean[name] for name in fixed):
            notes.append("pre-activations were given the statistics of the networks")
        else:
            notes.append("nothing was repaired: no hidden layer has a bias of its own")
    return CanonicalParams(fixed, tuple(notes))


def _streamed(
    group: SymmetryGroup,
    networks: Sequence[Params],
    method: str,
    bias: bool,
    budget: float | None,
    progress: Progress | None,
    scratch: str | Path,
) -> CanonicalParams:
    """Merges with no more than a few tensors of each network in memory."""
    # of two points of a product of spheres the mean, the middle of their geodesic, is the
    # projected average
    first, *others = networks
    share = None if budget is None else budget / len(others)
    found = [
        align(group, other, first, method, bias, budget=share, progress=progress, scratch=scratch)
        for other in others
    ]
    aligned = [found[0].reference, *(x.params for x in found)]
    mean = Computed(first, lambda name: _mean([x[name] for x in aligned]))
    notes = ["the projected average instead of the mean on the toroid"] * (len(networks) > 2)
    return CanonicalParams(Toroid(group, bias).project(mean, scratch=scratch), tuple(notes))


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    """The mean of floating tensors in the type they are computed in; of others the first."""
    first = tensors[0]
    if not first.is_floating_point():
        return first
    total = first.to(computing(first), copy=True)
    for tensor in tensors[1:]:
        total += tensor
    return total / len(tensors)


@checked
def evaluate_ensemble(landscape: Landscape, networks: Sequence[Params]) -> Evaluation:
    """Computes error and loss of the mean of several networks' class probabilities.

    Args:
        landscape: of the data; its metric is given logarithms of the mean probabilities.
        networks: one or more networks.

    Returns:
        Error, loss and their standard errors.

    Raises:
        ParamsError: a network is not of the model's architecture or not finite.
        DataError: as in `evaluate`.
        ToroidsError: no networks, or metric="squared-error", which has no probabilities.

    Example:
        >>> import torch, toroids as td
        >>> a, b = (td.models.fully_connected([4, 8, 3], seed=seed) for seed in (0, 1))
        >>> landscape = td.Landscape(a, (torch.randn(32, 4), torch.randint(3, (32,))))
        >>> td.evaluate_ensemble(landscape, [a.state_dict(), b.state_dict()]).examples
        32
    """
    check_several(networks, 1)
    if landscape.metric == "squared-error":
        raise ToroidsError(
            "an ensemble averages the probabilities of classes, which metric='squared-error' has "
            "none of; average the outputs yourself."
        )
    for number, network in enumerate(networks):
        check_params(landscape.model, network, f"network {number}")
    found = []
    with torch.no_grad(), landscape.evaluation_mode():
        for inputs, targets in landscape.ready(networks[0]):
            outputs = [landscape.output(network, inputs) for network in networks]
            landscape.check(outputs[0], targets)
            if not all(bool(torch.isfinite(x.logsumexp(dim=-1)).all()) for x in outputs):
                raise NotFiniteError(
                    "the outputs of a network are NaN or infinite; look for NaN in the inputs and "
                    "for weights that overflow the precision."
                )
            logs = torch.stack([x.log_softmax(dim=-1) for x in outputs])
            mean = logs.logsumexp(dim=0) - math.log(len(networks))
            found.append(landscape.score(mean, targets))
    return summarise(joined(found))
