"""Times flips of binary weights, followed incrementally, beside the plain model run from scratch.

Run it with `python benchmarks/binary_flips.py`. CPU time on one thread, medians of runs in turn: a
784-501-501-10 network of random signs on 1000 random points. Every row is a path on which so many
flips happen between two evaluations. Both sides flip, and measure error and loss; the plain model
runs under no_grad. `products` are its bare matrix products, with no signs taken of weights or sums.
`candidates` are single flips whose errors are asked for at once, and not kept.
"""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

import toroids as td
from toroids.binary.sign import sign
from toroids.landscape.flips import FlipEvaluator

WIDTHS, EXAMPLES, REPEATS = [784, 501, 501, 10], 1000, 7
BLOCKS = (1, 10, 100, 1000, 10_000)
CANDIDATES = 500


def timed(actions: dict[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    """Median CPU milliseconds of a call of every action, each called so many times a run."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for repeat in range(REPEATS + 1):  # the first warms up
        for name, (action, calls) in actions.items():
            begun = time.process_time()
            for _ in range(calls):
                action()
            found[name] += [(time.process_time() - begun) / calls * 1e3] * bool(repeat)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    """Prints both times and their ratio for every kind of path."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    model = td.models.binary_fully_connected(WIDTHS, threshold=0.5).eval()
    params = {name: sign(latent.detach()) for name, latent in model.state_dict().items()}
    model.load_state_dict(params)
    inputs = torch.rand(EXAMPLES, WIDTHS[0], generator=generator)
    labels = torch.randint(WIDTHS[-1], (EXAMPLES,), generator=generator)
    network = FlipEvaluator(model, params, (inputs, labels))
    names, sizes = network.weights.names, network.weights.sizes
    plain = [dict(model.named_parameters())[name].data.view(-1) for name in names]

    def draw(size: int, count: int) -> Tensor:
        return torch.randint(size, (count,), generator=generator)

    def ours(name: str | None, count: int) -> None:
        if name is None:
            network.flip_at(draw(network.weights.entries, count))
        else:
            network.flip(name, draw(sizes[names.index(name)], count))
        network.evaluation()

    def scratch(name: str | None, count: int) -> None:
        at = names.index(name or "hidden1.weight")
        plain[at][draw(sizes[at], count)] *= -1
        with torch.no_grad():
            logits = model(inputs)
            (logits.argmax(dim=1) != labels).double().mean().item()
            nn.functional.cross_entropy(logits, labels).item()

    layers = [(torch.rand(EXAMPLES, i), torch.rand(o, i).T) for i, o in pairwise(WIDTHS)]

    def products() -> None:
        for x, weight in layers:
            x @ weight

    rows = [(f"flips {count}", None, count) for count in BLOCKS]
    rows += [(f"flips 1, {name}", name, 1) for name in names]
    print(f"{'':30}   ours    scratch  scratch/ours  products/ours")
    for what, name, count in rows:
        calls = {1: 100, 10: 30, 100: 10}.get(count, 4)
        medians = timed(
            {
                "ours": (lambda name=name, count=count: ours(name, count), calls),
                "scratch": (lambda name=name, count=count: scratch(name, count), 3),
                "products": (products, 3),
            }
        )
        show(what, medians)
    for name, size in zip(names, sizes, strict=True):
        medians = timed(
            {
                "ours": (lambda n=name, s=size: network.errors_if(n, draw(s, CANDIDATES)), 1),
                "scratch": (lambda name=name: scratch(name, 1), 3),
                "products": (products, 3),
            }
        )
        show(f"candidates, {name}", medians | {"ours": medians["ours"] / CANDIDATES})
    expected = td.evaluate(model, network.params, (inputs, labels))
    assert network.error == expected.error, "the errors differ"
    print(f"error after all flips {network.error:.3f}, evaluated anew {expected.error:.3f}")


def show(what: str, medians: dict[str, float]) -> None:
    """Prints one row: milliseconds and ratios."""
    ours, scratch, products = (medians[name] for name in ("ours", "scratch", "products"))
    print(
        f"{what:28} {ours:7.3f} ms {scratch:7.3f} ms  {scratch / ours:8.2f}  "
        f"{products / ours:12.2f}"
    )


if __name__ == "__main__":
    main()
