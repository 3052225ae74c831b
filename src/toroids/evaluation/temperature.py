"""The temperature at which a classifier that has lost the scale of its logits gets a loss.

The canonical form of a classifier keeps what is the largest logit, not how large it is; on the
scale its loss depends, and with it every slope and curvature of the loss.
"""

import math
from collections.abc import Callable, Sequence

import torch

from toroids.errors import NotFiniteError, ToroidsError

WORDS = ("fit", "tenth")
# Inverse temperatures are looked for up to this power of two in both directions: where nothing is
# wrong the best one is infinite, where everything is it is zero.
DOUBLINGS = 20
# Of inverse temperatures that are tried in one pass over the data, and passes: every pass narrows
# the range to two of its steps, the last one to less than a percent.
TRIED, PASSES = 21, 3
# Halvings of the 40 doublings between which the temperature lies: to 3 %.
HALVINGS = 10
# Of guessing: on digits, steps along the gradient did most harm at a twentieth to a quarter. Where
# the loss is lower, only the worst examples have a slope; where it is higher, also the best ones.
TENTH = 0.1


def fitted(losses: Callable[[Sequence[float]], Sequence[float]]) -> float:
    """Finds the temperature of the lowest loss.

    Args:
        losses: gives the loss at each of several inverse temperatures.

    Returns:
        The temperature to about a percent.

    Raises:
        NotFiniteError: a loss that is NaN or infinite.
    """
    low, high = -float(DOUBLINGS), float(DOUBLINGS)
    best = 0.0
    for _ in range(PASSES):
        powers = torch.linspace(low, high, TRIED).tolist()
        found = losses([2.0**power for power in powers])
        if not all(map(math.isfinite, found)):
            raise NotFiniteError(
                "the loss is NaN or infinite; look for NaN in the inputs and for weights that "
                "overflow the precision."
            )
        chosen = min(range(TRIED), key=found.__getitem__)
        best = powers[chosen]
        low, high = powers[max(chosen - 1, 0)], powers[min(chosen + 1, TRIED - 1)]
    return float(2.0**-best)


def tenth(loss: Callable[[float], float], lowest: float | None) -> float:
    """Finds the temperature at which the loss is a tenth of that of guessing.

    Args:
        loss: gives the loss at a temperature.
        lowest: the temperature of the lowest loss; None where nothing is wrong, so that the loss
            falls to zero with the temperature.

    Returns:
        The temperature to about 3 %; `lowest` where the loss is never that low.
    """
    low, high = -float(DOUBLINGS), float(DOUBLINGS)
    aim = loss(2.0**high) * TENTH
    if lowest is not None:  # a loss that is lowest at no end falls before it crosses
        if loss(lowest) >= aim:
            return lowest
        low = math.log2(lowest)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if loss(2.0**middle) < aim:
            low = middle
        else:
            high = middle
    return float(2.0**high)


def check_temperature(temperature: object) -> float:
    """Returns a temperature that is a number.

    Args:
        temperature: what came as one.

    Returns:
        The number.

    Raises:
        ToroidsError: it is no positive number.
    """
    if not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise ToroidsError(
            f"the temperature is {temperature!r}; pass a positive number, 'fit' or 'tenth'."
        )
    return float(temperature)
