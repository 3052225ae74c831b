"""Trains the bend of a path of two segments between two networks, and measures the path."""

from collections.abc import Sequence
from dataclasses import replace

from toroids.align.alignment import align
from toroids.landscape.bending import BendRecipe
from toroids.landscape.connect import connect
from toroids.landscape.profile import profile
from toroids.params import Params
from toroids.statistics.row import Row
from toroids.study.perform.pair import curve_row, greedy_flips, random_flips
from toroids.study.perform.setting import Setting

# Learning rate of a bend on the hypercube. On pairs of width 101 from SGD, Adam, replicated SGD and
# adversarial starts it gave lower barriers than 0.05: 5.0 to 6.5 against 6.5 to 8.0 %.
BIT_RATE = 0.02


def bend(setting: Setting, networks: Sequence[Params]) -> Row:
    """Joins two aligned networks over a trained bend.

    Args:
        setting: data, architecture, group, method of alignment; points of the profiles and steps.
        networks: the network that stays, and the one that is aligned to it.

    Returns:
        The profile on the training examples over both segments; of binary networks in random orders
        of flips and in a greedy one.
    """
    a, b = networks
    alignment = align(setting.group, b, to=a, method=setting["alignment"])
    a, b = alignment.reference, alignment.params
    landscape, steps = setting.landscape, setting["steps"]
    # two segments have twice the points, so that the bend is one of them
    points = 2 * setting["profiles"]["points"] - 1
    if setting.group.binary:
        path = connect(landscape, a, b, BendRecipe(steps, BIT_RATE), points=points)
        return {
            "profiles": {
                "bend": random_flips(setting, a, path.bend, b),
                "bend_greedy": greedy_flips(setting, a, path.bend, b),
            }
        }
    straight = replace(landscape, on=None)
    path = connect(straight, a, b, BendRecipe(steps), points=points)
    return {"profiles": {"bend": curve_row(profile(straight, path, points))}}
