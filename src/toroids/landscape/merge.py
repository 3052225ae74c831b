"""Merging: the mean of several networks on the toroid, made to work again with data."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from toroids.align.many import align_many
from toroids.align.problem import Progress
from toroids.canonical.form import CanonicalParams
from toroids.errors import ParamsError, ToroidsError
from toroids.evaluation.batches import Data
from toroids.evaluation.evaluator import Evaluator
from toroids.evaluation.metrics import Metric, score
from toroids.evaluation.running import check_params, evaluation_mode, run, select_output
from toroids.evaluation.summary import Evaluation, joined, summarise
from toroids.landscape.recalibrate import batch_norms, recalibrate
from toroids.landscape.repair import repair
from toroids.params import Params, average
from toroids.symmetry.group import SymmetryGroup


def merge(
    group: SymmetryGroup,
    model: nn.Module,
    networks: Sequence[Params],
    data: Data | None = None,
    method: str = "descent",
    *,
    bias: bool = True,
    budget: float | None = None,
    batch_size: int = 4096,
    output_key: str | int | None = None,
    progress: Progress | None = None,
) -> CanonicalParams:
    """Makes one network of several: their aligned mean on the toroid.

    Args:
        group: the architecture's symmetry group.
        model: gives the architecture; it is left as it was.
        networks: two or more networks.
        data: training data. With it the statistics of batch norms are estimated anew, or, in a
            network without batch norms, pre-activations are given the statistics of the networks'
            (`repair`); targets are not looked at. Nothing of this when None.
        method: of alignment, as in `align_many`.
        bias: whether biases are coordinates of the spheres, as in `canonicalize`.
        budget: seconds for the alignment.
        batch_size: how many examples of a pair of tensors are run at once.
        output_key: which entry of a structured output holds the logits.
        progress: called with a text, the number of steps done, and of all steps (0: unknown).

    Returns:
        Parameters that load into `model`, with `.notes` on what was done.

    Raises:
        ParamsError: different architectures, or weights that are not finite.
        DataError: as in `recalibrate` and `repair`.
        ToroidsError: fewer than two networks, or an unknown method.
    """
    if len(networks) < 2:
        raise ToroidsError(f"there are {len(networks)} networks to merge; pass at least two.")
    check_params(model, networks[0], "the first network")
    many = align_many(group, networks, method, bias, budget=budget, progress=progress)
    notes: list[str] = []
    try:
        mean: Params = many.mean
        notes += many.mean.notes
    except ParamsError as error:
        mean = many.toroid.project(average(many.params))
        notes.append(f"the projected average instead of the mean on the toroid, for {error}")
    if data is None:
        return CanonicalParams(mean, tuple(notes))
    if batch_norms(model):
        notes.append("the statistics of batch norms were estimated anew")
        fixed = recalibrate(model, mean, data, batch_size=batch_size)
    else:
        notes.append("pre-activations were given the statistics of the networks")
        fixed = repair(model, mean, many.params, data, batch_size=batch_size, output_key=output_key)
    return CanonicalParams(fixed, tuple(notes))


def evaluate_ensemble(
    model: nn.Module,
    networks: Sequence[Params],
    data: Data,
    *,
    metric: str | Metric = "classification",
    batch_size: int = 4096,
    output_key: str | int | None = None,
) -> Evaluation:
    """Computes error and loss of the mean of several networks' class probabilities.

    Args:
        model: gives the architecture; it is left as it was.
        networks: one or more networks.
        data: a pair `(inputs, labels)` or an iterable of such batches.
        metric: as in `evaluate`; it is given logarithms of the mean probabilities.
        batch_size: how many examples of a pair of tensors are run at once.
        output_key: which entry of a structured output holds the logits.

    Returns:
        Error, loss and their standard errors.

    Raises:
        ParamsError: a network is not of the model's architecture or not finite.
        DataError: as in `evaluate`.
        ToroidsError: no networks.
    """
    if not networks:
        raise ToroidsError("there are no networks; pass one or more.")
    for number, network in enumerate(networks):
        check_params(model, network, f"network {number}")
    evaluator = Evaluator(model, data, metric=metric, batch_size=batch_size, output_key=output_key)
    check = getattr(evaluator.metric, "check", None)
    found = []
    with torch.no_grad(), evaluation_mode(model):
        for inputs, targets in evaluator.ready(networks[0]):
            outputs = [
                select_output(run(model, network, inputs), output_key) for network in networks
            ]
            if check is not None:
                check(outputs[0], targets)
            logs = torch.stack([x.log_softmax(dim=-1) for x in outputs])
            found.append(
                score(evaluator.metric, logs.logsumexp(dim=0) - math.log(len(networks)), targets)
            )
    return summarise(joined(found))
