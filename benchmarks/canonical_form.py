"""Times the canonical form, the distance and a geodesic point of a ResNet-50's weights.

Run it with `python benchmarks/canonical_form.py`; figures are medians, each beside a copy of all
weights, the least that any tool must do. No public tool computes these quantities.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import toroids as td

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from zoo.classic import CLASSIC  # noqa: E402

REPEATS = 7


def peak(action: Callable[[], object]) -> int:
    """The most bytes that an action holds beyond what is held before it; on Linux only."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _status("VmRSS")
    action()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def seconds(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median time of an action, after one that warms up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Prints one line per quantity."""
    model, inputs = CLASSIC["ResNet-50"]()
    group = td.discover(model, inputs)
    a = model.state_dict()
    b = {
        name: tensor + 0.01 * torch.randn_like(tensor).abs()
        if tensor.is_floating_point()
        else tensor
        for name, tensor in a.items()
    }
    weights = sum(tensor.nbytes for tensor in a.values())
    copy = seconds(lambda: [tensor.clone() for tensor in a.values()])
    td.canonicalize(group, a)  # what is loaded at the first call counts in no peak
    canonical_peak = peak(lambda: td.canonicalize(group, a))
    first = td.canonicalize(group, a)
    second, toroid = td.canonicalize(group, b), td.Toroid(group)
    path = toroid.geodesic(first, second)
    figures = {
        "canonical form": seconds(lambda: td.canonicalize(group, a)),
        "distance": seconds(lambda: toroid.distance(first, second)),
        "a geodesic point": seconds(lambda: path(0.3)),
    }
    print(f"ResNet-50, {weights / 1e6:.0f} MB of weights, {torch.get_num_threads()} threads")
    for name, time_taken in figures.items():
        print(f"{name:20s} {time_taken:6.3f} s   {time_taken / copy:6.1f} x copying the weights")
    peaks = {
        "canonical form": canonical_peak,
        "distance": peak(lambda: toroid.distance(first, second)),
        "a geodesic point": peak(lambda: path(0.3)),
    }
    for name, size in peaks.items():
        print(f"{name:20s} peak memory beyond its inputs {size / weights:.2f} x the weights")
    balanced = seconds(lambda: td.canonicalize(group, a, gauge="balanced"), 1)
    print(f"balanced gauge       {balanced:6.3f} s   {balanced / copy:6.1f} x copying the weights")


if __name__ == "__main__":
    main()
