"""Stochastic belief-propagation-inspired learning: integer hidden states, one example at a time."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from toroids.arguments.checked import checked_methods
from toroids.evaluation.batches import TensorPair
from toroids.settings import Count, Fraction, Seconds, check_settings
from toroids.solvers.solver import Solver
from toroids.solvers.training import MakeModel, Trained
from toroids.solvers.votes import Votes

# Hidden states reach so many square roots of the inputs of a unit: with fewer, patterns near
# capacity keep undoing each other.
STATES = 3
# Share of an input by which rounding may move a sum of normalised inputs.
ROUNDING = 1e-3


@checked_methods
@dataclass(frozen=True, kw_only=True)
class SBPI(Solver):
    r"""Finds binary weights of a perceptron or of a committee by an on-line rule.

    Every weight is the sign of a hidden state h, an odd integer that stays in [-S, S]. Examples
    come one by one, in a new order in every epoch; with x already times the label of the example,
    a sum s_k = sum_i sign(h_ki) x_i and the threshold T:

        wrong:             h_ki <- h_ki + 2 sign(x_i) for the units that have to change;
        right but barely:  with probability p the same for the units that barely carry the decision,
                           only where h_ki x_i > 0, so that no weight changes;
        right otherwise:   nothing.

    A perceptron has to change where s <= 0, and is barely right where 0 < s <= T: this is the
    published rule. A committee that is v votes short of its majority changes, of its wrong units,
    the v whose sums are nearest to zero (least action); one that is right by a single vote is
    barely right by each of its right units with s_k <= T. With K = 1 both are the same. The
    generalisation is ours; it inherits no result of the published one. The rule is for inputs of
    -1 and +1; of real inputs |x_i| / max_j |x_j| is the probability with which weight i takes part.

    On random patterns its solutions are sharper than those of `FocusingBP`. There is no
    checkpoint: a run takes seconds to minutes. The learning rates and the gradient steps of the
    history are 0.

    Attributes:
        budget: epochs at most.
        states: S, the largest hidden state, rounded up to an odd number; when None three times the
            square root of a unit's inputs.
        threshold: T, in units of the root mean square of the inputs: with 1, a perceptron with an
            odd number of inputs of -1 and +1 is barely right where one flip makes it wrong.
        probability: p, in [0, 1].
        seconds: wall time after which the training ends with the epoch it is in; None: no limit.

    Example:
        >>> import toroids as td
        >>> data = td.data.patterns(inputs=101, density=0.2, binary=True).train
        >>> make_model = lambda seed: td.models.binary_perceptron(101, seed=seed)
        >>> td.solvers.SBPI().train(make_model, data, seed=1).ended
        'zero error'

    Reference:
        C. Baldassi, A. Braunstein, N. Brunel, R. Zecchina, Efficient supervised learning in
        networks with binary synapses, 2007, arXiv 0707.1295.
    """

    budget: Count = 1000
    states: Annotated[int, Ge(1)] | None = None
    threshold: Annotated[float, Ge(0)] = 1.0
    probability: Fraction = 0.4
    seconds: Seconds | None = None

    def __post_init__(self) -> None:
        check_settings(self)

    def train(
        self,
        make_model: MakeModel,
        data: TensorPair,
        seed: int,
        *,
        device: str | torch.device = "cpu",
    ) -> Trained:
        """Trains one network.

        Args:
            make_model: builds a network of `td.models.binary_perceptron` or
                `td.models.binary_committee` from a seed; its initial weights are the first signs.
            data: inputs (P, ...) and labels 0 and 1 (P,).
            seed: of the initial weights, of the order of examples and of every chance.
            device: where to compute; examples follow each other, so that a GPU is slower than a
                CPU.

        Returns:
            The network after the last epoch, with weights of -1 and +1.

        Raises:
            DataError: no examples, unequal numbers of inputs and labels, or data that do not fit
                the network.
            ToroidsError: another network, or no such device.
        """
        votes = Votes(make_model, data, seed, self.seconds, device)
        inputs = votes.weights.shape[1]
        states = self.states or math.ceil(STATES * math.sqrt(inputs))
        rule = Rule(
            votes.inputs,
            votes.weights,
            states=states,
            threshold=self.threshold,
            probability=self.probability,
            seed=seed,
        )
        for _ in range(self.budget):
            if votes.accept(rule.epoch()):
                return votes.trained("zero error")
            if votes.is_over:
                return votes.trained("time")
        return votes.trained("budget")


class Rule:
    """Hidden states and what one example does to them.

    Attributes:
        hidden: odd integers, (K, n).
    """

    def __init__(
        self,
        inputs: Tensor,
        weights: Tensor,
        *,
        states: int,
        threshold: float,
        probability: float,
        seed: int,
    ) -> None:
        """Starts at the weights.

        Args:
            inputs: times labels, (P, K, n), or (P, 1, n) where all units see the same.
            weights: -1 and +1, (K, n).
            states: the largest hidden state, rounded up to an odd number.
            threshold: sums up to which a unit is barely right.
            probability: that a barely right unit is confirmed.
            seed: of the order of examples and of every chance.
        """
        self.hidden = weights.clone()
        self._inputs, self._largest = inputs, states | 1
        # a sum of 1 shall not exceed a threshold of 1
        self._threshold, self._probability = threshold + ROUNDING, probability
        self._generator = torch.Generator().manual_seed(seed)
        sizes = inputs.abs()
        self._sizes = sizes / sizes.amax((1, 2), keepdim=True).clamp_min(1e-30)  # all zero: never
        self._steps = 2 * inputs.sign()
        self._even = bool((self._sizes == 1).all())  # -1 and +1: every weight takes part

    def epoch(self) -> Tensor:
        """Shows every example once; returns the hidden states."""
        count = len(self._inputs)
        order = torch.randperm(count, generator=self._generator).tolist()
        chances = torch.rand(count, generator=self._generator).tolist()
        for position, chance in zip(order, chances, strict=True):
            self.show(position, chance < self._probability)
        return self.hidden

    def show(self, position: int, confirm: bool) -> None:
        """Applies the rule to one example.

        Args:
            position: which.
            confirm: whether units that are barely right are confirmed.
        """
        weights = self.hidden.sign()
        sums = (weights * self._inputs[position]).sum(1)
        values = sums.tolist()  # few numbers: python decides faster than a chain of operators
        wrong = sorted((-s, k) for k, s in enumerate(values) if s <= 0)
        short = len(wrong) - len(values) // 2
        if short > 0:
            self._move([k for _, k in wrong[:short]], position, only_confirm=False)
        elif short == 0 and confirm:
            barely = [k for k, s in enumerate(values) if 0 < s <= self._threshold]
            self._move(barely, position, only_confirm=True)

    def _move(self, units: list[int], position: int, only_confirm: bool) -> None:
        if not units:
            return
        steps, sizes = self._steps[position], self._sizes[position]
        if len(steps) > 1:  # a tree
            steps, sizes = steps[units], sizes[units]
        hidden = self.hidden[units]
        if not self._even:
            drawn = torch.rand(hidden.shape, generator=self._generator).to(hidden.device)
            steps = steps * (drawn < sizes)
        if only_confirm:
            steps = steps * (hidden * steps > 0)
        self.hidden[units] = (hidden + steps).clamp(-self._largest, self._largest)
