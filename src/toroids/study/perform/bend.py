"""Trains the bend of a path of two segments between two networks, and measures the path."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from toroids.align.alignment import align
from toroids.design.task import Task
from toroids.evaluation.passes import Passes
from toroids.landscape.bending import BendRecipe
from toroids.landscape.connect import connect
from toroids.landscape.greedy_order import Greedy
from toroids.landscape.orders import flip_profile
from toroids.landscape.profile import profile
from toroids.params import Params
from toroids.statistics.measured import Bend, Curve
from toroids.statistics.row import plain
from toroids.study.perform.architecture import Architecture
from toroids.study.perform.kind import Kind
from toroids.study.perform.pair import barriers, curve_of, flips, profiles
from toroids.study.perform.setting import Setting

# Learning rate of a bend on the hypercube. On pairs of width 101 from SGD, Adam, replicated SGD and
# adversarial starts it gave lower barriers than 0.05: 5.0 to 6.5 against 6.5 to 8.0 %.
BIT_RATE = 0.02
# What the estimate of the work counts, as measured on small networks of digits and of characters: a
# step of a bend as two of SGD, as it makes its point and moves the bend by Adam; a point at which a
# temperature is fitted as ten passes, most of which evaluate the loss on the same outputs.
FITTED = 10


def bend(setting: Setting, networks: Sequence[Params]) -> Bend:
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
        found = {
            "bend": _random_flips(setting, a, path.bend, b),
            "bend_greedy": _greedy_flips(setting, a, path.bend, b),
        }
        return Bend(**setting.labels(), profiles=found)
    straight = replace(landscape, on=None)
    path = connect(straight, a, b, BendRecipe(steps), points=points)
    along = {"bend": curve_of(profile(straight, path, points))}
    return Bend(**setting.labels(), profiles=along)


def _random_flips(setting: Setting, *corners: Params) -> Curve:
    """The mean profile through corners of the hypercube, over several random orders of flips."""
    asked = setting["profiles"]
    return _along(setting, corners, asked["orders"], asked["points"])


def _greedy_flips(setting: Setting, *corners: Params) -> Curve:
    """The profile through corners of the hypercube in an order that is greedy by error."""
    blocks = setting["profiles"]["blocks"]
    # two points per block: within a block the error rises and falls
    return _along(setting, corners, Greedy(1, blocks), 2 * blocks + 1)


def _along(setting: Setting, corners: Sequence[Params], orders: int | Greedy, points: int) -> Curve:
    """One profile through several corners, each part of which takes the same share of t."""
    parts = [
        flip_profile(setting.landscape, a, b, orders, points)
        for a, b in zip(corners, corners[1:], strict=False)
    ]

    def joint(name: str) -> Tensor:
        curves = [getattr(part, name) for part in parts]
        return torch.cat([curves[0], *(curve[..., 1:] for curve in curves[1:])], dim=-1)

    times = [(part.t + number) / len(parts) for number, part in enumerate(parts)]
    curves = joint("curves")
    ends = torch.maximum(curves[:, 0], curves[:, -1])
    return Curve(
        t=plain(torch.cat([times[0], *(t[1:] for t in times[1:])])),
        error=plain(joint("error")),
        error_stderr=plain(joint("error_stderr")),
        loss=plain(joint("loss")),
        barrier=plain((curves.max(dim=1).values - ends).mean()),
        orders=len(curves),
    )


def _passes(setting: Setting) -> list[Passes]:
    trained = Passes(2 * setting["steps"], BendRecipe().minibatch)
    asked = setting["profiles"]
    points = 2 * asked["points"] - 1
    # the path is measured before it is trained, and after, at temperatures that are fitted
    fitted = 2 * FITTED * points
    if setting.binary:
        return [trained, setting.along(fitted + flips(asked, corners=3, random=1))]
    return [trained, setting.along(fitted + points)]


def _plan(architecture: Architecture) -> Iterator[Task]:
    bends, alignment = architecture.config.bends, architecture.config.alignment.method
    asked = architecture.profiles()
    text = architecture.text(profiles=asked, steps=bends.steps, alignment=alignment)
    for two in architecture.drawn(2, bends.count, "bends"):
        yield architecture.on("bend", two, text)


KIND = Kind(
    "bend",
    "training a bend between two networks",
    Bend,
    lambda asked: asked.within(2, asked.config.bends.count),
    _plan,
    _passes,
    bend,
    {"barriers": barriers, "profiles": profiles},
)
