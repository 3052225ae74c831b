"""The error landscape: what a network makes of some data, as a function of its weights.

    landscape: w -> error and loss of the model with weights w, on the data, by the metric.

What is bound once is held by one value, which every measure takes. The module only lends its
architecture: its own weights, buffers and mode are as before afterwards.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from toroids.arguments.checked import check_fields, checked_methods
from toroids.arguments.shown import shown
from toroids.errors import DataError, NotFiniteError, ToroidsError
from toroids.evaluation.batches import Batch, Data, Inputs, check_pair, map_inputs
from toroids.evaluation.metrics import (
    Metric,
    Scores,
    check_differentiable,
    metric_named,
    score,
)
from toroids.evaluation.prepared import Prepared, place_of
from toroids.evaluation.running import (
    Lent,
    check_params,
    owners_of,
    run,
    select_output,
)
from toroids.evaluation.summary import Evaluation, joined, summarise
from toroids.evaluation.temperature import WORDS, check_temperature, fitted, tenth
from toroids.params import Params, check_complete, check_floating, precise, rows
from toroids.result import Result

# What becomes of the statistics of batch norms between networks.
STATISTICS = ("recalibrate", "keep")


@runtime_checkable
class Manifold(Protocol):
    """Where canonical networks live: a `Toroid`, or of binary weights a `Hypercube`."""

    def check(self, params: Params, what: str = "the parameters") -> None:
        """Raises unless `params` is canonical."""

    def geodesic(self, a: Params, b: Params) -> Any:
        """Returns a shortest path from `a` to `b`."""


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class Landscape(Result):
    """Error and loss as a function of the weights of one architecture, on the same data.

    What does not depend on the weights is done once: the data is cut into batches, moved to the
    device and checked on the first call. `dataclasses.replace(landscape, data=test)` is the same
    landscape on other data.

    Attributes:
        model: gives the architecture; it is run in evaluation mode and left as it was.
        data: a pair `(inputs, targets)` with inputs of shape (n, ...) or a mapping of keyword
            arguments, or an iterable of such batches.
        on: the manifold of canonical networks, `td.Toroid(group)` or
            `td.geometry.Hypercube(group)`, for the measures that move on it; None where networks
            are taken as they stand.
        metric: "classification", "top-K" as "top-5", "next-token" (targets are the input tokens),
            "squared-error", or a function of outputs and targets that gives one number per
            example, or a pair (errors, losses) of these.
        training: the training data, by which statistics of batch norms and temperatures are
            estimated, bends trained and greedy orders chosen; `data` when None.
        statistics: of batch norms between networks: "recalibrate" estimates them anew, "keep"
            interpolates those of the networks.
        temperature: what the outputs are divided by: a positive number; "fit", for that of the
            lowest loss, at every network anew; or "tenth", for that at which the loss is a tenth
            of that of guessing. When None 1, but for measures that follow the slope of the loss,
            which say what they take.
        batch_size: how many examples of a pair of tensors are run at once.
        output_key: which entry of a tuple, a dict or a ModelOutput holds the logits.
        autocast: bfloat16 or float16 for mixed precision, None for the parameters' own.

    Raises:
        DataError: no examples, or data in another form.
        ParamsError: the model is no module, or has no shapes yet.
        ToroidsError: a field that is something else.

    Example:
        >>> import torch, toroids as td
        >>> models = [td.models.fully_connected([4, 8, 3], seed=seed) for seed in range(2)]
        >>> landscape = td.Landscape(models[0], (torch.randn(16, 4), torch.randint(3, (16,))))
        >>> [landscape(model.state_dict()).examples for model in models]
        [16, 16]
    """

    model: nn.Module
    data: Data = field(repr=False)
    _: KW_ONLY
    on: Manifold | None = None
    metric: str | Metric = "classification"
    training: Data | None = field(default=None, repr=False)
    statistics: str = "recalibrate"
    temperature: float | str | None = None
    batch_size: int = 1024
    output_key: str | int | None = None
    autocast: torch.dtype | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("data", "training"):  # a generator can be run through only once
            value: Any = getattr(self, name)
            if isinstance(value, Iterator):
                object.__setattr__(self, name, [check_pair(batch) for batch in value])
        if self.on is not None and not isinstance(self.on, Manifold):
            raise ToroidsError(
                f"`on` is {shown(self.on)}; pass td.Toroid(group) or td.geometry.Hypercube(group), "
                "or None."
            )
        if self.statistics not in STATISTICS:
            raise ToroidsError(
                f"there are no statistics {self.statistics!r}; choose from {STATISTICS}."
            )
        if self.temperature not in (None, *WORDS):
            check_temperature(self.temperature)
        if self.autocast not in (None, torch.bfloat16, torch.float16):
            raise ToroidsError(
                f"autocast is {self.autocast!r}; pass torch.bfloat16, torch.float16, or None."
            )
        for name in ("_scoring", "_prepared", "calibration"):
            getattr(self, name)  # what is wrong in them is said now

    @cached_property
    def _scoring(self) -> Metric:
        return metric_named(self.metric)

    @cached_property
    def _prepared(self) -> Prepared:
        return Prepared(self.data, self.batch_size)

    @cached_property
    def _lent(self) -> Lent:
        return Lent(self.model)

    def evaluation_mode(self) -> AbstractContextManager[None]:
        """Puts the model in evaluation mode; afterwards it is as it was."""
        return self._lent.evaluation_mode()

    @cached_property
    def calibration(self) -> "Landscape":
        """The same landscape on the training data; itself where there are no others."""
        if self.training is None:
            return self
        return replace(self, data=self.training, training=None)

    @property
    def repeats(self) -> bool:
        """Whether the examples come in the same order every time; a loader may shuffle."""
        return self._prepared.repeats

    def __call__(self, params: Params) -> Evaluation:
        """Computes error and loss of a network.

        Args:
            params: parameters and buffers by name, as `model.state_dict()` gives them; they say on
                which device and in which precision the network runs.

        Returns:
            Error, loss and their standard errors.

        Raises:
            ParamsError: names or shapes that are not the model's; NaN or infinite weights.
            DataError: labels that are not classes of the network, inputs that the model cannot run
                on, outputs that are not finite, or a metric that does not give one number per
                example.
        """
        check_params(self.model, params)
        return self.measure(params)

    def measure(self, params: Params, temperature: float | None = None) -> Evaluation:
        """Computes error and loss of `params`, whose names, shapes and values are trusted."""
        return summarise(self.scores(params, temperature))

    @torch.no_grad()
    def scores(self, params: Params, temperature: float | None = None) -> Scores:
        """Computes error, loss and weight of every example, in the order of the data.

        Args:
            params: parameters and buffers, whose names, shapes and values are trusted.
            temperature: what the outputs are divided by; the landscape's own when None.

        Returns:
            Tensors of shape (n,) in float64, on the device of the parameters.

        Raises:
            NotFiniteError: outputs that are NaN or infinite.
            DataError: as for a call.
            ToroidsError: a temperature that is not positive.
        """
        divisor = self._divisor(params, temperature)
        found, undefined = [], []
        with self.evaluation_mode():
            for outputs, targets in self.outputs(params):
                scaled = outputs if divisor == 1 else outputs / divisor
                found.append(self.score(scaled, targets))
                # minus infinity is a mask, anything else that is not finite has no largest logit
                bad = rows(outputs.isnan() | outputs.isposinf())
                undefined.append(bad.any(dim=1).sum())
        scores = joined(found)
        examples = len(scores.errors)
        if count := int(torch.stack(undefined).sum()):
            raise NotFiniteError(
                f"the outputs are NaN or infinite on {count} of {examples} examples; look "
                "for NaN in the inputs and for weights, or noise, that overflow the precision."
            )
        return scores

    def fit_temperature(self, params: Params) -> float:
        """Finds the temperature by which the outputs have to be divided for the lowest loss.

        A canonical classifier has lost the scale of its logits, on which its loss depends; the
        temperature gives it back, on training data.

        Args:
            params: parameters and buffers by name.

        Returns:
            The temperature to about a percent, between 2^-20 (where nothing is wrong) and 2^20.

        Raises:
            ParamsError: as for a call.
            DataError: as for a call.

        Example:
            >>> import torch, toroids as td
            >>> model = td.models.fully_connected([2, 8, 3], seed=0)
            >>> inputs = torch.randn(64, 2)
            >>> labels = (8 * model(inputs)).softmax(dim=1).multinomial(1).flatten()
            >>> landscape, params = td.Landscape(model, (inputs, labels)), model.state_dict()
            >>> found = landscape.fit_temperature(params)
            >>> loss = lambda t: landscape.measure(params, t).loss
            >>> loss(found) <= min(loss(0.8 * found), loss(1.25 * found))
            True
        """
        check_params(self.model, params)
        return self.temperature_at(params, "fit")

    def temperature_at(self, params: Params, word: float | str | None = None) -> float:
        """Finds what the outputs of a network are divided by.

        Args:
            params: parameters and buffers, whose names, shapes and values are trusted.
            word: a temperature, as the field; the landscape's own when None.

        Returns:
            The temperature, estimated on the training data where it is a word.
        """
        word = self.temperature if word is None else word
        if word not in WORDS:
            return 1.0 if word is None else check_temperature(word)
        known = self.calibration
        lowest = None
        if word == "fit" or known.measure(params, 1.0).error > 0:
            lowest = fitted(lambda factors: known._losses(params, factors))
            if word == "fit":
                return lowest
        return tenth(lambda divisor: known.measure(params, divisor).loss, lowest)

    @torch.no_grad()
    def _losses(self, params: Params, factors: Sequence[float]) -> list[float]:
        """The summed loss of outputs that are multiplied by each of several factors."""
        losses = [0.0] * len(factors)
        with self.evaluation_mode():
            for outputs, targets in self.outputs(params):
                for number, factor in enumerate(factors):
                    scores = self.score(outputs * factor, targets)
                    losses[number] += float(precise(scores.losses).sum())
        return losses

    def gradient(
        self, params: Params, temperature: float | None = None
    ) -> tuple[float, dict[str, Tensor]]:
        """Computes the mean loss and its gradient.

        Args:
            params: parameters and buffers, whose names, shapes and values are trusted.
            temperature: what the outputs are divided by; the landscape's own when None.

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
        divisor = self._divisor(params, temperature)
        leaves = {n: params[n].detach().clone().requires_grad_() for n in set(owners.values())}
        lent = {**params, **{name: leaves[owner] for name, owner in owners.items()}}
        total, weight = 0.0, 0.0
        with self.evaluation_mode(), torch.enable_grad():
            for outputs, targets in self.outputs(lent):
                scores = self.score(outputs / divisor, targets)
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

    def batch_loss(self, params: Params, batch: Batch, temperature: float) -> Tensor:
        """Computes the mean loss of one batch, of which gradients can be taken.

        Args:
            params: parameters and buffers, trusted; the model is in the mode that is meant.
            batch: inputs and targets, where and as the parameters are.
            temperature: what the outputs are divided by.

        Returns:
            A number.

        Raises:
            DataError: a metric whose loss has no gradient.
        """
        inputs, targets = batch
        outputs = self.output(params, inputs)
        scores = self.score(outputs if temperature == 1 else outputs / temperature, targets)
        assert scores.weights is not None  # filled in where the metric gives none
        loss = scores.losses.sum() / scores.weights.sum()
        check_differentiable(loss)
        return loss

    def minibatches(
        self, params: Params, count: int, generator: torch.Generator
    ) -> Iterator[Batch]:
        """Draws mini-batches without end; what is no pair is gone through batch by batch.

        Args:
            params: say where the network runs, and in which precision.
            count: examples of a mini-batch, about.
            generator: of the draws, on the CPU.

        Yields:
            Inputs and targets.
        """
        while self.repeats:
            for inputs, targets in self.ready(params):
                order = torch.randperm(len(targets), generator=generator).to(targets.device)
                for some in order.tensor_split(max(len(targets) // count, 1)):
                    yield map_inputs(lambda x, some=some: x[some], inputs), targets[some]
        while True:
            yield from self.ready(params)

    def ready(self, params: Params) -> Iterator[Batch]:
        """Yields the batches on the device, and in the precision, of the parameters.

        Raises:
            DataError: there are none.
        """
        batch = None
        for batch in self._prepared.ready(params):
            yield batch
        if batch is None:
            raise DataError("the data holds no examples; pass at least one.")

    def output(self, params: Params, inputs: Inputs) -> Tensor:
        """Runs the model, in the mode that it is in, and picks the logits."""
        with self._mixed(params):
            return select_output(run(self.model, params, inputs), self.output_key)

    def outputs(self, params: Params) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields outputs and targets of every batch, checked where they are new."""
        seen = self._prepared.is_seen(params)
        for inputs, targets in self.ready(params):
            outputs = self.output(params, inputs)
            if not seen:
                self.check(outputs, targets)
            yield outputs, targets
        self._prepared.mark_seen(params)

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Raises unless outputs and targets of a batch are what the metric compares."""
        check = getattr(self._scoring, "check", None)
        if check is not None:
            check(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> Scores:
        """Applies the metric to outputs and targets of a batch, which are trusted."""
        return score(self._scoring, outputs, targets)

    def _mixed(self, params: Params) -> AbstractContextManager[object]:
        """Mixed precision where it was asked for."""
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(place_of(params)[0].type, self.autocast)

    def _divisor(self, params: Params, temperature: float | None) -> float:
        if temperature is None:
            return self.temperature_at(params)
        return check_temperature(temperature)
