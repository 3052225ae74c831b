"""Errors and losses of many networks on the same data, their parameters passed as data.

The module only lends its architecture: its own weights, buffers and mode are as before afterwards.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from toroids.arguments import checked_methods
from toroids.errors import DataError, NotFiniteError, ParamsError, ToroidsError
from toroids.evaluation.batches import Batch, Data, Inputs, batches, check_pair, to_place
from toroids.evaluation.metrics import (
    Metric,
    Scores,
    check_differentiable,
    metric_named,
    score,
)
from toroids.evaluation.running import check_module, evaluation_mode, owners_of, run, select_output
from toroids.evaluation.summary import Evaluation, joined, summarise
from toroids.params import Params, check_complete, check_floating, precise

# Networks of at most so many entries are run together on a GPU, which one of them would not fill.
SMALL, TOGETHER = 2**22, 32
# Inverse temperatures are looked for up to this power of two in both directions: where nothing is
# wrong the best one is infinite, where everything is it is zero.
DOUBLINGS = 20
# Of inverse temperatures that are tried in one pass over the data, and passes: every pass narrows
# the range to two of its steps, the last one to less than a percent.
TRIED, PASSES = 21, 3


@checked_methods
class Evaluator:
    """Evaluates many parameter sets of one architecture on the same data.

    What does not depend on the parameters is done once: the data is cut into batches, moved to
    the device and checked on the first call.

    Example:
        >>> import torch, toroids as td
        >>> models = [td.models.fully_connected([4, 8, 3], seed=seed) for seed in range(2)]
        >>> evaluator = td.Evaluator(models[0], (torch.randn(16, 4), torch.randint(3, (16,))))
        >>> [evaluator(model.state_dict()).examples for model in models]
        [16, 16]
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        *,
        metric: str | Metric = "classification",
        batch_size: int = 1024,
        output_key: str | int | None = None,
        autocast: torch.dtype | None = None,
        together: int | None = None,
    ) -> None:
        """Prepares `data` for `model`; see `evaluate` for the other arguments.

        Args:
            model: gives the architecture.
            data: as in `evaluate`.
            metric: as in `evaluate`.
            batch_size: as in `evaluate`.
            output_key: as in `evaluate`.
            autocast: as in `evaluate`.
            together: how many networks `many` runs at once; when None one on a CPU, where a loop
                is faster, and 32 small ones on a GPU.
        """
        check_module(model)
        if autocast not in (None, torch.bfloat16, torch.float16):
            raise ToroidsError(
                f"autocast is {autocast!r}; pass torch.bfloat16, torch.float16, or None."
            )
        self.model = model
        self.output_key = output_key
        self.metric = metric_named(metric)
        self._autocast = autocast
        self._together = together
        self._batches = batches(data, batch_size)
        self._place: tuple[torch.device, torch.dtype] | None = None
        self._checked: tuple[torch.device, torch.dtype] | None = None

    @property
    def repeats(self) -> bool:
        """Whether the examples come in the same order every time; a loader may shuffle."""
        return isinstance(self._batches, list)

    def __call__(self, params: Params, temperature: float = 1.0) -> Evaluation:
        """Computes error and loss of `params`, whose names, shapes and values are trusted."""
        return summarise(self.scores(params, temperature))

    @torch.no_grad()
    def scores(self, params: Params, temperature: float = 1.0) -> Scores:
        """Computes error, loss and weight of every example, in the order of the data.

        Args:
            params: parameters and buffers, whose names, shapes and values are trusted.
            temperature: what the outputs are divided by.

        Returns:
            Tensors of shape (n,) in float64, on the device of the parameters.

        Raises:
            NotFiniteError: outputs that are NaN or infinite.
            DataError: as in `evaluate`.
            ToroidsError: a temperature that is not positive.
        """
        if isinstance(temperature, str) or not 0 < temperature < math.inf:
            raise ToroidsError(f"the temperature is {temperature!r}; pass a positive number.")
        found, undefined = [], []
        with evaluation_mode(self.model):
            for outputs, targets in self._outputs(params):
                scaled = outputs if temperature == 1 else outputs / temperature
                found.append(score(self.metric, scaled, targets))
                # minus infinity is a mask, anything else that is not finite has no largest logit
                bad = (outputs.isnan() | outputs.isposinf()).flatten(start_dim=1)
                undefined.append(bad.any(dim=1).sum())
        scores = joined(found)
        examples = len(scores.errors)
        if count := int(torch.stack(undefined).sum()):
            raise NotFiniteError(
                f"the outputs are NaN or infinite on {count} of {examples} examples; look "
                "for NaN in the inputs and for weights, or noise, that overflow the precision."
            )
        return scores

    def together(self, params: Params) -> int:
        """How many networks like `params` are best run at once."""
        if self._together is not None:
            return self._together
        small = sum(tensor.numel() for tensor in params.values()) <= SMALL
        return TOGETHER if small and place_of(params)[0].type == "cuda" else 1

    def many(self, networks: Sequence[Params], temperature: float = 1.0) -> list[Evaluation]:
        """Evaluates several networks, at once where that is faster.

        Args:
            networks: parameters and buffers, placed alike, whose names, shapes and values are
                trusted.
            temperature: what the outputs are divided by.

        Returns:
            One evaluation each; up to rounding what calls one by one give.

        Raises:
            NotFiniteError: outputs of a network that are NaN or infinite.
            DataError: as in `evaluate`.
            ToroidsError: a temperature that is not positive.
        """
        size = self.together(networks[0]) if networks else 1
        found: list[Evaluation] = []
        for start in range(0, len(networks), size):
            some = networks[start : start + size]
            scores = self._at_once(some, temperature) if len(some) > 1 and size > 1 else None
            if scores is None:
                found += [self(network, temperature) for network in some]
            else:
                found += [summarise(each) for each in scores]
        return found

    @torch.no_grad()
    def _at_once(self, networks: Sequence[Params], temperature: float) -> list[Scores] | None:
        """Scores of every network from one batched run; None where the model does not take it."""
        stacked = {name: torch.stack([x[name] for x in networks]) for name in networks[0]}
        count, parts = len(networks), []
        self(networks[0], temperature)  # checks data and temperature
        with evaluation_mode(self.model):
            for inputs, targets in self.ready(networks[0]):

                def outputs_of(params: Params, inputs: Inputs = inputs) -> Tensor:
                    return select_output(run(self.model, params, inputs), self.output_key)

                with self._mixed(networks[0]):
                    try:
                        outputs = torch.vmap(outputs_of)(stacked)
                    except (DataError, RuntimeError, ValueError):  # not every operator is batched
                        self._together = 1
                        return None
                flat = outputs.flatten(end_dim=1) / temperature
                scores = score(self.metric, flat, targets.repeat(count, *[1] * (targets.ndim - 1)))
                parts.append(
                    [
                        precise(value).view(count, -1)
                        for value in (scores.errors, scores.losses, scores.weights)
                        if value is not None
                    ]
                )
                if not bool(torch.isfinite(outputs).all()):
                    return None  # one by one, the message names what is wrong
        joined_ = [torch.cat(columns, dim=1) for columns in zip(*parts, strict=True)]
        return [Scores(*(column[number] for column in joined_)) for number in range(count)]

    def _mixed(self, params: Params) -> AbstractContextManager[object]:
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(place_of(params)[0].type, self._autocast)

    @torch.no_grad()
    def fit_temperature(self, params: Params) -> float:
        """Finds the temperature of the lowest loss; see the function of this name."""
        low, high = -float(DOUBLINGS), float(DOUBLINGS)
        best = 0.0
        for _ in range(PASSES):
            powers = torch.linspace(low, high, TRIED).tolist()
            losses = [0.0] * TRIED
            with evaluation_mode(self.model):
                for outputs, targets in self._outputs(params):
                    for number, power in enumerate(powers):
                        scores = score(self.metric, outputs * 2.0**power, targets)
                        losses[number] += float(precise(scores.losses).sum())
            if not all(map(math.isfinite, losses)):
                raise NotFiniteError(
                    "the loss is NaN or infinite; look for NaN in the inputs and for weights that "
                    "overflow the precision."
                )
            chosen = min(range(TRIED), key=losses.__getitem__)
            best = powers[chosen]
            low, high = powers[max(chosen - 1, 0)], powers[min(chosen + 1, TRIED - 1)]
        return float(2.0**-best)

    def gradient(self, params: Params, temperature: float = 1.0) -> tuple[float, dict[str, Tensor]]:
        """Computes the mean loss and its gradient.

        Args:
            params: parameters and buffers, whose names, shapes and values are trusted.
            temperature: what the outputs are divided by.

        Returns:
            The loss, and for every parameter a tensor of its shape. Names that share one
            parameter of the model, as tied weights do, have one gradient, the sum over its uses.

        Raises:
            ParamsError: parameters of the model that are missing, or no real numbers.
            DataError: no examples, or a loss that is not finite or has no gradient.
        """
        owners = owners_of(self.model)
        check_complete(params, owners.values())
        check_floating(params, owners.values())
        leaves = {n: params[n].detach().clone().requires_grad_() for n in set(owners.values())}
        lent = {**params, **{name: leaves[owner] for name, owner in owners.items()}}
        total, weight = 0.0, 0.0
        with evaluation_mode(self.model), torch.enable_grad():
            for outputs, targets in self._outputs(lent):
                scores = score(self.metric, outputs / temperature, targets)
                loss = scores.losses.sum()
                check_differentiable(loss)
                loss.backward()  # type: ignore[no-untyped-call]
                total += float(loss.detach())
                weight += float(precise(scores.weights).sum()) if scores.weights is not None else 0
        if weight == 0:
            raise DataError("the data holds no examples; pass at least one.")
        if not math.isfinite(total):
            raise NotFiniteError(
                f"the loss is {total}; look for NaN in the inputs and for weights that overflow."
            )
        zero = torch.zeros(())
        gradients = {
            name: zero.to(leaf).expand(leaf.shape) if leaf.grad is None else leaf.grad / weight
            for name, leaf in leaves.items()
        }
        return total / weight, {name: gradients[owner] for name, owner in owners.items()}

    def ready(self, params: Params) -> Iterator[Batch]:
        """Yields the batches on the device, and in the precision, of the parameters."""
        place = place_of(params)
        if not isinstance(self._batches, list):  # a loader may give other batches every time
            yield from (to_place(check_pair(batch), *place) for batch in self._batches)
            return
        if self._place != place:
            self._batches = [to_place(check_pair(batch), *place) for batch in self._batches]
            self._place = place
        yield from self._batches

    def _outputs(self, params: Params) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields outputs and targets of every batch, checked where they are new."""
        check = getattr(self.metric, "check", None)
        place = place_of(params)
        seen = self._checked == place and isinstance(self._batches, list)
        for inputs, targets in self.ready(params):
            with self._mixed(params):
                outputs = select_output(run(self.model, params, inputs), self.output_key)
            if check is not None and not seen:
                check(outputs, targets)
            yield outputs, targets
        self._checked = place


def place_of(params: Params) -> tuple[torch.device, torch.dtype]:
    """Finds the device and the precision in which a network runs.

    Args:
        params: parameters and buffers by name.

    Returns:
        Those of its first floating tensor.

    Raises:
        ParamsError: no tensor has a precision.
    """
    for tensor in params.values():
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    raise ParamsError("the parameters hold no floating-point tensor; pass a model's state dict.")
