"""Which path between two aligned networks is lowest, and what carries the barrier of batch norms.

Run it with `python benchmarks/ways.py`; with `--table` it prints the tables of benchmarks/ways.md:
for networks of several kinds trained apart on digits, the barrier of the train error on every way
of joining them (see `toroids.landscape.joined`), with statistics of batch norms estimated anew and
interpolated; by how much the geodesic is above the line between aligned networks, pair by pair; the
barrier on that line after alignment by other methods; and the error half way where only some of the
layers are half way.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.result import Result
from harness.script import main
from torch import Tensor, nn

import toroids as td
from toroids.errors import ParamsError
from toroids.landscape.joined import WAYS, joined

NETWORKS = 4
POINTS = 11
TRAIN = 600
STAGES = ("stem", "stage1", "stage2", "stage3", "head")


@dataclass(frozen=True)
class Kind:
    """An architecture, and how it is trained."""

    make: Callable[[int], nn.Module]
    solver: td.solvers.Descent
    image: bool = True
    train: int = TRAIN

    @property
    def data(self) -> td.data.Dataset:
        """The digits, as images of 8 x 8 where the network wants images."""
        digits = td.data.digits(train=self.train)
        shape = (-1, 1, 8, 8) if self.image else (-1, 64)
        train, test = ((x.view(shape), y) for x, y in (digits.train, digits.test))
        return replace(digits, train=train, test=test)


def perceptron(seed: int) -> nn.Module:
    """As in studies/digits.toml."""
    return td.models.fully_connected([64, 128, 128, 10], seed=seed)


def lenet(seed: int) -> nn.Module:
    """As in studies/digits-conv.toml."""
    return td.models.lenet((1, 8, 8), widths=(16, 32, 128, 64), kernel=3, seed=seed)


def resnet(width: float, norm: str, seed: int) -> nn.Module:
    """As in studies/digits-conv.toml, of another width or without norms."""
    return td.models.resnet20(channels=1, width=width, norm=norm, seed=seed)


def sgd(lr: float) -> td.solvers.SGD:
    """The common recipe of these studies."""
    return td.solvers.SGD(budget=100, hold=5, batch_size=50, lr=lr)


SHARP = td.solvers.AdversarialSGD(budget=100, hold=5, batch_size=50, lr=0.1, corrupt_lr=0.03)
KINDS: Mapping[str, Kind] = {
    "fully connected 128": Kind(perceptron, sgd(0.1), image=False),
    "fully connected 128, sharp": Kind(perceptron, SHARP, image=False),
    "LeNet": Kind(lenet, sgd(0.05)),
    "LeNet, sharp": Kind(lenet, replace(SHARP, copies=1, lr=0.05)),
    "ResNet-20 x 1/4, no norm": Kind(partial(resnet, 0.25, "none"), sgd(0.02)),
    "ResNet-20 x 1/4": Kind(partial(resnet, 0.25, "batch"), sgd(0.1)),
    "ResNet-20 x 1/4, slow": Kind(partial(resnet, 0.25, "batch"), sgd(0.02)),
    "ResNet-20 x 1/4, 1200 images": Kind(partial(resnet, 0.25, "batch"), sgd(0.1), train=1200),
    "ResNet-20 x 1/2": Kind(partial(resnet, 0.5, "batch"), sgd(0.1)),
    "ResNet-20": Kind(partial(resnet, 1.0, "batch"), sgd(0.1)),
}


@dataclass(frozen=True)
class Trained:
    """Networks of one kind, and where they are measured."""

    inputs: Tensor
    landscape: td.Landscape
    group: td.SymmetryGroup
    networks: Sequence[td.Params]

    @property
    def pairs(self) -> Iterator[tuple[td.Params, td.Params]]:
        """All pairs of the networks that learned the data."""
        learned = [w for w in self.networks if self.landscape(w).error <= 0.05]
        return itertools.combinations(learned, 2)


def trained(kind: Kind, count: int) -> Trained:
    """Trains so many networks of a kind."""
    data, model = kind.data, kind.make(0).eval()
    return Trained(
        data.train[0],
        td.Landscape(model, data.train),
        td.discover(model, data.train[0][:4], output="classifier"),
        [kind.solver.train(kind.make, data.train, seed=seed).params for seed in range(count)],
    )


def barriers(found: Trained, statistics: str = "recalibrate") -> dict[str, list[float]]:
    """The barrier of every pair, by the way of joining it; NaN where there is no geodesic."""
    landscape = replace(found.landscape, statistics=statistics)
    heights: dict[str, list[float]] = {way: [] for way in WAYS}
    for a, b in found.pairs:
        alignment = td.align(found.group, b, to=a)
        for way in WAYS:
            try:
                path = joined(found.group, alignment, a, b, [way])[way]
                heights[way].append(td.profile(landscape, path, POINTS).barrier)
            except ParamsError:  # antipodal units
                heights[way].append(math.nan)
    return heights


def by_methods(found: Trained) -> dict[str, list[float]]:
    """The barriers of some pairs on the line between aligned networks, by what aligned them."""
    probe = td.probe.Probe(found.landscape.model, found.group, found.inputs)
    on: dict[str, dict[str, object]] = {
        "descent": {}, "activations": {"probe": probe}, "loss": {"landscape": found.landscape}
    }  # fmt: skip
    heights: dict[str, list[float]] = {method: [] for method in on}
    for a, b in itertools.islice(found.pairs, 3):
        for method, given in on.items():
            alignment = td.align(found.group, b, to=a, method=method, **given)  # type: ignore[arg-type]
            line = joined(found.group, alignment, a, b, ["aligned"])["aligned"]
            heights[method].append(td.profile(found.landscape, line, POINTS).barrier)
    return heights


def halfway(found: Trained) -> dict[str, tuple[list[float], list[float]]]:
    """By layers: the error where they alone are half way, and where all others are."""
    errors: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in STAGES}
    for a, b in found.pairs:
        line = joined(found.group, td.align(found.group, b, to=a), a, b, ["aligned"])["aligned"]
        middle = line(0.5)
        for name, (alone, others) in errors.items():
            own = {key for key in a if key.startswith(name)}
            for moved, kept in ((own, alone), (set(a) - own, others)):
                mixed = {key: middle[key] if key in moved else a[key] for key in a}
                kept.append(_recalibrated(found.landscape, mixed))
    return errors


def _recalibrated(landscape: td.Landscape, params: td.Params) -> float:
    return landscape(td.recalibrate(landscape.model, params, landscape.data)).error


def rows(quick: bool) -> Iterator[Result]:
    """Barriers on the geodesic and on the balanced line beside those on the aligned line."""
    chosen = list(KINDS)[:2] if quick else list(KINDS)
    for name in chosen:
        found = barriers(trained(KINDS[name], 2 if quick else NETWORKS))
        for way in ("geodesic", "balanced"):
            ours, theirs = (
                [value for value in found[each] if not math.isnan(value)]
                for each in (way, "aligned")
            )
            note = "one value per pair of networks"
            yield Result(
                f"{name}: barrier, {way}", "train error", ours, "aligned", theirs, note=note
            )


def shown(values: Sequence[float]) -> str:
    """A mean in percent, and its standard error."""
    known = [100 * value for value in values if not math.isnan(value)]
    if len(known) < 2:
        return "-"
    return f"{statistics.mean(known):.1f} ± {statistics.stdev(known) / len(known) ** 0.5:.1f}"


def has_norm(found: Trained) -> bool:
    """Whether there are batch norms in the network."""
    return any(isinstance(module, nn.BatchNorm2d) for module in found.landscape.model.modules())


def table() -> None:
    """Prints the tables of the page."""
    networks = {name: trained(kind, NETWORKS) for name, kind in KINDS.items()}
    normed = {name: found for name, found in networks.items() if has_norm(found)}
    print(f"| networks | statistics | pairs | {' | '.join(WAYS)} | geodesic minus aligned |")
    print("|---" * (len(WAYS) + 4) + "|")
    for name, found in networks.items():
        for kept, what in {"recalibrate": "anew", "keep": "interpolated"}.items():
            if name not in normed and kept == "keep":
                continue
            heights = barriers(found, kept)
            above = [g - a for g, a in zip(heights["geodesic"], heights["aligned"], strict=True)]
            cells = [shown(values) for values in (*heights.values(), above)]
            pairs, what = len(above), what if name in normed else ""
            print(f"| {name} | {what} | {pairs} | {' | '.join(cells)} |", flush=True)
    print("\n| networks | descent | activations | loss |\n|---|---|---|---|")
    for name, found in normed.items():
        if "x 1/4" not in name:  # steps on the loss take minutes a pair in wider ones
            continue
        cells = [shown(values) for values in by_methods(found).values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"\n| networks | half way | {' | '.join(STAGES)} |\n{'|---' * (len(STAGES) + 2)}|")
    for name, found in normed.items():
        errors = halfway(found)
        for moved, what in enumerate(("these alone", "all but these")):
            cells = [shown(errors[stage][moved]) for stage in STAGES]
            print(f"| {name} | {what} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(rows, table=table)
