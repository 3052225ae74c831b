"""Focusing belief propagation: binary weights where solutions are dense."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toroids.arguments.checked import checked_methods
from toroids.errors import ToroidsError
from toroids.evaluation.batches import TensorPair
from toroids.settings import Count, Seconds, Share, check_settings
from toroids.solvers.solver import Solver
from toroids.solvers.training import MakeModel, Trained
from toroids.solvers.votes import Votes

# Examples send their messages in so many groups, each after those before it: all at once the units
# of a committee fall into oscillations.
GROUPS = 4
# Size of the random messages of the start, which tell the units of a committee apart.
START = 0.01
# No message is stronger: in double precision tanh(20) is 1.
STRONGEST = 20.0
# The variance of a sum never counts as less than that of one undecided weight (inputs have a mean
# square of 1): the central limit is wrong there, and messages would have no bound.
LEAST_VARIANCE = 1.0


@checked_methods
@dataclass(frozen=True, kw_only=True)
class FocusingBP(Solver):
    r"""Finds binary weights of a perceptron or of a committee by message passing.

    Belief propagation on y replicas of the weights, each coupled by gamma to a common reference,
    with the ansatz that all replicas are alike: one set of messages, and a field by which every
    weight feels the other replicas. As gamma grows, the replicas focus where solutions are densest.

    With examples x already times their labels, message u_aki from example a to weight i of unit k,

        H_ki = sum_a u_aki,   f(h) = artanh(tanh(gamma) tanh(h)),
        h_aki = H_ki + f((y - 1) f(H_ki)) - u_aki,   m_aki = tanh(h_aki),
        o_aki = sum_{j != i} x_aj m_akj,   V_aki = sum_{j != i} x_aj^2 (1 - m_akj^2),
        u_aki = [g_ak((o_aki + x_ai) / sqrt(V_aki)) - g_ak((o_aki - x_ai) / sqrt(V_aki))] / 2,
        g_ak(z) = log(A_ak Phi(z) + B_ak Phi(-z)),

    where A_ak and B_ak are the probabilities that the committee is right about a when unit k is,
    and is not: sums over the votes of the other units, by dynamic programming. A perceptron has
    A = 1, B = 0. Messages are replaced by damping (old) + (1 - damping) (new). The weights are the
    signs of H; the binary network is evaluated after every iteration, and the first that makes no
    error ends it.

    gamma and y change linearly with the iteration over the budget: a larger budget focuses slower
    and works closer to capacity, where another seed often helps as well. Both grow by default: far
    below capacity few replicas stay undecided however strong their coupling, and near capacity
    many of them decide too early. One replica, or gamma = 0, is belief propagation; gamma =
    infinity with a growing y is the reinforced one. There is no checkpoint: the state is as large
    as the messages, and a run takes seconds to minutes.

    The histories hold gamma as the coupling; learning rates and gradient steps are 0.

    Attributes:
        budget: iterations at most.
        replicas: y, at least 1, any real number; or y at the start and at the end.
        focusing: gamma at the start and at the end, at least 0; both may be infinite.
        damping: share of the old messages that is kept, in [0, 1).
        seconds: wall time after which it ends; no limit when None.

    Example:
        >>> import toroids as td
        >>> data = td.data.patterns(inputs=101, density=0.4, binary=True).train
        >>> make_model = lambda seed: td.models.binary_perceptron(101, seed=seed)
        >>> td.solvers.FocusingBP().train(make_model, data, seed=1).ended
        'zero error'

    Reference:
        C. Baldassi, C. Borgs, J. Chayes, A. Ingrosso, C. Lucibello, L. Saglietti, R. Zecchina,
        Unreasonable effectiveness of learning neural networks, 2016, arXiv 1605.06444.
    """

    budget: Count = 300
    replicas: float | tuple[float, float] = (2.0, 12.0)
    focusing: tuple[float, float] = (1.0, 1.5)
    damping: Share = 0.5
    seconds: Seconds | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        if not all(1 <= y < math.inf for y in self._many):
            raise ToroidsError(f"replicas is {self.replicas}; pass 1 or more, finite.")
        infinite = [math.isinf(gamma) for gamma in self.focusing]
        if not all(gamma >= 0 for gamma in self.focusing) or any(infinite) != all(infinite):
            raise ToroidsError(
                f"focusing is {self.focusing}; pass two numbers of 0 or more, both finite or both "
                "infinite."
            )

    @property
    def _many(self) -> tuple[float, float]:
        return self.replicas if isinstance(self.replicas, tuple) else (self.replicas, self.replicas)

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
                `td.models.binary_committee` from a seed; its initial weights do not matter.
            data: inputs (P, ...), real numbers or -1 and +1, and labels 0 and 1 (P,). Images and
                other inputs far from mean zero are hard.
            seed: of the messages at the start and of the order of examples.
            device: where to compute; in the precision of the network.

        Returns:
            The network of the last iteration, with weights of -1 and +1.

        Raises:
            DataError: no examples, unequal numbers of inputs and labels, or data that do not fit
                the network.
            ToroidsError: another network, or no such device.
        """
        votes = Votes(make_model, data, seed, self.seconds, device)
        messages = Messages(votes.inputs, len(votes.weights), self.damping, seed)
        for iteration in range(self.budget):
            share = iteration / max(self.budget - 1, 1)
            gamma = _between(self.focusing, share)
            fields = messages.update(gamma, _between(self._many, share))
            if not bool(torch.isfinite(fields).all()):
                return votes.trained(
                    "diverged",
                    f"the fields are NaN or infinite in iteration {iteration + 1}, at gamma "
                    f"{gamma:.3g}; pass fewer replicas",
                )
            if votes.accept(fields, gamma):
                return votes.trained("zero error")
            if votes.is_over:
                return votes.trained("time")
        return votes.trained("budget")


