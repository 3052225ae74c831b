"""What a study measures of one network, and of two."""

from typing import Any

import torch
from torch import Tensor, nn

from toroids.align.alignment import Alignment, align
from toroids.canonical.form import canonicalize
from toroids.data import Dataset
from toroids.evaluation.evaluate import evaluate
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.toroid import Toroid
from toroids.landscape.connect import connect
from toroids.landscape.flatness import local_energy
from toroids.landscape.joined import joined
from toroids.landscape.orders import flip_profile
from toroids.landscape.profile import profile
from toroids.params import Params
from toroids.study.config import FlatnessConfig, ProfilesConfig
from toroids.symmetry.group import SymmetryGroup

# Learning rate of a bend on the hypercube. On pairs of width 101 from SGD, Adam, replicated SGD and
# adversarial starts it gave lower barriers than 0.05: 5.0 to 6.5 against 6.5 to 8.0 %.
BIT_RATE = 0.02


def measure_network(
    model: nn.Module, group: SymmetryGroup, params: Params, data: Dataset, config: FlatnessConfig
) -> dict[str, Any]:
    """Measures errors and flatness of one network.

    Args:
        model: gives the architecture.
        group: its symmetry group.
        params: the network.
        data: flatness is measured on the training examples.
        config: noise levels, or fractions of flipped weights, and samples.

    Returns:
        Errors with standard errors, the local energy curve, and notes on degenerate units.
    """
    train = evaluate(model, params, data.train)
    test = evaluate(model, params, data.test)
    canonical = canonicalize(group, params)
    settings: dict[str, Any] = {}
    if group.binary:
        settings = {"kind": "flips", "cube": Hypercube(group)}
    disturbed = canonical if group.binary else params
    energy = local_energy(model, disturbed, data.train, config.sigmas, config.samples, **settings)
    return {
        "train_error": train.error,
        "train_loss": train.loss,
        "test_error": test.error,
        "test_error_stderr": test.error_stderr,
        "test_loss": test.loss,
        "flatness": {
            "sigma": energy.sigma,
            "increase": energy.increase,
            "stderr": energy.stderr,
            "samples": energy.samples,
        },
        "notes": canonical.notes,
    }


def measure_pair(
    model: nn.Module,
    group: SymmetryGroup,
    a: Params,
    b: Params,
    data: Dataset,
    config: ProfilesConfig,
    profiled: bool,
    bent: bool = False,
) -> dict[str, Any]:
    """Measures distances before and after alignment and, if asked, profiles.

    Args:
        model: gives the architecture.
        group: its symmetry group.
        a: the network that stays.
        b: the network that is aligned to it.
        data: profiles are measured on the training examples.
        config: points, orders and steps.
        profiled: whether profiles are measured.
        bent: whether a bend is trained as well.

    Returns:
        Before (canonical, not aligned) and after alignment: distances on the toroid and mean
        angles, both in radians, or of binary networks the fraction of weights that differ; the
        alignment's similarities; profiles by path.
    """
    # the published pass is enough on the toroid; overlaps of signs gain from going round again
    method = "descent" if group.binary else "greedy"
    alignment = align(group, b, to=a, method=method)
    row: dict[str, Any] = {
        "method": alignment.method,
        "similarity": {
            "before": alignment.similarity_before,
            "after": alignment.similarity,
        },
        **_distances(group, alignment),
        "profiles": {},
    }
    if not profiled:
        return row
    if group.binary:
        row["profiles"] = _flips(model, Hypercube(group), alignment, data, config, bent)
        return row
    paths = joined(group, alignment, a, b)
    # two segments have twice the points, so that the bend is one of them
    on_both = 2 * config.points - 1
    if bent:
        ends = alignment.reference, alignment.params
        paths["bend"] = connect(model, *ends, data.train, steps=config.bend_steps, points=on_both)
    for name, path in paths.items():
        points = on_both if name == "bend" else config.points
        curve = profile(model, path, data.train, points)
        row["profiles"][name] = {
            "t": curve.t,
            "error": curve.error,
            "error_stderr": curve.error_stderr,
            "loss": curve.loss,
            "barrier": curve.barrier,
        }
    return row


def _distances(group: SymmetryGroup, alignment: Alignment) -> dict[str, dict[str, float]]:
    """How far apart two networks are before and after alignment, in every measure that applies."""
    a, moments = alignment.reference, {"before": alignment.start, "after": alignment.params}
    if group.binary:
        cube = Hypercube(group)
        return {"hamming": {moment: cube.distance(a, b) for moment, b in moments.items()}}
    toroid = Toroid(group)
    return {
        "distance": {moment: toroid.distance(a, b) for moment, b in moments.items()},
        "mean_angle": {moment: toroid.mean_angle(a, b) for moment, b in moments.items()},
    }


def _flips(
    model: nn.Module,
    cube: Hypercube,
    alignment: Alignment,
    data: Dataset,
    config: ProfilesConfig,
    bent: bool,
) -> dict[str, Any]:
    """Profiles of binary networks: in random orders of flips, in a greedy one, over a bend."""
    a, b = alignment.reference, alignment.params

    def random(*corners: Params) -> dict[str, Any]:
        return _along(model, cube, corners, data, orders=config.orders, points=config.points)

    def greedy(*corners: Params) -> dict[str, Any]:
        # two points per block: within a block the error rises and falls
        settings = {"orders": 1, "steps": config.blocks, "points": 2 * config.blocks + 1}
        return _along(model, cube, corners, data, order="greedy", **settings)

    found = {
        "flips_raw": random(a, alignment.start),
        "flips": random(a, b),
        "flips_greedy": greedy(a, b),
    }
    if bent:
        bend = connect(
            model,
            a,
            b,
            data.train,
            toroid=cube,
            steps=config.bend_steps,
            rate=BIT_RATE,
            points=2 * config.points - 1,
        ).bend
        found |= {"bend": random(a, bend, b), "bend_greedy": greedy(a, bend, b)}
    return found


def _along(
    model: nn.Module, cube: Hypercube, corners: tuple[Params, ...], data: Dataset, **settings: Any
) -> dict[str, Any]:
    """One profile through several corners, each part of which takes the same share of t."""
    parts = [
        flip_profile(model, cube, a, b, data.train, **settings)
        for a, b in zip(corners, corners[1:], strict=False)
    ]

    def joint(name: str) -> Tensor:
        curves = [getattr(part, name) for part in parts]
        return torch.cat([curves[0], *(curve[..., 1:] for curve in curves[1:])], dim=-1)

    times = [(part.t + number) / len(parts) for number, part in enumerate(parts)]
    curves = joint("curves")
    ends = torch.maximum(curves[:, 0], curves[:, -1])
    return {
        "t": torch.cat([times[0], *(t[1:] for t in times[1:])]),
        "error": joint("error"),
        "error_stderr": joint("error_stderr"),
        "loss": joint("loss"),
        "barrier": float((curves.max(dim=1).values - ends).mean()),
        "orders": len(curves),
    }
