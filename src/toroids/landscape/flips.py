"""Error and loss of a network with binary weights while single weights flip.

    w_ij -> -w_ij :  z_i -> z_i - 2 w_ij x_j   for all examples,

and only where sign(z_i) changes does a next layer see it: of 1000 examples with 784 inputs that is
one in 70. A forward pass computes all of them, and all units.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from toroids.arguments.checked import checked, checked_methods
from toroids.binary.weights import BinaryWeights, check_positions
from toroids.errors import ToroidsError
from toroids.evaluation.batches import Batch, Data, batches
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.metrics import Classification, Scores
from toroids.evaluation.running import check_params, owners_of
from toroids.evaluation.summary import Evaluation, joined, summarise
from toroids.landscape.sequence import is_sequence, staged
from toroids.landscape.stages import LinearStage, Stage, flip_, replaced
from toroids.params import Params, precise

Positions: TypeAlias = Tensor | Sequence[int] | int
# Numbers that candidate flips may take at once, 64 MiB in float32.
AT_ONCE = 2**24


@checked_methods
class FlipEvaluator:
    """Error and loss of one network, kept up to date while its binary weights flip.

    Networks in sequence keep the sums of all layers for all examples: a flip of one weight costs
    what it changes, many at once at most about a forward pass. Binary linear layers with norms,
    scales and activations between them are followed unit by unit; any other layer is run anew on
    the examples that reach it. A model that is not an `nn.Sequential`, that uses a layer twice, or
    whose layers mix examples is evaluated as a whole after every flip. What is kept takes the
    memory of all inputs and outputs of all layers, for all examples at once.

    The numbers are those of `evaluate` in the precision of the parameters, up to its rounding:
    sums of signs are exact here and there, all others are kept in float64 here.

    Attributes:
        weights: names and shapes of the binary tensors, in the order of flat positions.
        incremental: whether flips cost less than a whole evaluation.
    """

    def __init__(
        self, model: nn.Module, params: Params, data: Data, *, batch_size: int = 1024
    ) -> None:
        """Runs the network once.

        Args:
            model: gives the architecture; it is left as it was.
            params: parameters and buffers by name, binary weights and biases -1 and +1; they are
                copied.
            data: as in `evaluate`; an iterable is run through once and kept.
            batch_size: how many examples are run at once where the model is evaluated as a whole.

        Raises:
            ParamsError: names or shapes that are not the model's, weights that are not finite, or
                binary weights that are not -1 or +1.
            DataError: as in `evaluate`.
            ToroidsError: the model has no binary weights.

        Example:
            >>> import torch, toroids as td
            >>> model = td.models.binary_fully_connected([5, 3, 2])
            >>> params = {name: td.binary.sign.sign(v) for name, v in model.state_dict().items()}
            >>> data = (torch.randn(8, 5), torch.arange(8) % 2)
            >>> network = FlipEvaluator(model, params, data)
            >>> network.flip("hidden1.weight", [0, 7])
            >>> network.error == td.evaluate(model, network.params, data).error
            True
        """
        check_params(model, params)
        self.weights = BinaryWeights.of(model)
        self.weights.check(params)
        contiguous = torch.contiguous_format  # flips go by flat positions
        self._params = {n: t.detach().clone(memory_format=contiguous) for n, t in params.items()}
        self._first_names = owners_of(model)
        known = Landscape(model, list(batches(data, batch_size)))
        self._landscape = Landscape(model, list(known.ready(self._params)))
        # checks the data, and keeps the scores of a model that is evaluated as a whole
        self._scores: Scores | None = self._landscape.scores(self._params)
        self._stages: list[Stage] = []
        self._owners: dict[str, tuple[Stage, str]] = {}
        with torch.no_grad():
            self._prepare(model, list(self._landscape.ready(self._params)))

    @property
    def incremental(self) -> bool:
        """Whether the network is followed layer by layer."""
        return bool(self._stages)

    @property
    def params(self) -> dict[str, Tensor]:
        """A copy of the current parameters and buffers."""
        return {name: tensor.clone() for name, tensor in self._params.items()}

    @property
    def error(self) -> float:
        """The current error, as `evaluate` computes it."""
        return float(self._current().errors.mean())

    @property
    def loss(self) -> float:
        """The current loss, as `evaluate` computes it."""
        return float(self._current().losses.mean())

    def evaluation(self) -> Evaluation:
        """Error and loss as `evaluate` computes them on the current parameters."""
        return summarise(self._current())

    def flip(self, name: str, positions: Positions) -> None:
        """Changes the signs of entries of one binary tensor.

        Args:
            name: of a binary weight or bias.
            positions: in the tensor, counted row by row: w[i, j] of (outputs, inputs) is at
                i inputs + j. An entry that is named twice flips twice, and so stays.

        Raises:
            ToroidsError: the name is not that of a binary tensor, or a position is out of range.
        """
        self._apply({name: self._checked(name, positions)})

    def flip_at(self, positions: Positions) -> None:
        """Changes the signs of entries of any binary tensors, all of them in one pass.

        Args:
            positions: in the concatenation of all binary tensors, in the order of `weights`.

        Raises:
            ToroidsError: a position out of range.
        """
        split = self.weights.split(positions)
        self._apply({name: at.to(self._params[name].device) for name, at in split.items()})

    @torch.no_grad()
    def errors_if(self, name: str, positions: Positions) -> Tensor:
        """Computes the error that each of several single flips would give; none is kept.

        Args:
            name: of a binary weight or bias.
            positions: candidates, (k,), as in `flip`.

        Returns:
            Shape (k,), float64, on the device of the parameters: up to the rounding of a mean what
            `error` would be.

        Raises:
            ToroidsError: as in `flip`.
        """
        at = self._checked(name, positions)
        stage, parameter = self._owners.get(name, (None, ""))
        if not isinstance(stage, LinearStage):
            errors = [self._error_if(name, position) for position in at]
            return torch.tensor(errors, dtype=torch.float64, device=at.device)
        examples = len(stage.outputs)
        parts = torch.split(at, max(1, AT_ONCE // 8 // examples))
        added = [self._added_errors(stage, parameter, part) for part in parts]
        wrong = self._current().errors.sum()
        return (wrong + torch.cat([wrong.new_zeros(0), *added])) / examples

    def _prepare(self, model: nn.Module, data: list[Batch]) -> None:
        """Builds the stages, if the model allows it."""
        if not is_sequence(model) or not all(isinstance(x, Tensor) for x, _ in data):
            return
        device = next(iter(self._params.values())).device
        own = copy.deepcopy(model).to(device).eval()
        own.load_state_dict(self._params, assign=True)  # the same memory: a flip reaches both
        inputs = torch.cat([x for x, _ in data if isinstance(x, Tensor)])
        if (stages := staged(own, inputs)) is None:
            return
        names = {id(parameter): name for name, parameter in own.named_parameters()}
        for stage in stages:
            for name, parameter in stage.module.named_parameters():
                self._owners[names[id(parameter)]] = (stage, name)
        self._stages, self._targets = stages, torch.cat([targets for _, targets in data])
        self._rescore(None)

    @torch.no_grad()
    def _apply(self, flips: Mapping[str, Tensor]) -> None:
        odd = {name: found for name, at in flips.items() if len(found := _odd(at))}
        for name, at in odd.items():
            for alias in (n for n, first in self._first_names.items() if first == name):
                flip_(self._params[alias], at)
        if not self.incremental:
            self._scores = None if odd else self._scores
            return
        change = None
        for stage in self._stages:
            own = {self._owners[n][1]: at for n, at in odd.items() if self._owners[n][0] is stage}
            if own or change is not None:
                change = stage.update(own, change)
        if change is not None:
            self._rescore(change.rows)

    def _rescore(self, rows: Tensor | None) -> None:
        if rows is None:
            self._scores = joined([self._score(self._stages[-1].outputs, self._targets)])
            return
        scores = self._current()
        new = self._score(self._stages[-1].outputs[rows], self._targets[rows])
        scores.errors[rows], scores.losses[rows] = precise(new.errors), precise(new.losses)

    def _score(self, logits: Tensor, targets: Tensor) -> Scores:
        found = Classification()(logits, targets)
        return Scores(found.errors, found.losses, torch.ones_like(found.losses))

    def _current(self) -> Scores:
        if self._scores is None:
            self._scores = self._landscape.scores(self._params)
        return self._scores

    def _checked(self, name: str, positions: Positions) -> Tensor:
        if name not in self.weights.names:
            raise ToroidsError(
                f"`{name}` is no binary tensor of the model; choose from "
                f"{', '.join(self.weights.names)}."
            )
        entries = self._params[name].numel()
        return check_positions(positions, entries, f"`{name}`").to(self._params[name].device)

    def _error_if(self, name: str, position: Tensor) -> float:
        self.flip(name, position)
        error = self.error
        self.flip(name, position)
        return error

    def _added_errors(self, stage: LinearStage, parameter: str, at: Tensor) -> Tensor:
        """How many more examples are wrong after each candidate (k,)."""
        units, new = stage.flipped(parameter, at)
        rows, candidates = (new != stage.outputs.index_select(1, units)).nonzero(as_tuple=True)
        widest = max(s.outputs[0].numel() for s in self._stages[self._stages.index(stage) :])
        added = torch.zeros(len(at), dtype=torch.float64, device=at.device)
        pairs = torch.arange(len(rows), device=rows.device)
        for some in torch.split(pairs, max(1, AT_ONCE // widest)):
            row, which = rows[some], candidates[some]
            logits = self._peek(stage, row, units[which], new[row, which])
            wrong = precise(self._score(logits, self._targets[row]).errors)
            added.index_add_(0, which, wrong - self._current().errors[row])
        return added

    def _peek(self, stage: LinearStage, rows: Tensor, units: Tensor, values: Tensor) -> Tensor:
        """Logits (k, classes) of examples in each of which one output of a stage is changed."""
        columns: Tensor | None = units
        for later in self._stages[self._stages.index(stage) + 1 :]:
            values, columns = later.peek(rows, columns, values), None
        return values if columns is None else replaced(stage.outputs[rows], columns, values)


@checked
def flip_curve(network: FlipEvaluator, order: Positions, every: int = 1) -> list[Evaluation]:
    """Evaluates a network at the start of a path of flips and after every few of them.

    Args:
        network: at the start of the path; it is left at its end.
        order: what flips, one after the other: flat positions in `network.weights`.
        every: how many flips come between two evaluations.

    Returns:
        1 + ceil(flips / every) evaluations: before any flip, after `every`, ..., after all.

    Raises:
        ToroidsError: a position out of range, or fewer than one flip between evaluations.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.binary_perceptron(5)
        >>> params = {"hidden.weight": torch.ones(1, 5)}
        >>> network = FlipEvaluator(model, params, (torch.ones(1, 5), torch.ones(1).long()))
        >>> [point.error for point in flip_curve(network, [0, 1, 2, 3, 4], every=2)]
        [0.0, 0.0, 1.0, 1.0]
    """
    if every < 1:
        raise ToroidsError(f"there are {every} flips between evaluations; pass 1 or more.")
    at = check_positions(order, network.weights.entries, "the binary weights")
    found = [network.evaluation()]
    for block in torch.split(at, every) if len(at) else ():
        network.flip_at(block)
        found.append(network.evaluation())
    return found


def _odd(positions: Tensor) -> Tensor:
    """The positions that are named an odd number of times."""
    if len(positions) < 2:
        return positions
    found, counts = torch.unique(positions, return_counts=True)
    odd: Tensor = found[counts % 2 == 1]
    return odd
