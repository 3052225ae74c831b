"""Times a plane through three networks beside the public package `loss-landscapes`.

Run it with `pip install -e '.[bench]'` and `python benchmarks/section.py`, on one thread. Both
evaluate 20 x 20 points of 64-256-256-10 networks on all 1797 digits, in turn with the bare matrix
products of the same shapes, which no evaluation point by point can do without. Seconds are those of
the CPU. Weights are three times the initial ones, so that the loss differs from point to point.
`in place` counts the points whose loss is that of the network that belongs there, in double
precision: for us the one at the coordinates (x, y) in orthonormal axes, for the peer, as it is
documented, a + i (b - a) / 20 + j (c - a) / 20.
"""

import copy
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch.nn import functional as F

import toroids as td

try:
    import loss_landscapes
    from loss_landscapes.metrics import Loss
except ImportError:
    loss_landscapes = None

REPEATS, POINTS = 5, 20
WIDTHS = [64, 256, 256, 10]
# Of a loss, relative: what float32 leaves, far below what a step on the grid changes.
SAME = 1e-4


def flat(params: td.Params) -> torch.Tensor:
    """All parameters as one vector, in double precision."""
    return torch.cat([tensor.double().flatten() for tensor in params.values()])


def in_place(
    found: torch.Tensor, at: Callable[[int, int], torch.Tensor], data: tuple[torch.Tensor, ...]
) -> int:
    """Counts the points (i, j) whose loss is that of the parameters `at(i, j)`."""
    model = td.models.fully_connected(WIDTHS).double()
    count = 0
    for i in range(POINTS):
        for j in range(POINTS):
            torch.nn.utils.vector_to_parameters(at(i, j), model.parameters())
            with torch.no_grad():
                loss = F.cross_entropy(model(data[0].double()), data[1])
            count += bool((found[i, j] - loss).abs() <= SAME * loss)
    return count


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    """CPU seconds of a call, and what it returns."""
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def main() -> None:
    """Prints seconds, ratios, and how many points are where they should be."""
    torch.set_num_threads(1)
    split = td.data.digits()
    data = tuple(torch.cat(parts) for parts in zip(split.train, split.test, strict=True))
    models = [td.models.fully_connected(WIDTHS, seed=seed) for seed in range(3)]
    for model in models:
        for parameter in model.parameters():
            parameter.data.mul_(3)
    networks = [model.state_dict() for model in models]
    layers = [(torch.rand(len(data[0]), i), torch.rand(i, o)) for i, o in pairwise(WIDTHS)]
    outputs = [inputs @ weights for inputs, weights in layers]

    def products() -> None:
        for _ in range(POINTS**2):
            for (inputs, weights), output in zip(layers, outputs, strict=True):
                torch.matmul(inputs, weights, out=output)

    works: dict[str, Callable[[], object]] = {
        "toroids": lambda: td.section(models[0], *networks, data, POINTS),
        "products": products,
    }
    if loss_landscapes is None:
        print("loss-landscapes is not installed: skipped")
    else:
        works["loss-landscapes"] = lambda: loss_landscapes.planar_interpolation(
            *copy.deepcopy(models), Loss(F.cross_entropy, *data), POINTS
        )
    times: dict[str, list[float]] = {name: [] for name in works}
    results = {}
    for repeat in range(REPEATS + 1):  # the first warms up
        for name, work in works.items():
            taken, results[name] = seconds(work)
            times[name] += [taken] * bool(repeat)
    medians = {name: statistics.median(taken) for name, taken in times.items()}

    a, b, c = (flat(network) for network in networks)
    first = (b - a) / (b - a).norm()
    rest = (c - a) - ((c - a) @ first) * first
    ours, second = results["toroids"], rest / rest.norm()
    assert isinstance(ours, td.Section) and ours.loss.shape == (POINTS, POINTS)
    placed = {
        "toroids": in_place(
            ours.loss, lambda i, j: a + ours.x[j] * first + ours.y[i] * second, data
        )
    }
    if loss_landscapes is not None:
        theirs = torch.as_tensor(results["loss-landscapes"])
        placed["loss-landscapes"] = in_place(
            theirs, lambda i, j: a + i / POINTS * (b - a) + j / POINTS * (c - a), data
        )
    for name, taken in medians.items():
        where = f"  in place {placed[name]} of {POINTS**2}" if name in placed else ""
        ratio = f"our time / this {medians['toroids'] / taken:.2f}" * (name != "toroids")
        print(f"{name:16} {taken:6.3f} s{where}  {ratio}".rstrip())


if __name__ == "__main__":
    main()
