"""Measures one network: its errors, and how flat its surroundings are."""

from collections.abc import Sequence

from toroids.canonical.form import canonicalize
from toroids.evaluation.evaluate import evaluate
from toroids.landscape.flatness import local_energy
from toroids.params import Params
from toroids.statistics.row import Row
from toroids.study.perform.setting import Setting


def measure(setting: Setting, networks: Sequence[Params]) -> Row:
    """Measures errors and flatness of one network.

    Args:
        setting: data, architecture, group; noise levels, or fractions of flipped weights, and
            samples under "flatness".
        networks: the one network.

    Returns:
        Errors with standard errors, the local energy curve on the training examples, and notes on
        degenerate units.
    """
    (params,) = networks
    landscape, flatness = setting.landscape, setting["flatness"]
    train, test = landscape(params), evaluate(setting.model, params, setting.data.test)
    canonical = canonicalize(setting.group, params)
    kind = "flips" if setting.group.binary else "multiplicative"
    sigmas, samples = tuple(flatness["sigmas"]), flatness["samples"]
    energy = local_energy(landscape, canonical, sigmas, samples, kind=kind)
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
