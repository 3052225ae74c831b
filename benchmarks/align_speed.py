"""Times alignment beside the public package `rebasin`, on networks that both take.

Run it with `pip install -e '.[bench]'` and `python benchmarks/align_speed.py [NAME ...]`. Both move
the same randomly initialised network onto the same other one, in one process, in turn; tracing the
architecture, which either does once, is timed apart. Similarity is the inner product of what each
leaves with the network that stays, in our canonical form; output error by how much the moved
network's outputs differ from its own, relative to the largest. Peak memory is ours, beyond the two
networks, in copies of one, in a second call of a process of its own that gives freed blocks back at
once, or what was held before would hide it. Stopped is `align` with a budget that ends it at half
the peer's time.
"""

import copy
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from harness.memory import MEASURABLE, apart, peak
from harness.networks import Built, classic, drawn, resnet20
from harness.result import LIMIT, Result, why_absent
from harness.script import main
from torch import nn

import toroids as td

PEER = "rebasin"
COPIES = 3.5  # the limit of peak memory, in copies of one network


def fully_connected(width: int) -> Built:
    """Three hidden layers with ReLU for 784 inputs."""
    widths = [784, width, width, width, 10]
    return td.models.fully_connected(widths, seed=0), torch.randn(2, 784)


NETWORKS: dict[str, Callable[[], Built]] = {
    "784-512-512-512-10": lambda: fully_connected(512),
    "ResNet-20 x4": lambda: resnet20(64),
    "VGG-16-BN": lambda: classic("VGG-16-BN"),
    "ResNet-50": lambda: classic("ResNet-50"),
}
# Of a smoke test, instead of all.
QUICK: dict[str, Callable[[], Built]] = {
    "784-128-128-128-10": lambda: fully_connected(128),
    "ResNet-20": lambda: resnet20(16),
}
# The peer takes minutes for this one; seconds are limited.
ALONE = {"ResNet-50": 15.0}


@dataclass
class Peer:
    """What the peer did, or why it did nothing."""

    seconds: list[float] = field(default_factory=list)
    moved: nn.Module | None = None
    absent: str = ""

    def move(self, a: nn.Module, b: nn.Module, x: torch.Tensor) -> None:
        """Lets the peer move a copy of `b` onto `a`, and times it; not again after a failure."""
        if self.absent:
            return
        try:
            from rebasin import PermutationCoordinateDescent

            moved = copy.deepcopy(b)
            peer = PermutationCoordinateDescent(a, moved, x)
            begun = time.perf_counter()
            peer.rebasin()
            self.seconds.append(time.perf_counter() - begun)
            self.moved = moved
        except Exception as error:
            self.absent, self.seconds, self.moved = why_absent(error), [], None


def output_error(model: nn.Module, params: td.Params, x: torch.Tensor) -> float:
    """By how much other parameters change the outputs, relative to the largest."""
    with torch.no_grad():
        found = torch.func.functional_call(model, dict(params), (x,))
        own = model(x)
    return float((found - own).abs().max() / own.abs().max())


def similarity(group: td.SymmetryGroup, reference: td.Params, params: td.Params) -> float:
    """The inner product of a canonical form with a network brought to it."""
    canonical = td.canonicalize(group, params)
    products = ((reference[n].double() * canonical[n]).sum().item() for n in group.parameters)
    return float(sum(products))


def peak_copies(name: str) -> float:
    """The most memory that one alignment takes beyond the two networks, in copies of one."""
    built, x = (NETWORKS | QUICK)[name]()
    reference, params = (drawn(built, seed).state_dict() for seed in (0, 1))
    group = td.discover(built, x)
    td.align(group, params, to=reference)  # loads libraries
    weights: int = sum(tensor.nbytes for tensor in params.values())
    return peak(lambda: td.align(group, params, to=reference)) / weights


def peak_copies_apart(name: str) -> list[float]:
    """The same in a process of its own; nothing where it cannot be measured."""
    if not MEASURABLE:
        return []
    return [apart(__file__, "--peak", name)]


def compare(name: str, quick: bool) -> Iterator[Result]:
    """What both tools reach on one network."""
    torch.manual_seed(0)
    built, x = (NETWORKS | QUICK)[name]()
    a, b = drawn(built, 0), drawn(built, 1)
    params, reference = b.state_dict(), a.state_dict()
    begun = time.perf_counter()
    group, ours = td.discover(a, x), []
    yield Result(f"{name}: found and proven", "s", [time.perf_counter() - begun])
    peer = Peer(absent="takes minutes, not run" if name in ALONE else "")
    for _ in range(2 if quick else 3):
        begun = time.perf_counter()
        alignment = td.align(group, params, to=reference)
        ours.append(time.perf_counter() - begun)
        peer.move(a, b, x)
    sweeps = f"{alignment.sweeps} sweeps"
    yield Result(
        f"{name}: aligned", "s", ours, PEER, peer.seconds, peer.absent, goal=0.5, note=sweeps
    )
    if name in ALONE:
        yield Result(f"{name}: aligned", "s", ours, LIMIT, [ALONE[name]], goal=1)
    moved = None if peer.moved is None else peer.moved.state_dict()
    theirs = [] if moved is None else [similarity(group, alignment.reference, moved)]
    yield Result(
        f"{name}: similarity", "", [alignment.similarity], PEER, theirs, peer.absent,
        goal=1, at_least=True,
    )  # fmt: skip
    if peer.seconds:
        half = statistics.median(peer.seconds) / 2
        rest = statistics.median(ours) - alignment.seconds  # canonical forms, which no budget ends
        stopped = td.align(group, params, to=reference, budget=max(half - rest, 0.01))
        yield Result(
            f"{name}: similarity, stopped at half the peer's time", "", [stopped.similarity],
            PEER, theirs, goal=1, at_least=True,
        )  # fmt: skip
    yield Result(
        f"{name}: output error", "relative", [output_error(b, alignment.params, x)],
        PEER, [] if moved is None else [output_error(b, moved, x)], peer.absent,
    )  # fmt: skip
    yield Result(
        f"{name}: peak memory", "copies", peak_copies_apart(name), LIMIT, [COPIES], goal=1,
        note="" if MEASURABLE else "on Linux only",
    )  # fmt: skip


def rows(quick: bool, networks: Sequence[str] = tuple(NETWORKS)) -> Iterator[Result]:
    """The rows of the networks named."""
    for name in QUICK if quick else networks:
        yield from compare(name, quick)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print(peak_copies(sys.argv[2]))
    else:
        main(rows, tuple(NETWORKS))
