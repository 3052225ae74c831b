"""Trains the bend of a path of two segments between two networks, and measures the path."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from toroids.align.alignment import align
from toroids.design.task import Task
from toroids.evaluation.passes import Passes
from toroids.landscape.bending import BendRecipe
from toroids.landscape.connect import connect
from toroids.landscape.profile import profile
from toroids.params import Params
from toroids.statistics.row import Row
from toroids.study.perform.architecture import Architecture
from toroids.study.perform.kind import Kind
from toroids.study.perform.pair import (
    barriers,
    curve_row,
    flips,
    greedy_flips,
    profiles,
    random_flips,
)
from toroids.study.perform.setting import Setting
from toroids.study.shapes import OfPair

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


def _passes(setting: Setting) -> list[Passes]:
    trained = Passes(setting["steps"], BendRecipe().minibatch)
    asked = setting["profiles"]
    points = 2 * asked["points"] - 1
    # the path is measured before it is trained, and after
    if setting.binary:
        return [trained, setting.along(2 * points + flips(asked, corners=3, random=1))]
    return [trained, setting.along(3 * points)]


def _plan(architecture: Architecture) -> Iterator[Task]:
    bends, alignment = architecture.config.bends, architecture.config.alignment.method
    asked = architecture.profiles()
    text = architecture.text(profiles=asked, steps=bends.steps, alignment=alignment)
    for two in architecture.drawn(2, bends.count, "bends"):
        yield architecture.on("bend", two, text)


KIND = Kind(
    "bend",
    "training a bend between two networks",
    OfPair,
    lambda asked: asked.within(2, asked.config.bends.count),
    _plan,
    _passes,
    bend,
    {"barriers": barriers, "profiles": profiles},
)
