"""Measures the error on the plane through three networks, aligned to the first."""

from collections.abc import Sequence

from toroids.align.alignment import align
from toroids.landscape.median import median_section
from toroids.landscape.section import section as plane_section
from toroids.params import Params
from toroids.statistics.row import Row
from toroids.study.perform.setting import Setting


def section(setting: Setting, networks: Sequence[Params]) -> Row:
    """Measures the train error between three networks.

    Args:
        setting: data, architecture, group, method of alignment; resolution.
        networks: the one that stays, and two that are aligned to it.

    Returns:
        Of real weights the error on the plane through the three, every point moved onto the toroid;
        of binary ones the error on the three faces around their median.
    """
    first, *others = networks
    moved = [align(setting.group, b, to=first, method=setting["alignment"]) for b in others]
    three = [moved[0].reference, *(alignment.params for alignment in moved)]
    resolution = setting["resolution"]
    if setting.group.binary:
        faces = median_section(setting.landscape, three, resolution)
        return {"faces": faces.faces, "distances": faces.distances, "error": faces.error}
    found = plane_section(setting.landscape, three, resolution)
    return {
        "x": found.x,
        "y": found.y,
        "error": found.error,
        "loss": found.loss,
        "error_stderr": found.error_stderr,
        "points": found.points,
        "errors": found.errors,
    }
