"""Measures one network: its errors, and how flat its surroundings are."""

from collections.abc import Iterator, Sequence
from typing import Self

from pydantic import Field, model_validator

from toroids.canonical.form import canonicalize
from toroids.design.task import Task
from toroids.evaluation.evaluate import evaluate
from toroids.evaluation.passes import Passes
from toroids.landscape.flatness import local_energy
from toroids.params import Params
from toroids.statistics.row import Row
from toroids.study.perform.architecture import Architecture
from toroids.study.perform.kind import Kind, Lines, along, columns, of_network
from toroids.study.perform.setting import Setting
from toroids.study.shapes import Measured, OfNetwork, Shape, alike


class Flatness(Shape):
    """How the error grows with noise."""

    sigma: list[float] = Field(min_length=1)
    increase: list[Measured]
    stderr: list[Measured]
    samples: int

    @model_validator(mode="after")
    def _are_as_long(self) -> Self:
        alike(self.sigma, self.increase, self.stderr)
        return self


class Measurement(OfNetwork):
    """Errors and flatness of a network."""

    train_error: Measured
    train_loss: Measured
    test_error: Measured
    test_error_stderr: Measured
    test_loss: Measured
    flatness: Flatness
    notes: list[str]


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
    sigmas, samples = tuple(flatness["sigmas"]), flatness["samples"]
    energy = local_energy(landscape, canonical, sigmas, samples)
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


def _passes(setting: Setting) -> list[Passes]:
    asked, test = setting["flatness"], len(setting.data.test[1]) / setting.examples
    # the train error once for its own sake, and once as what noise is compared with
    return [Passes(forward=len(asked["sigmas"]) * asked["samples"] + 2 + test)]


def _network(row: Row) -> Lines:
    settings = columns(row["config"], ("method", "lr", "batch_size", "weight_decay"))
    measured = ("ended", "epochs", "gradient_steps", "train_error", "train_loss", "test_error")
    errors = ("test_error_stderr", "test_loss", "seconds", "measure_seconds")
    notes = {"notes": "; ".join(row["notes"])}
    yield of_network(row) | settings | columns(row, measured + errors) | notes


def _training(row: Row) -> Lines:
    for epoch in row["history"]:
        yield of_network(row) | epoch


def _flatness(row: Row) -> Lines:
    flatness = row["flatness"]
    for line in along(flatness, ("sigma", "increase", "stderr")):
        yield of_network(row) | line | {"samples": flatness["samples"]}


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
    row="network",  # with how it was trained
)
