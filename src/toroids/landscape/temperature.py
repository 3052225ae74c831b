"""The temperature of measures that follow the slope of the loss."""

from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.temperature import WORDS, check_temperature
from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup


def temperature_of(
    temperature: float | str, evaluator: Landscape, params: Params, group: SymmetryGroup | None
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
    if temperature not in WORDS:
        return check_temperature(temperature)
    if group is None or group.output.mode != "classifier":
        return 1.0
    if temperature == "fit" and evaluator.measure(params, 1.0).error == 0:
        raise ToroidsError(
            "nothing is wrong on these data, so that the loss and its slopes fall to zero with the "
            "temperature; pass temperature='tenth', a number, or data on which the network errs."
        )
    return evaluator.temperature_at(params, temperature)
