"""Times a plane through three networks beside the public package `loss-landscapes`.

Run it with `pip install -e '.[bench]'` and `python benchmarks/section.py`, on one thread. Both
evaluate 20 x 20 points of 64-256-256-10 networks on all 1797 digits, in turn with the bare matrix
products of the same shapes, which no evaluation point by point can do without. Seconds are those of
the CPU. Weights are three times the initial ones, so that the loss differs from point to point. A
point is in its place if its loss is that of the network that belongs there, in double precision:
for us the one at the coordinates (x, y) in orthonormal axes, for the peer, as it is documented,
a + i (b - a) / 20 + j (c - a) / 20.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from harness.result import LIMIT, Result, why_absent
from harness.script import main
from harness.timing import interleaved
from torch.nn import functional as F

import toroids as td

WIDTHS = [64, 256, 256, 10]
PEER = "loss-landscapes"
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
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            torch.nn.utils.vector_to_parameters(at(i, j), model.parameters())
            with torch.no_grad():
                loss = F.cross_entropy(model(data[0].double()), data[1])
            count += bool((found[i, j] - loss).abs() <= SAME * loss)
    return count


def peer_of(
    models: Sequence[torch.nn.Module], data: tuple[torch.Tensor, ...], points: int
) -> tuple[Callable[[], Any] | None, str]:
    """What calls the peer, or why nothing does."""
    try:
        import loss_landscapes
        from loss_landscapes.metrics import Loss

        def call() -> Any:
            return loss_landscapes.planar_interpolation(
                *copy.deepcopy(models), Loss(F.cross_entropy, *data), points
            )

        call()
    except Exception as error:
        return None, why_absent(error)
    return call, ""


def rows(quick: bool) -> Iterator[Result]:
    """Seconds beside the peer's and the products', and how many points are in their place."""
    torch.set_num_threads(1)
    points = 6 if quick else 20
    split = td.data.digits()
    inputs, labels = (torch.cat(parts) for parts in zip(split.train, split.test, strict=True))
    data = (inputs, labels)
    models = [td.models.fully_connected(WIDTHS, seed=seed) for seed in range(3)]
    for model in models:
        for parameter in model.parameters():
            parameter.data.mul_(3)
    first, second, third = (model.state_dict() for model in models)
    layers = [(torch.rand(len(labels), i), torch.rand(i, o)) for i, o in pairwise(WIDTHS)]
    outputs = [inputs @ weights for inputs, weights in layers]
    found: dict[str, Any] = {}

    def products() -> None:
        for _ in range(points**2):
            for (inputs, weights), output in zip(layers, outputs, strict=True):
                torch.matmul(inputs, weights, out=output)

    def ours() -> None:
        found["ours"] = td.section(td.Landscape(models[0], data), [first, second, third], points)

    peer, absent = peer_of(models, data, points)
    works: dict[str, Callable[[], object]] = {"ours": ours, "products": products}
    if peer is not None:
        works[PEER] = lambda: found.update(peer=peer())
    times = interleaved(works, 3 if quick else 5)
    name = f"section, {points} x {points} points"
    yield Result(name, "CPU s", times["ours"], PEER, times.get(PEER, ()), absent, goal=0.87)
    yield Result(name, "CPU s", times["ours"], "bare products", times["products"])

    a, b, c = (flat(network) for network in (first, second, third))
    along = (b - a) / (b - a).norm()
    rest = (c - a) - ((c - a) @ along) * along
    section, across = found["ours"], rest / rest.norm()
    placed = in_place(
        section.loss, lambda i, j: a + section.x[j] * along + section.y[i] * across, data
    )
    theirs = [] if peer is None else [
        in_place(
            torch.as_tensor(found["peer"]),
            lambda i, j: a + i / points * (b - a) + j / points * (c - a),
            data,
        )
    ]  # fmt: skip
    name = f"points of {points**2} in their place"
    yield Result(name, "points", [placed], LIMIT, [points**2], goal=1, at_least=True)
    yield Result(name, "points", [placed], PEER, theirs, absent)


if __name__ == "__main__":
    main(rows)
