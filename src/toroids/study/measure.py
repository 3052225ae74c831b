"""What a study measures of one network, and of two."""

from typing import Any

from torch import nn

from toroids.align.alignment import align
from toroids.canonical.form import canonicalize
from toroids.data import Dataset
from toroids.evaluation.evaluate import evaluate
from toroids.geometry.toroid import Toroid
from toroids.landscape.flatness import local_energy
from toroids.landscape.joined import joined
from toroids.landscape.profile import profile
from toroids.params import Params
from toroids.study.config import FlatnessConfig
from toroids.symmetry.group import SymmetryGroup


def measure_network(
    model: nn.Module, group: SymmetryGroup, params: Params, data: Dataset, config: FlatnessConfig
) -> dict[str, Any]:
    """Measures errors and flatness of one network.

    Args:
        model: gives the architecture.
        group: its symmetry group.
        params: the network.
        data: flatness is measured on the training examples.
        config: noise levels and samples.

    Returns:
        Errors with standard errors, the local energy curve, and notes on degenerate units.
    """
    train = evaluate(model, params, data.train)
    test = evaluate(model, params, data.test)
    energy = local_energy(model, params, data.train, config.sigmas, config.samples)
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
        "notes": canonicalize(group, params).notes,
    }


def measure_pair(
    model: nn.Module, group: SymmetryGroup, a: Params, b: Params, data: Dataset, points: int
) -> dict[str, Any]:
    """Measures distances before and after alignment and, if asked, the five profiles.

    Args:
        model: gives the architecture.
        group: its symmetry group.
        a: the network that stays.
        b: the network that is aligned to it.
        data: profiles are measured on the training examples.
        points: points per profile; 0 measures distances only.

    Returns:
        Distances on the toroid and mean angles, both in radians, before (canonical, not aligned)
        and after alignment; the alignment's similarities; profiles by path.
    """
    toroid = Toroid(group)
    alignment = align(group, b, to=a, method="greedy")
    canonical_b = canonicalize(group, b)
    canonical_a, aligned_b = alignment.reference, alignment.params
    row: dict[str, Any] = {
        "method": alignment.method,
        "similarity": {
            "before": alignment.similarity_before,
            "after": alignment.similarity,
        },
        "distance": {
            "before": toroid.distance(canonical_a, canonical_b),
            "after": toroid.distance(canonical_a, aligned_b),
        },
        "mean_angle": {
            "before": toroid.mean_angle(canonical_a, canonical_b),
            "after": toroid.mean_angle(canonical_a, aligned_b),
        },
        "profiles": {},
    }
    if not points:
        return row
    for name, path in joined(group, alignment, a, b).items():
        curve = profile(model, path, data.train, points)
        row["profiles"][name] = {
            "t": curve.t,
            "error": curve.error,
            "error_stderr": curve.error_stderr,
            "loss": curve.loss,
            "barrier": curve.barrier,
        }
    return row
