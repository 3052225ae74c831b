"""Measures the error on the plane of the principal axes of one training's epochs.

The training is done again for it, by the same seeds, so that no run has to keep its epochs.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from toroids.canonical.form import canonicalize
from toroids.landscape.section import section
from toroids.params import Params
from toroids.solvers.session import watched
from toroids.statistics.row import Row
from toroids.study.perform.setting import Setting
from toroids.study.perform.train import solved


def trajectory(setting: Setting, networks: Sequence[Params]) -> Row:
    """Measures the train error along one training.

    Args:
        setting: data, architecture, group, solver and seeds; resolution, number of checkpoints.
        networks: the one that was trained, the last of the checkpoints.

    Returns:
        The error on the plane, every point moved onto the toroid, and where the epochs are on it.

    Raises:
        ToroidsError: the training had one epoch, or went along one line.
    """
    epochs, found = _epochs(setting)
    kept = _spread(len(epochs), setting["checkpoints"])
    given: list[Params] = [found[place] for place in kept]
    given[-1] = networks[0]
    standard = [canonicalize(setting.group, network) for network in given]
    plane = section(setting.landscape, standard, setting["resolution"], axes="principal")
    return {
        "x": plane.x,
        "y": plane.y,
        "error": plane.error,
        "loss": plane.loss,
        "error_stderr": plane.error_stderr,
        "points": plane.points,
        "errors": plane.errors,
        "away": plane.away,
        "explained": plane.explained,
        "epochs": [epochs[place] for place in kept],
    }


def _epochs(setting: Setting) -> tuple[list[int], list[dict[str, Tensor]]]:
    """The networks before the first epoch and after every one, and their numbers."""
    epochs: list[int] = []
    found: list[dict[str, Tensor]] = []

    def keep(phase: str, epoch: int, params: Mapping[str, Tensor]) -> None:
        if phase == "train":
            epochs.append(epoch)
            found.append({name: tensor.clone() for name, tensor in params.items()})

    with watched(keep):
        solved(setting, None)
    return epochs, found


def _spread(count: int, most: int) -> list[int]:
    """At most so many places among `count`, the first and the last among them, evenly spread."""
    if count <= most:
        return list(range(count))
    return [round(number * (count - 1) / (most - 1)) for number in range(most)]
