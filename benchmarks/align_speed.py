"""Times alignment beside the public package `rebasin`, on networks that both take.

Run it with `pip install -e '.[bench]'` and `python benchmarks/align_speed.py [NAME ...]`. Both move
the same randomly initialised network onto the same other one, in one process, in turn; tracing the
architecture, which either does once, is timed apart. `similarity` is the inner product of what each
leaves with the network that stays, in our canonical form; `output error` by how much the moved
network's outputs differ from its own, relative to the largest. Peak memory is ours, beyond the two
networks, in copies of one, in a second call of a process of its own that gives freed blocks back at
once, or what was held before would hide it. `stopped` is `align` with a budget that ends it at
half the peer's time.
"""

import copy
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

import toroids as td

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))
from canonical_form import peak  # noqa: E402
from zoo.classic import CLASSIC, Residual, unit, unsettle  # noqa: E402

REPEATS = 3


def fully_connected() -> tuple[nn.Module, torch.Tensor]:
    """784-512-512-512-10 with ReLU."""
    return td.models.fully_connected([784, 512, 512, 512, 10], seed=0), torch.randn(2, 784)


def resnet20(width: int = 64) -> tuple[nn.Module, torch.Tensor]:
    """The residual network of 20 layers for 32 x 32 images, four times as wide, with batch norm."""
    layers, before = [unit(3, width, 3)], width
    for stage in range(3):
        out = width * 2**stage
        for block in range(3):
            stride = 2 if stage and not block else 1
            change = unit(before, out, 1, stride, act=None) if before != out else None
            body = nn.Sequential(unit(before, out, 3, stride), unit(out, out, 3, act=None))
            layers.append(Residual(body, change))
            before = out
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10)]
    return nn.Sequential(*layers, *head), torch.randn(2, 3, 32, 32)


NETWORKS = {
    "784-512-512-512-10": fully_connected,
    "ResNet-20 x4": resnet20,
    "VGG-16-BN": CLASSIC["VGG-16-BN"],
    "ResNet-50": CLASSIC["ResNet-50"],
}
# The peer takes minutes for this one.
ALONE = ("ResNet-50",)


def drawn(model: nn.Module, seed: int) -> nn.Module:
    """A copy with other weights, and batch-norm statistics that are not the initial ones."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for tensor in other.parameters():
        if tensor.ndim > 1:
            size = (2 / tensor[0].numel()) ** 0.5
            tensor.data.normal_(0, size, generator=generator)
    return unsettle(other, seed)


def output_error(model: nn.Module, params: td.Params, x: torch.Tensor) -> float:
    """By how much other parameters change the outputs, relative to the largest."""
    with torch.no_grad():
        found = torch.func.functional_call(model, dict(params), (x,))
        own = model(x)
    return float((found - own).abs().max() / own.abs().max())


def peer_seconds(a: nn.Module, moved: nn.Module, x: torch.Tensor) -> float:
    """Lets the peer move a network, and times it."""
    from rebasin import PermutationCoordinateDescent

    peer = PermutationCoordinateDescent(a, moved, x)
    begun = time.perf_counter()
    peer.rebasin()
    return time.perf_counter() - begun


def peak_copies(name: str) -> float:
    """The most memory that one alignment takes beyond the two networks, in copies of one."""
    built, x = NETWORKS[name]()
    reference, params = (drawn(built, seed).state_dict() for seed in (0, 1))
    group = td.discover(built, x)
    td.align(group, params, to=reference)  # loads libraries
    weights = sum(tensor.nbytes for tensor in params.values())
    return peak(lambda: td.align(group, params, to=reference)) / weights


def compare(name: str) -> None:
    """Prints what both tools reach on one network."""
    built, x = NETWORKS[name]()
    a, b = drawn(built, 0), drawn(built, 1)
    params, reference = b.state_dict(), a.state_dict()
    begun = time.perf_counter()
    group = td.discover(a, x)
    print(f"{name}: found and proven in {time.perf_counter() - begun:.2f} s")
    copies = float(
        subprocess.run(
            [sys.executable, __file__, "--peak", name],
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
            capture_output=True,
            check=True,
        ).stdout
    )
    ours, theirs, moved = [], [], b
    for _ in range(REPEATS):
        begun = time.perf_counter()
        alignment = td.align(group, params, to=reference)
        ours.append(time.perf_counter() - begun)
        if name not in ALONE:
            moved = copy.deepcopy(b)
            theirs.append(peer_seconds(a, moved, x))
    print(
        f"  toroids  {statistics.median(ours):7.3f} s  similarity {alignment.similarity:10.2f}  "
        f"output error {output_error(b, alignment.params, x):.0e}  {alignment.sweeps} sweeps  "
        f"peak {copies:.1f} copies"
    )
    if theirs:
        half = statistics.median(theirs) / 2
        rest = statistics.median(ours) - alignment.seconds  # canonical forms, which no budget ends
        begun = time.perf_counter()
        stopped = td.align(group, params, to=reference, budget=max(half - rest, 0.01))
        print(
            f"  stopped  {time.perf_counter() - begun:7.3f} s  "
            f"similarity {stopped.similarity:10.2f}"
        )
        canonical = td.canonicalize(group, moved.state_dict())
        products = (
            (alignment.reference[n].double() * canonical[n]).sum() for n in group.parameters
        )
        print(
            f"  rebasin  {statistics.median(theirs):7.3f} s  similarity {sum(products):10.2f}  "
            f"output error {output_error(b, moved.state_dict(), x):.0e}  "
            f"our time / theirs {statistics.median(ours) / statistics.median(theirs):.2f}"
        )


def main() -> None:
    """Compares on the networks named, or on all."""
    if sys.argv[1:2] == ["--peak"]:
        print(peak_copies(sys.argv[2]))
        return
    for name in sys.argv[1:] or NETWORKS:
        compare(name)


if __name__ == "__main__":
    main()
