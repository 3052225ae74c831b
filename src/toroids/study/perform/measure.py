"""Measures one network: its errors, and how flat its surroundings are."""

from collections.abc import Iterator, Sequence

from toroids.canonical.form import canonicalize
from toroids.design.task import Task
from toroids.evaluation.evaluate import evaluate
from toroids.evaluation.passes import Passes
from toroids.landscape.flatness import local_energy
from toroids.params import Params
from toroids.statistics.measured import Flatness, Measurement, Network
from toroids.statistics.row import plain
from toroids.study.perform.architecture import Architecture
from toroids.study.perform.kind import Kind, Lines, along, of_network
from toroids.study.perform.setting import Setting


def measure(setting: Setting, networks: Sequence[Params]) -> Measurement:
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
    sigmas, samples = tuple(flatness["sigmas"]), flatness["samples"]
    energy = local_energy(landscape, canonical, sigmas, samples)
    return Measurement(
        **setting.labels(),
        train_error=plain(train.error),
        train_loss=plain(train.loss),
        test_error=plain(test.error),
        test_error_stderr=plain(test.error_stderr),
        test_loss=plain(test.loss),
        flatness=Flatness(
            sigma=plain(energy.sigma),
            increase=plain(energy.increase),
            stderr=plain(energy.stderr),
            samples=energy.samples,
        ),
        notes=list(canonical.notes),
    )


def _passes(setting: Setting) -> list[Passes]:
    asked, test = setting["flatness"], len(setting.data.test[1]) / setting.examples
    # the train error once for its own sake, and once as what noise is compared with
    return [Passes(forward=len(asked["sigmas"]) * asked["samples"] + 2 + test)]


def _network(row: Network) -> Lines:
    keys = ("method", "lr", "batch_size", "weight_decay")
    settings = {key: row.config.get(key) for key in keys}
    measured = ("ended", "epochs", "gradient_steps", "train_error", "train_loss", "test_error")
    errors = ("test_error_stderr", "test_loss", "seconds", "measure_seconds")
    notes = {"notes": "; ".join(row.notes)}
    yield of_network(row) | settings | row.columns(*measured, *errors) | notes


def _training(row: Network) -> Lines:
    for epoch in row.history:
        yield of_network(row) | plain(epoch)


def _flatness(row: Network) -> Lines:
    for line in along(row.flatness, ("sigma", "increase", "stderr")):
        yield of_network(row) | line | {"samples": row.flatness.samples}


def _plan(architecture: Architecture) -> Iterator[Task]:
    flatness = architecture.config.flatness.model_dump(mode="json", exclude={"reference"})
    text = architecture.text(flatness=flatness)
    for network in architecture.networks:
        yield architecture.on("measure", (network,), text)


KIND = Kind(
    "measure",
    "errors and flatness of a network",
    Measurement,
    lambda asked: asked.count,
    _plan,
    _passes,
    measure,
    {"networks": _network, "training": _training, "flatness": _flatness},
    row=Network,  # with how it was trained
)