def _between(ends: tuple[float, float], share: float) -> float:
    first, last = ends  # equal ends apart: infinity minus infinity is no number
    return first if first == last else first + (last - first) * share


class Messages:
    """The messages from examples to weights, as half log-ratios."""

    def __init__(self, inputs: Tensor, units: int, damping: float, seed: int) -> None:
        """Starts with small random messages.

        Args:
            inputs: times labels, (P, K, n), or (P, 1, n) where all units see the same; of a mean
                square of about 1.
            units: K.
            damping: share of the old messages that is kept.
            seed: of the start and of the order of examples.
        """
        self._inputs, self._damping = inputs, damping
        # on the CPU, so that all devices start alike
        self._generator = torch.Generator().manual_seed(seed)
        shape = (len(inputs), units, inputs.shape[-1])
        start = torch.randn(shape, generator=self._generator, dtype=inputs.dtype)
        self._messages = (START * start).to(inputs.device)

    def update(self, gamma: float, replicas: float) -> Tensor:
        """Updates every message once.

        Args:
            gamma: coupling to the reference.
            replicas: how many replicas there are.

        Returns:
            The fields H (K, n), without that of the other replicas; their tanh is the mean weight.
        """
        fields = self._messages.sum(0)  # afresh: the sums below gather rounding errors
        order = torch.randperm(len(self._inputs), generator=self._generator)
        for positions in order.to(fields.device).chunk(GROUPS):
            old = self._messages[positions]
            total = fields + focus((replicas - 1) * focus(fields, gamma), gamma)
            new = from_examples(self._inputs[positions], total - old)
            change = (1 - self._damping) * (new - old)
            self._messages[positions] = old + change
            fields = fields + change.sum(0)
        return fields


def focus(fields: Tensor, gamma: float) -> Tensor:
    """Computes artanh(tanh(gamma) tanh(h)): a field seen through a coupling.

    Args:
        fields: of any shape.
        gamma: the coupling, 0 or more.

    Returns:
        Fields, no stronger than gamma.
    """
    size = fields.abs()
    # by parts of the size of the fields and of gamma: tanh itself is 1 for all that are large
    near, far = (torch.log1p(torch.exp(-2 * x)) for x in ((size - gamma).abs(), size + gamma))
    return fields.sign() * (size.clamp_max(gamma) + (far - near) / 2)


def from_examples(inputs: Tensor, fields: Tensor) -> Tensor:
    """Computes the messages from examples to weights.

    Args:
        inputs: times labels, (P, K, n) or (P, 1, n).
        fields: what each weight feels without the example, (P, K, n).

    Returns:
        Half log-ratios of the probabilities that the example is right with the weight at +1 and
        at -1, (P, K, n).
    """
    means = inputs * torch.tanh(fields)
    # 1 - tanh^2 as a product, which keeps its digits where tanh is near 1
    variances = inputs.square() * 4 * torch.sigmoid(2 * fields) * torch.sigmoid(-2 * fields)
    mean, variance = means.sum(-1, keepdim=True), variances.sum(-1, keepdim=True)
    right, wrong = vote((mean / variance.clamp_min(LEAST_VARIANCE).sqrt()).squeeze(-1))
    scale = (variance - variances).clamp_min(LEAST_VARIANCE).rsqrt()
    others = mean - means

    def evidence(z: Tensor) -> Tensor:
        found: Tensor = torch.special.log_ndtr(z)
        if fields.shape[1] == 1:  # a perceptron is right where its unit is
            return found
        return torch.logaddexp(right + found, wrong + torch.special.log_ndtr(-z))

    found = evidence((others + inputs) * scale) - evidence((others - inputs) * scale)
    return (found / 2).clamp(-STRONGEST, STRONGEST)


def vote(z: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities that a committee is right when unit k is, and when it is not.

    Args:
        z: unit k is right with probability Phi(z_k), apart from the others; (P, K), K odd.

    Returns:
        Two tensors (P, K, 1): at least (K - 1) / 2, and at least (K + 1) / 2, of the others are
        right.
    """
    units = z.shape[1]
    right, wrong = torch.special.log_ndtr(z), torch.special.log_ndtr(-z)
    itself = torch.eye(units, dtype=torch.bool, device=z.device)
    # counts[:, k, r]: log-probability that r of the units so far, k left out, are right
    counts = z.new_full((*z.shape, units + 1), -math.inf)
    counts[..., 0] = 0
    for unit in range(units):
        one_more = right[:, unit, None].where(~itself[unit], -math.inf)[..., None]
        no_more = wrong[:, unit, None].where(~itself[unit], 0.0)[..., None]
        shifted = torch.nn.functional.pad(counts[..., :-1], (1, 0), value=-math.inf)
        counts = torch.logaddexp(counts + no_more, shifted + one_more)
    half = (units - 1) // 2
    at_least = [counts[..., least:].logsumexp(-1, keepdim=True) for least in (half, half + 1)]
    return at_least[0], at_least[1]
