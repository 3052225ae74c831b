"""Several networks in one batched run, where that is faster than one after the other."""

from collections.abc import Sequence
from weakref import WeakSet

import torch
from torch import Tensor, nn

from toroids.errors import DataError
from toroids.evaluation.batches import Inputs
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import Scores
from toroids.evaluation.prepared import place_of
from toroids.evaluation.summary import Evaluation, summarise
from toroids.evaluation.temperature import WORDS
from toroids.params import Params, precise

# Networks of at most so many entries are run together on a GPU, which one of them would not fill.
SMALL, TOGETHER = 2**22, 32
# Those whose operators are not all batched.
_alone: WeakSet[nn.Module] = WeakSet()


def at_once(params: Params) -> int:
    """Tells how many networks like `params` are best run together.

    Args:
        params: parameters and buffers by name.

    Returns:
        One on a CPU, where a loop is faster, and 32 small ones on a GPU.
    """
    small = sum(tensor.numel() for tensor in params.values()) <= SMALL
    return TOGETHER if small and place_of(params)[0].type == "cuda" else 1


def evaluate_many(
    landscape: Landscape, networks: Sequence[Params], temperature: float | None = None
) -> list[Evaluation]:
    """Evaluates several networks, together where that is faster.

    Args:
        landscape: of their model.
        networks: parameters and buffers, placed alike, whose names, shapes and values are trusted.
        temperature: what the outputs are divided by; the landscape's own when None.

    Returns:
        One evaluation each; up to rounding what calls one by one give.

    Raises:
        NotFiniteError: outputs of a network that are NaN or infinite.
        DataError: as for a call of the landscape.
        ToroidsError: a temperature that is not positive.
    """
    each_its_own = temperature is None and landscape.temperature in WORDS
    found: list[Evaluation] = []
    size = at_once(networks[0]) if networks and not each_its_own else 1
    for start in range(0, len(networks), size):
        some = networks[start : start + size]
        together = len(some) > 1 and landscape.model not in _alone
        scores = _scores(landscape, some, temperature) if together else None
        if scores is None:
            found += [landscape.measure(network, temperature) for network in some]
        else:
            found += [summarise(each) for each in scores]
    return found


@torch.no_grad()
def _scores(
    landscape: Landscape, networks: Sequence[Params], temperature: float | None
) -> list[Scores] | None:
    """Scores of every network from one batched run; None where the model does not take it."""
    first, count, parts = networks[0], len(networks), []
    landscape.measure(first, temperature)  # checks data and temperature
    divisor = landscape.temperature_at(first, temperature)
    stacked = {name: torch.stack([network[name] for network in networks]) for name in first}
    with landscape.evaluation_mode():
        for inputs, targets in landscape.ready(first):

            def outputs_of(params: Params, inputs: Inputs = inputs) -> Tensor:
                return landscape.output(params, inputs)

            try:
                outputs = torch.vmap(outputs_of)(stacked)
            except (DataError, RuntimeError, ValueError):  # not every operator is batched
                _alone.add(landscape.model)
                return None
            flat = outputs.flatten(end_dim=1) / divisor
            scores = landscape.score(flat, targets.repeat(count, *[1] * (targets.ndim - 1)))
            parts.append(
                [
                    precise(value).view(count, -1)
                    for value in (scores.errors, scores.losses, scores.weights)
                    if value is not None
                ]
            )
            if not bool(torch.isfinite(outputs).all()):
                return None  # one by one, the message names what is wrong
    columns = [torch.cat(column, dim=1) for column in zip(*parts, strict=True)]
    return [Scores(*(column[number] for column in columns)) for number in range(count)]
