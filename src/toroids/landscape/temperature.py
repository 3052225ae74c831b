"""The temperature of measures that follow the slope of the loss."""

from toroids.errors import ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.geometry.toroid import Toroid
from toroids.params import Params


def slope_temperature(landscape: Landscape, params: Params, default: str) -> float:
    """Finds the temperature at which the slope of the loss says something.

    Args:
        landscape: whose temperature counts where it has one.
        params: of a network, trusted.
        default: taken where the landscape has none and is on a toroid of classifiers, which have
            lost the scale of their outputs; elsewhere the temperature is then 1.

    Returns:
        The temperature.

    Raises:
        ToroidsError: "fit" where nothing is wrong, so that the loss falls to zero with the
            temperature.
    """
    word = landscape.temperature
    if word is None:
        on = landscape.on
        is_lost = isinstance(on, Toroid) and on.group.output.mode == "classifier"
        word = default if is_lost else 1.0
    if word == "fit" and landscape.calibration.measure(params, 1.0).error == 0:
        raise ToroidsError(
            "nothing is wrong on these data, so that the loss and its slopes fall to zero with the "
            "temperature; pass temperature='tenth', a number, or data on which the network errs."
        )
    return landscape.temperature_at(params, word)
