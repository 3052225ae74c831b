"""Times the canonical form, the distance and a geodesic point of a ResNet-50's weights.

Run it with `python benchmarks/canonical_form.py`. Seconds are of the clock, on all threads; beside
each stands its limit on two cores, and a copy of all weights, the least that any tool must do. No
public tool computes these quantities. Peak memory is that beyond the inputs, in megabytes, beside
three copies of the weights; it is measured in a process of its own that gives freed blocks back at
once, or what was held before would hide it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator

import torch
from harness.memory import MEASURABLE, apart, peak
from harness.networks import classic
from harness.result import LIMIT, Result
from harness.script import main
from harness.timing import interleaved

import toroids as td

Actions = dict[str, Callable[[], object]]
LIMITS = {"canonical form": 0.5, "distance": 0.2, "a geodesic point": 0.2}


def other(a: td.Params) -> dict[str, torch.Tensor]:
    """Weights that are not those of `a`."""
    return {
        name: tensor + 0.01 * torch.randn_like(tensor).abs()
        if tensor.is_floating_point()
        else tensor
        for name, tensor in a.items()
    }


def quantities(network: str) -> tuple[td.SymmetryGroup, td.Params, Actions]:
    """The symmetries and weights of a network, and what is measured."""
    torch.manual_seed(0)
    model, inputs = classic(network)
    group = td.discover(model, inputs)
    a = model.state_dict()
    b = other(a)
    first, second, toroid = td.canonicalize(group, a), td.canonicalize(group, b), td.Toroid(group)
    path = toroid.geodesic(first, second)
    return group, a, {
        "canonical form": lambda: td.canonicalize(group, a),
        "distance": lambda: toroid.distance(first, second),
        "a geodesic point": lambda: path(0.3),
    }  # fmt: skip


def peaks(network: str) -> dict[str, float]:
    """Megabytes that every quantity takes beyond its inputs."""
    *_, actions = quantities(network)
    for action in actions.values():
        action()  # what is loaded at the first call does not count
    return {name: peak(action) / 1e6 for name, action in actions.items()}


def rows(quick: bool) -> Iterator[Result]:
    """Seconds and peak memory of every quantity."""
    network = "ResNet-18" if quick else "ResNet-50"
    group, a, actions = quantities(network)
    megabytes = sum(tensor.nbytes for tensor in a.values()) / 1e6
    copy: Actions = {"copy": lambda: [tensor.clone() for tensor in a.values()]}
    times = interleaved(actions | copy, 3 if quick else 7, time.perf_counter)
    for name in actions:
        what = f"{name} of {network}"
        yield Result(what, "s", times[name], LIMIT, [LIMITS[name]], goal=1)
        yield Result(what, "s", times[name], "copy of the weights", times["copy"])
    found = apart(__file__, "--peaks", network) if MEASURABLE else {}
    for name in actions:
        yield Result(
            f"{name} of {network}, peak memory", "MB", [found[name]] if found else [],
            "three copies", [3 * megabytes], goal=1, note="" if MEASURABLE else "on Linux only",
        )  # fmt: skip
    balanced: Actions = {"ours": lambda: td.canonicalize(group, a, gauge="balanced")}
    times = interleaved(balanced | copy, 1 if quick else 3, time.perf_counter)
    what = f"balanced canonical form of {network}"
    yield Result(what, "s", times["ours"], "copy of the weights", times["copy"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peaks"]:
        print(json.dumps(peaks(sys.argv[2])))
    else:
        main(rows)
