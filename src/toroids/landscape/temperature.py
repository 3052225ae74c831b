"""The temperature at which a classifier that has lost the scale of its logits gets a loss.

The canonical form of a classifier keeps what is the largest logit, not how large it is; on the
scale its loss depends, and with it every slope and curvature of the loss.
"""

import math

from toroids.errors import ToroidsError
from toroids.evaluation.evaluator import DOUBLINGS, Evaluator
from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup

# Halvings of the 40 doublings between which the temperature lies: to 3 %.
HALVINGS = 10
# Of guessing: on digits, steps along the gradient did most harm at a twentieth to a quarter. Where
# the loss is lower, only the worst examples have a slope; where it is higher, also the best ones.
TENTH = 0.1


def temperature_of(
    temperature: float | str, evaluator: Evaluator, params: Params, group: SymmetryGroup | None
) -> float:
    """Finds the temperature that a word asks for.

    Args:
        temperature: a number, which is handed back; or where `group` says that the readers of the
            outputs see no scale ("classifier") "fit", of the lowest loss, or "tenth", at which the
            loss is a tenth of that of guessing, or lowest where it is never that low. Elsewhere
            both words give 1.
        evaluator: of the data.
        params: canonical parameters, trusted.
        group: of the architecture; None when it is not known.

    Returns:
        The temperature.

    Raises:
        ToroidsError: another word, a number that is not positive, or "fit" where nothing is wrong,
            so that the loss falls to zero with the temperature.
    """
    if temperature not in ("fit", "tenth"):
        if isinstance(temperature, str) or not 0 < temperature < math.inf:
            raise ToroidsError(
                f"the temperature is {temperature!r}; pass a positive number, 'fit' or 'tenth'."
            )
        return float(temperature)
    if group is None or group.output.mode != "classifier":
        return 1.0
    if temperature == "tenth":
        return _tenth(evaluator, params)
    if evaluator(params).error == 0:
        raise ToroidsError(
            "nothing is wrong on these data, so that the loss and its slopes fall to zero with the "
            "temperature; pass temperature='tenth', a number, or data on which the network errs."
        )
    return evaluator.fit_temperature(params)


def _tenth(evaluator: Evaluator, params: Params) -> float:
    """Halves the range of powers of two in which the loss crosses a tenth of that of guessing."""
    low, high = -float(DOUBLINGS), float(DOUBLINGS)
    guessing = evaluator(params, 2.0**high).loss
    if evaluator(params).error > 0:  # a loss that is lowest at no end falls before it crosses
        fitted = evaluator.fit_temperature(params)
        if evaluator(params, fitted).loss >= guessing * TENTH:
            return fitted
        low = math.log2(fitted)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if evaluator(params, 2.0**middle).loss < guessing * TENTH:
            low = middle
        else:
            high = middle
    return float(2.0**high)
